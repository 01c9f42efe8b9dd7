// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A plane as it streams in, line by line, with what lies around it: zeros behind each line and behind
// the last line. So whatever looks back from a pixel by less than the zeros are wide sees no charge
// beyond the plane's edge, and a plane follows the one before it without a gap. After a reset the zeros
// come first.
//
// A pixel is its raw integer with a bit on top that makes it a hit; with a threshold, larger ones are
// hits, too. A line is let in while fewer than AHEAD lines wait for their hits to be done. Marks are the
// hits of a line, MARKS of them in a word, the first pixel's lowest.
module ei_plane_feed #(
    parameter BITS       = 8,
    parameter SIGNED     = 0,
    parameter PIXELS     = 1,     // that come at once
    parameter FILLED     = 480,   // beats of a line that hold pixels
    parameter LINE       = 487,   // beats of a line with its zeros
    parameter LINES      = 1000,
    parameter ALL_LINES  = 1008,  // with those of zeros
    parameter AHEAD      = 27,
    parameter MARKS      = 16,
    parameter THRESHOLDS = 0,     // 1: there is a threshold
    parameter THRESHOLD  = 0
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       s_valid,
    output wire                       s_ready,
    input  wire [PIXELS*(BITS+1)-1:0] s_data,
    input  wire                       line_done,   // of the oldest line all hits are done
    output reg                        m_valid,
    output reg  [    PIXELS*BITS-1:0] m_data,
    output reg                        marks_valid,
    output reg  [          MARKS-1:0] marks
);
    localparam CW = LINE > 1 ? $clog2(LINE) : 1;
    localparam RW = $clog2(ALL_LINES + 1);
    localparam NW = $clog2(AHEAD + 1);
    localparam SLOTS = MARKS / PIXELS;
    localparam SW = SLOTS > 1 ? $clog2(SLOTS) : 1;
    localparam [CW-1:0] LAST_COLUMN = LINE[CW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_FILLED = FILLED[CW-1:0] - 1'b1;
    localparam [RW-1:0] LAST_LINE = ALL_LINES[RW-1:0] - 1'b1;
    localparam [RW-1:0] END_LINE = LINES[RW-1:0];
    localparam [NW-1:0] MOST = AHEAD[NW-1:0] - 1'b1;
    localparam [SW-1:0] LAST_SLOT = SLOTS[SW-1:0] - 1'b1;

    reg [CW-1:0] column;
    reg [RW-1:0] line;
    reg [NW-1:0] ahead;
    reg [SW-1:0] slot;
    reg room, column_inside, line_inside;

    wire filled = column_inside && line_inside;
    wire step = room && (!filled || s_valid);
    wire end_of_line = step && column == LAST_COLUMN;
    wire [RW-1:0] next_line = line == LAST_LINE ? {RW{1'b0}} : line + 1'b1;

    assign s_ready = room && filled;

    always @(posedge clk) begin
        if (rst) begin
            column        <= 0;
            line          <= END_LINE;
            column_inside <= 1'b1;
            line_inside   <= 1'b0;
            ahead         <= 0;
            room          <= 1'b1;
            slot          <= 0;
            m_valid       <= 1'b0;
            marks_valid   <= 1'b0;
        end else begin
            m_valid     <= step;
            marks_valid <= step && column_inside && (slot == LAST_SLOT || column == LAST_FILLED);
            if (step) begin
                column <= end_of_line ? {CW{1'b0}} : column + 1'b1;
                if (column_inside) slot <= slot == LAST_SLOT || column == LAST_FILLED ? {SW{1'b0}} : slot + 1'b1;
                if (column == LAST_FILLED) column_inside <= 1'b0;
                if (end_of_line) begin
                    column_inside <= 1'b1;
                    line          <= next_line;
                    line_inside   <= next_line < END_LINE;
                end
            end
            if (end_of_line && !line_done) begin
                ahead <= ahead + 1'b1;
                room  <= ahead != MOST;
            end
            if (line_done && !end_of_line) begin
                ahead <= ahead - 1'b1;
                room  <= 1'b1;
            end
        end
    end

    wire [PIXELS*BITS-1:0] pixels;
    wire [PIXELS-1:0] hits;
    genvar p;
    generate
        for (p = 0; p < PIXELS; p = p + 1) begin : g_pixel
            wire [BITS-1:0] raw = s_data[p*(BITS+1)+:BITS];
            wire above;
            if (THRESHOLDS && SIGNED) begin : g_signed
                assign above = $signed(raw) >= THRESHOLD;
            end else if (THRESHOLDS) begin : g_unsigned
                assign above = raw >= THRESHOLD;
            end else begin : g_none
                assign above = 1'b0;
            end
            assign pixels[p*BITS+:BITS] = raw;
            assign hits[p] = above || s_data[p*(BITS+1)+BITS];
        end
    endgenerate

    integer k;
    always @(posedge clk) begin
        m_data <= filled ? pixels : {(PIXELS * BITS) {1'b0}};
        if (step && column_inside)
            for (k = 0; k < SLOTS; k = k + 1)
                if (slot == k[SW-1:0]) marks[k*PIXELS+:PIXELS] <= line_inside ? hits : {PIXELS{1'b0}};
                else if (slot == 0) marks[k*PIXELS+:PIXELS] <= {PIXELS{1'b0}};
    end
endmodule
