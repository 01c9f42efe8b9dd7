// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The sum of a tile's tokens, or the largest: a token for each tile that holds one. A pixel without a token
// counts as zero, so that the largest is negative only where a tile is full. The list of places comes beside
// the tokens (b); ei_site_coarsen makes that of the tiles.
module ei_site_pool #(
    parameter BITS     = 8,
    parameter SIGNED   = 0,
    parameter CHANNELS = 1,
    parameter HEIGHT   = 8,
    parameter WIDTH    = 8,
    parameter TILE_H   = 2,
    parameter TILE_W   = 2,
    parameter SUM      = 1,
    parameter OUT_BITS = 10,
    parameter DEPTH    = 4,
    parameter RW       = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW       = WIDTH > 1 ? $clog2(WIDTH) : 1
) (
    input  wire                         clk,
    input  wire                         rst,
    input  wire                         s_valid,
    output wire                         s_ready,
    input  wire [    CHANNELS*BITS-1:0] s_data,
    input  wire                         b_valid,
    output wire                         b_ready,
    input  wire [              RW+CW:0] b_data,
    output wire                         m_valid,
    input  wire                         m_ready,
    output wire [CHANNELS*OUT_BITS-1:0] m_data
);
    localparam ROWS = HEIGHT / TILE_H;
    localparam COLUMNS = WIDTH / TILE_W;
    localparam QW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam PW = COLUMNS > 1 ? $clog2(COLUMNS) : 1;

    wire credit, take, fresh, whole, give, over;
    wire [PW-1:0] at, column;
    wire [QW-1:0] row;
    wire unused = &{1'b0, row};

    ei_site_tiles #(
        .HEIGHT(HEIGHT),
        .WIDTH(WIDTH),
        .TILE_H(TILE_H),
        .TILE_W(TILE_W)
    ) tiles (
        .clk(clk),
        .rst(rst),
        .s_valid(b_valid && (b_data[RW+CW] || s_valid)),
        .s_ready(b_ready),
        .s_data(b_data),
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

    assign s_ready = take;

    localparam AREA = TILE_H * TILE_W;
    localparam NW = $clog2(AREA + 1);
    localparam [NW-1:0] FULL = AREA[NW-1:0];
    localparam [NW-1:0] ONE = 1;

    reg [NW+CHANNELS*OUT_BITS-1:0] partial[0:COLUMNS-1];  // with the number of tokens
    wire [PW-1:0] place = give ? column : at;
    wire [NW-1:0] count;
    wire [CHANNELS*OUT_BITS-1:0] held, after, result;
    assign {count, held} = partial[place];
    wire full = count == FULL;

    genvar c;
    generate
        for (c = 0; c < CHANNELS; c = c + 1) begin : g_channel
            wire [BITS-1:0] x = s_data[c*BITS+:BITS];
            wire [OUT_BITS-1:0] wide = {{(OUT_BITS - BITS) {SIGNED != 0 && x[BITS-1]}}, x};
            wire [OUT_BITS-1:0] old = held[c*OUT_BITS+:OUT_BITS];
            wire signed [OUT_BITS:0] new_one = {SIGNED != 0 && wide[OUT_BITS-1], wide};
            wire signed [OUT_BITS:0] old_one = {SIGNED != 0 && old[OUT_BITS-1], old};
            wire [OUT_BITS-1:0] joined = SUM != 0 ? old + wide : new_one > old_one ? wide : old;
            wire below = SUM == 0 && SIGNED != 0 && !full && old[OUT_BITS-1];
            assign after[c*OUT_BITS+:OUT_BITS] = fresh ? wide : joined;
            assign result[c*OUT_BITS+:OUT_BITS] = below ? {OUT_BITS{1'b0}} : old;
        end
    endgenerate

    always @(posedge clk) if (take && whole) partial[at] <= {fresh ? ONE : count + ONE, after};

    ei_fifo #(
        .WIDTH(CHANNELS * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(give && !over),
        .push(give && !over),
        .push_data(result),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
