// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The way back to finer sites: for each place in the list of outputs (o), its part of the token of the tile
// that it lies in, TILE_H x TILE_W pixels. Such a token has the channels of all pixels of its tile, row by row,
// and comes in BEATS beats; its place lies in the list b. Places are {end, row, column}. Every tile that holds a
// place of `o` has a token, and no other.
//
// The tokens of one row of tiles are held. Those of the next are taken when all places of this row have left.
module ei_site_up #(
    parameter PIXEL  = 8,  // bits of a finer pixel with its channels
    parameter HEIGHT = 8,
    parameter WIDTH  = 8,
    parameter TILE_H = 2,
    parameter TILE_W = 2,
    parameter BEATS  = 1,  // divides the pixels of a tile
    parameter DEPTH  = 4,
    parameter RW     = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW     = WIDTH > 1 ? $clog2(WIDTH) : 1,
    parameter ROWS   = HEIGHT / TILE_H,
    parameter COLUMNS = WIDTH / TILE_W,
    parameter QW     = ROWS > 1 ? $clog2(ROWS) : 1,
    parameter PW     = COLUMNS > 1 ? $clog2(COLUMNS) : 1,
    parameter PARTS  = TILE_H * TILE_W / BEATS  // pixels of a beat
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   s_valid,
    output wire                   s_ready,
    input  wire [PARTS*PIXEL-1:0] s_data,
    input  wire                   b_valid,
    output wire                   b_ready,
    input  wire [        QW+PW:0] b_data,
    input  wire                   o_valid,
    output wire                   o_ready,
    input  wire [        RW+CW:0] o_data,
    output wire                   m_valid,
    input  wire                   m_ready,
    output wire [      PIXEL-1:0] m_data
);
    localparam TW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam AW = BEATS > 1 ? PW + TW : PW;
    localparam WORDS = BEATS > 1 ? COLUMNS << TW : COLUMNS;
    localparam KW = PARTS > 1 ? $clog2(PARTS) : 1;
    localparam [TW-1:0] LAST_BEAT = BEATS[TW-1:0] - 1'b1;
    localparam [31:0] HIGH = TILE_H;
    localparam [31:0] WIDE = TILE_W;
    localparam [31:0] EACH = PARTS;

    // What comes.
    reg [TW-1:0] beat;  // of the token
    wire b_end = b_data[QW+PW];
    wire [QW-1:0] b_row = b_data[QW+PW-1:PW];
    wire [PW-1:0] b_column = b_data[PW-1:0];
    wire o_end = o_data[RW+CW];
    wire [31:0] fine_row = {{(32 - RW) {1'b0}}, o_data[RW+CW-1:CW]};
    wire [31:0] fine_column = {{(32 - CW) {1'b0}}, o_data[CW-1:0]};
    wire [31:0] tile_row = fine_row / HIGH;
    wire [31:0] tile_column = fine_column / WIDE;
    wire [31:0] part = fine_row % HIGH * WIDE + fine_column % WIDE;
    wire [31:0] part_beat = part / EACH;
    wire [31:0] part_of_beat = part % EACH;
    wire [QW-1:0] o_row = tile_row[QW-1:0];
    wire [PW-1:0] o_column = tile_column[PW-1:0];
    wire [PW+TW-1:0] write_at = {b_column, beat};
    wire [PW+TW-1:0] read_at = {o_column, part_beat[TW-1:0]};
    wire unused = &{1'b0, tile_row[31:QW], tile_column[31:PW], part_beat[31:TW], part_of_beat[31:KW],
        write_at[0], read_at[0]};

    reg [QW-1:0] row;     // of the tiles that are held
    reg some;             // whole tokens are, up to the column `newest`
    reg [PW-1:0] newest;
    wire credit;

    wire same = b_row == row;
    wire free = same || (o_valid && !o_end && o_row == b_row);
    wire write = b_valid && !b_end && s_valid && free;
    wire whole = write && beat == LAST_BEAT;
    wire step = some && o_valid && !o_end && o_row == row && o_column <= newest && credit;
    wire ending = b_valid && b_end && o_valid && o_end;

    assign s_ready = write;
    assign b_ready = whole || ending;
    assign o_ready = step || ending;

    always @(posedge clk) begin
        if (rst) begin
            row  <= 0;
            some <= 1'b0;
            beat <= 0;
        end else begin
            some <= whole || (some && !ending && !(write && !same));
            if (write) row <= b_row;
            if (write) beat <= whole ? {TW{1'b0}} : beat + 1'b1;
        end
    end

    always @(posedge clk) if (whole) newest <= b_column;

    // A word is read a cycle after the place was there, and its part chosen in the next.
    reg [PARTS*PIXEL-1:0] memory[0:WORDS-1];
    reg [PARTS*PIXEL-1:0] word;
    reg [KW-1:0] number;
    reg [PIXEL-1:0] chosen, out;
    reg [1:0] alive;

    always @(posedge clk) begin
        if (write) memory[write_at[PW+TW-1-:AW]] <= s_data;
        word   <= memory[read_at[PW+TW-1-:AW]];
        number <= part_of_beat[KW-1:0];
    end

    integer k;
    always @* begin
        chosen = {PIXEL{1'b0}};
        for (k = 0; k < PARTS; k = k + 1)
            chosen = chosen | (word[k*PIXEL+:PIXEL] & {PIXEL{number == k[KW-1:0]}});
    end

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[0], step};
    end
    always @(posedge clk) out <= chosen;

    ei_fifo #(
        .WIDTH(PIXEL),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(alive[1]),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
