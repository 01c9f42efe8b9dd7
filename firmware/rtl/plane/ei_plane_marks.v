// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The hits that wait: a bit for each pixel of the lines that are in memory, so that nothing can be full.
// Line by line, as soon as all places that its hits look at are written, the marked wires are named in
// order: to the walk, and to the outside with their line. A beat whose uppermost bit is set ends a plane.
//
// `row` and `base` belong to the line that is being worked on: the line of places that its patches begin
// with, counted from the plane's first, and where it begins in the memory of places.
module ei_plane_marks #(
    parameter MARKS     = 16,
    parameter WORDS     = 30,    // of marks in a line
    parameter LINE      = 487,   // beats of a line of places
    parameter LINES     = 1000,
    parameter ALL_LINES = 1008,
    parameter RING      = 44,    // lines in the memory of places
    parameter AHEAD     = 27,    // lines that may wait
    parameter NEED      = 24,    // of them are there before a hit of the first one is walked
    parameter ROW_FIRST = -17,   // the first row of places of a hit of line 0
    parameter BASE      = 0,     // where the first row of the line after a reset lies
    parameter AW        = 15,
    parameter RB        = 11,    // bits of a row, signed
    parameter XB        = 9,     // bits of a wire
    parameter YB        = 10,    // bits of a line
    parameter DEPTH     = 16
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             marks_valid,
    input  wire [MARKS-1:0] marks,
    input  wire             line_written,
    output reg              line_done,
    output wire             hit_valid,     // to the walk
    input  wire             hit_ready,
    output wire [   XB-1:0] hit_wire,
    input  wire             walking,
    output reg  [   RB-1:0] row,
    output reg  [   AW-1:0] base,
    output wire             m_valid,       // to the outside
    input  wire             m_ready,
    output wire [XB+YB:0]   m_data
);
    localparam PLACES = WORDS * AHEAD;
    localparam MW = PLACES > 1 ? $clog2(PLACES) : 1;
    localparam WW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam NW = $clog2(AHEAD + 2);
    localparam LW = $clog2(ALL_LINES + 1);
    localparam SPAN = LINE * RING;
    localparam [MW-1:0] LAST_PLACE = PLACES[MW-1:0] - 1'b1;
    localparam [WW-1:0] LAST_WORD = WORDS[WW-1:0] - 1'b1;
    localparam [LW-1:0] LAST_LINE = ALL_LINES[LW-1:0] - 1'b1;
    localparam [LW-1:0] END_LINE = LINES[LW-1:0];
    localparam [LW-1:0] WAITING = NEED[LW-1:0];
    localparam [RB-1:0] FIRST_ROW = ROW_FIRST[RB-1:0];
    localparam [RB-1:0] RESET_ROW = ROW_FIRST[RB-1:0] + LINES[RB-1:0];
    localparam [AW:0] STRIDE = LINE[AW:0];
    localparam [AW:0] BACK = STRIDE - SPAN[AW:0];

    localparam [2:0] REST = 0, LOOK = 1, LOAD = 2, BITS = 3, PICK = 4, DRAIN = 5, NEXT = 6;

    (* no_rw_check *)
    reg [MARKS-1:0] waiting[0:PLACES-1];
    reg [MARKS-1:0] word, left, low;
    reg [MW-1:0] write, read;
    reg [WW-1:0] number;
    reg [LW-1:0] line;
    reg [NW-1:0] written, wanted;
    reg [LW-1:0] to_come;
    reg enough, plane_ends, lines_end;  // the latter two of the line that is worked on
    reg [2:0] state, rest;
    reg [XB-1:0] wire_base;

    wire walk_credit, out_credit;
    wire pick = state == PICK && walk_credit && out_credit;
    wire ending = state == NEXT && plane_ends;
    wire leave = state == NEXT && (!ending || out_credit);

    always @(posedge clk) if (marks_valid) waiting[write] <= marks;
    always @(posedge clk) word <= waiting[read];

    // The lowest mark, as a number.
    reg [XB-1:0] lowest;
    integer k;
    always @* begin
        lowest = {XB{1'b0}};
        for (k = 0; k < MARKS; k = k + 1) if (low[k]) lowest = lowest | k[XB-1:0];
    end

    wire [AW-1:0] next_base = base + STRIDE[AW-1:0];
    wire [AW:0] wrapped_base = {1'b0, base} + BACK;  // negative: there is no need to wrap

    // A line is worked on for many cycles: what follows from its number has time.
    always @(posedge clk) begin
        plane_ends <= line == END_LINE - 1'b1;
        lines_end  <= line == LAST_LINE;
        to_come    <= ALL_LINES[LW-1:0] - line;
        wanted     <= to_come < WAITING ? to_come[NW-1:0] : WAITING[NW-1:0];
        enough     <= written >= wanted;
    end

    always @(posedge clk) begin
        line_done <= leave;
        if (rst) begin
            write     <= 0;
            read      <= 0;
            number    <= 0;
            line      <= END_LINE;
            written   <= 0;
            state     <= REST;
            rest      <= 0;
            row       <= RESET_ROW;
            base      <= BASE[AW-1:0];
            line_done <= 1'b0;
            wire_base <= 0;
        end else begin
            if (marks_valid) write <= write == LAST_PLACE ? {MW{1'b0}} : write + 1'b1;
            if (line_written && !leave) written <= written + 1'b1;
            if (leave && !line_written) written <= written - 1'b1;
            case (state)
                REST: begin  // until `enough` is of this line
                    rest <= rest + 1'b1;
                    if (rest == 4) state <= LOOK;
                end
                LOOK: if (enough) state <= LOAD;
                LOAD: begin
                    left  <= word;
                    read  <= read == LAST_PLACE ? {MW{1'b0}} : read + 1'b1;
                    state <= BITS;
                end
                BITS: begin
                    low <= left & (~left + 1'b1);
                    if (left != 0) state <= PICK;
                    else begin
                        number    <= number == LAST_WORD ? {WW{1'b0}} : number + 1'b1;
                        wire_base <= number == LAST_WORD ? {XB{1'b0}} : wire_base + MARKS[XB-1:0];
                        state     <= number == LAST_WORD ? DRAIN : LOAD;
                    end
                end
                PICK:
                if (pick) begin
                    left  <= left & ~low;
                    state <= BITS;
                end
                DRAIN: if (!walking && !hit_valid) state <= NEXT;
                default:
                if (leave) begin
                    state  <= REST;
                    rest   <= 0;
                    line   <= lines_end ? {LW{1'b0}} : line + 1'b1;
                    row    <= lines_end ? FIRST_ROW : row + 1'b1;
                    base   <= wrapped_base[AW] ? next_base : wrapped_base[AW-1:0];
                end
            endcase
        end
    end

    ei_fifo #(
        .WIDTH(XB),
        .DEPTH(4)
    ) to_walk (
        .clk(clk),
        .rst(rst),
        .credit(walk_credit),
        .take(pick),
        .push(pick),
        .push_data(wire_base + lowest),
        .m_valid(hit_valid),
        .m_ready(hit_ready),
        .m_data(hit_wire)
    );

    ei_fifo #(
        .WIDTH(XB + YB + 1),
        .DEPTH(DEPTH)
    ) to_outside (
        .clk(clk),
        .rst(rst),
        .credit(out_credit),
        .take(pick || (ending && out_credit)),
        .push(pick || (ending && out_credit)),
        .push_data({ending, line[YB-1:0], ending ? {XB{1'b0}} : wire_base + lowest}),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
