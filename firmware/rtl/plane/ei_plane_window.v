// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The window that ends at each place of a stream of lines: ROWS places along the line by COLUMNS lines,
// so many places and lines apart. PLACES come at once and so many windows leave, the first place's
// lowest; in a window the lines are innermost, the oldest first. It knows no edges: before the first
// place of a line comes the last one of the line before.
module ei_plane_window #(
    parameter BITS        = 8,    // of a place, with all its channels
    parameter PLACES      = 1,
    parameter ROWS        = 5,
    parameter ROW_STEP    = 1,
    parameter COLUMNS     = 5,
    parameter COLUMN_STEP = 1,
    parameter LINE        = 487   // beats of a line
) (
    input  wire                                clk,
    input  wire                                rst,
    input  wire                                s_valid,
    input  wire [             PLACES*BITS-1:0] s_data,
    output wire                                m_valid,
    output wire [PLACES*ROWS*COLUMNS*BITS-1:0] m_data
);
    localparam OLD = (COLUMNS - 1) * COLUMN_STEP;  // lines that are kept
    localparam BEAT = PLACES * BITS;
    localparam REACH = (ROWS - 1) * ROW_STEP + PLACES;
    localparam CW = LINE > 1 ? $clog2(LINE) : 1;
    localparam [CW-1:0] LAST = LINE[CW-1:0] - 1'b1;

    wire moved;                      // a beat has arrived with the lines before it
    wire [(OLD+1)*BEAT-1:0] seen;    // the newest line lowest

    generate
        if (OLD > 0) begin : g_lines
            (* no_rw_check *)
            reg [OLD*BEAT-1:0] lines[0:LINE-1];
            reg [OLD*BEAT-1:0] read_1, read_2;
            reg [BEAT-1:0] data_1, data_2;
            reg [CW-1:0] column, column_1, column_2;
            reg valid_1, valid_2;

            assign moved = valid_2;
            assign seen  = {read_2, data_2};

            always @(posedge clk) begin
                if (rst) begin
                    column  <= 0;
                    valid_1 <= 1'b0;
                    valid_2 <= 1'b0;
                end else begin
                    if (s_valid) column <= column == LAST ? {CW{1'b0}} : column + 1'b1;
                    valid_1 <= s_valid;
                    valid_2 <= valid_1;
                end
            end

            always @(posedge clk) begin
                read_1   <= lines[column];
                read_2   <= read_1;
                data_1   <= s_data;
                data_2   <= data_1;
                column_1 <= column;
                column_2 <= column_1;
            end

            always @(posedge clk) if (valid_2) lines[column_2] <= seen[OLD*BEAT-1:0];
        end else begin : g_line
            reg valid_1;
            reg [BEAT-1:0] data_1;
            always @(posedge clk) valid_1 <= !rst && s_valid;
            always @(posedge clk) data_1 <= s_data;
            assign moved = valid_1;
            assign seen  = data_1;
        end
    endgenerate

    reg full;
    always @(posedge clk) full <= !rst && moved;
    assign m_valid = full;

    genvar c, p, r;
    generate
        for (c = 0; c < COLUMNS; c = c + 1) begin : g_column
            wire [BEAT-1:0] newest = seen[(COLUMNS-1-c)*COLUMN_STEP*BEAT+:BEAT];
            reg [REACH*BITS-1:0] held;  // the oldest place lowest
            if (REACH > PLACES) begin : g_shift
                always @(posedge clk) if (moved) held <= {newest, held[REACH*BITS-1:BEAT]};
            end else begin : g_hold
                always @(posedge clk) if (moved) held <= newest;
            end
            for (p = 0; p < PLACES; p = p + 1) begin : g_place
                for (r = 0; r < ROWS; r = r + 1) begin : g_row
                    assign m_data[((p*ROWS+r)*COLUMNS+c)*BITS+:BITS] = held[(p+r*ROW_STEP)*BITS+:BITS];
                end
            end
        end
    endgenerate
endmodule
