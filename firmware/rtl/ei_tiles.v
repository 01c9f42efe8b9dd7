// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where we are along an axis of SIZE that is cut into tiles of TILE; what is beyond the last whole tile does
// not count. Everything is known a step ahead and comes out of a register.
module ei_tiles #(
    parameter SIZE = 4,
    parameter TILE = 2
) (
    input  wire clk,
    input  wire rst,
    input  wire next,    // on to the next place, or from the last back to the first
    output reg  last,    // the last place of all
    output reg  opens,   // the first of a tile
    output reg  full,    // the last of a tile, or of as much
    output reg  counts,  // in a whole tile
    output reg  closes   // the last of a whole tile
);
    localparam WHOLE = SIZE / TILE * TILE;
    localparam AW = $clog2(SIZE + 1);
    localparam TW = $clog2(TILE + 1);
    localparam [AW-1:0] LAST = SIZE[AW-1:0] - 1'b1;
    localparam [TW-1:0] LAST_IN = TILE[TW-1:0] - 1'b1;

    reg [AW-1:0] at;
    reg [TW-1:0] in_tile;
    wire [AW-1:0] next_at = last ? {AW{1'b0}} : at + 1'b1;
    wire [TW-1:0] next_in = last || full ? {TW{1'b0}} : in_tile + 1'b1;
    wire whole = next_at < WHOLE[AW-1:0];

    always @(posedge clk) begin
        if (rst) begin
            at      <= 0;
            in_tile <= 0;
            last    <= SIZE == 1;
            opens   <= 1'b1;
            full    <= TILE == 1;
            counts  <= 1'b1;
            closes  <= TILE == 1;
        end else if (next) begin
            at      <= next_at;
            in_tile <= next_in;
            last    <= next_at == LAST;
            opens   <= next_in == 0;
            full    <= next_in == LAST_IN;
            counts  <= whole;
            closes  <= next_in == LAST_IN && whole;
        end
    end
endmodule
