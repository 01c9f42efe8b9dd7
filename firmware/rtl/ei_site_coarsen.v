// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The list of the tiles, TILE_H x TILE_W pixels each, that hold a place of the list: {end, row, column} both.
// What lies in no whole tile is left out.
module ei_site_coarsen #(
    parameter HEIGHT = 8,
    parameter WIDTH  = 8,
    parameter TILE_H = 2,
    parameter TILE_W = 2,
    parameter DEPTH  = 4,
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
    output wire           m_valid,
    input  wire           m_ready,
    output wire [QW+PW:0] m_data
);
    wire credit, take, fresh, whole, give, over;
    wire [PW-1:0] at;
    wire [QW-1:0] row;
    wire [PW-1:0] column;

    ei_site_tiles #(
        .HEIGHT(HEIGHT),
        .WIDTH(WIDTH),
        .TILE_H(TILE_H),
        .TILE_W(TILE_W)
    ) tiles (
        .clk(clk),
        .rst(rst),
        .s_valid(s_valid),
        .s_ready(s_ready),
        .s_data(s_data),
        .credit(credit),
        .take(take),
        .at(at),
        .fresh(fresh),
        .whole(whole),
        .give(give),
        .over(over),
        .row(row),
        .column(column)
    );

    wire unused = &{1'b0, take, at, fresh, whole};

    ei_fifo #(
        .WIDTH(QW + PW + 1),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(give),
        .push(give),
        .push_data({over, row, column}),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
