// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Which tile each place of a list lies in, and when a row of tiles is complete: then its tiles that hold a
// place leave, one a cycle. `take`: a place is taken; it lies in column `at`, is the first of its tile if
// `fresh`, and lies in a whole tile if `whole`. `give`: {over, row, column} of a tile leaves, or the end.
module ei_site_tiles #(
    parameter HEIGHT = 8,
    parameter WIDTH  = 8,
    parameter TILE_H = 2,
    parameter TILE_W = 2,
    parameter RW     = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW     = WIDTH > 1 ? $clog2(WIDTH) : 1,
    parameter ROWS   = HEIGHT / TILE_H,
    parameter COLUMNS = WIDTH / TILE_W,
    parameter QW     = ROWS > 1 ? $clog2(ROWS) : 1,
    parameter PW     = COLUMNS > 1 ? $clog2(COLUMNS) : 1
) (
    input  wire           clk,
    input  wire           rst,
    input  wire           s_valid,
    output wire           s_ready,
    input  wire [RW+CW:0] s_data,
    input  wire           credit,
    output wire           take,
    output wire [ PW-1:0] at,
    output wire           fresh,
    output wire           whole,
    output wire           give,
    output wire           over,
    output reg  [ QW-1:0] row,
    output reg  [ PW-1:0] column
);
    localparam [31:0] HIGH = TILE_H;
    localparam [31:0] WIDE = TILE_W;
    localparam [31:0] ALL_ROWS = ROWS;
    localparam [31:0] ALL_COLUMNS = COLUMNS;

    wire ends = s_data[RW+CW];
    wire [31:0] tile_row = {{(32 - RW) {1'b0}}, s_data[RW+CW-1:CW]} / HIGH;
    wire [31:0] tile_column = {{(32 - CW) {1'b0}}, s_data[CW-1:0]} / WIDE;
    wire unused = &{1'b0, tile_row[31:QW], tile_column[31:PW]};

    reg [COLUMNS-1:0] marks;  // tiles of this row that hold a place
    wire none = marks == 0;
    wire [COLUMNS-1:0] first = marks & (~marks + 1'b1);
    wire stays = none || tile_row[QW-1:0] == row;
    wire flush = s_valid && !none && (ends || (whole && !stays));

    assign at = tile_column[PW-1:0];
    assign whole = tile_row < ALL_ROWS && tile_column < ALL_COLUMNS;
    assign fresh = !marks[at];
    assign take = s_valid && !ends && (stays || !whole);
    assign over = none;
    assign give = credit && (flush || (s_valid && ends));
    assign s_ready = take || (s_valid && ends && none && credit);

    integer k;
    always @* begin
        column = {PW{1'b0}};
        for (k = 0; k < COLUMNS; k = k + 1) if (first[k]) column = column | k[PW-1:0];
    end

    always @(posedge clk) begin
        if (rst) marks <= 0;
        else if (give) marks <= marks & ~first;
        else if (take && whole) marks[at] <= 1'b1;
        if (take && whole) row <= tile_row[QW-1:0];
    end
endmodule
