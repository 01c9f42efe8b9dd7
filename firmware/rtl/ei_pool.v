// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Pooling over tiles: windows that touch and do not overlap. A pixel comes as GROUPS beats of LANES
// channels; rows and columns beyond the last whole tile are read and left out. Unlike a window, a
// tile needs no pixel kept: only one partial result for each tile of a row.
module ei_pool #(
    parameter BITS     = 8,
    parameter SIGNED   = 0,
    parameter LANES    = 1,
    parameter GROUPS   = 1,
    parameter HEIGHT   = 4,
    parameter WIDTH    = 4,
    parameter TILE_H   = 2,
    parameter TILE_W   = 2,
    parameter SUM      = 0,
    parameter OUT_BITS = 8,
    parameter DEPTH    = 4
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [    LANES*BITS-1:0] s_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    localparam TILES_H = HEIGHT / TILE_H;
    localparam TILES_W = WIDTH / TILE_W;
    localparam PARTIALS = TILE_H > 1 ? TILES_W * GROUPS : GROUPS;
    localparam GW = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam HW = TILE_H > 1 ? $clog2(TILE_H) : 1;
    localparam VW = TILE_W > 1 ? $clog2(TILE_W) : 1;
    localparam RW = HEIGHT > 1 ? $clog2(HEIGHT) : 1;
    localparam CW = WIDTH > 1 ? $clog2(WIDTH) : 1;
    localparam TW = $clog2(TILES_H + 1);
    localparam UW = $clog2(TILES_W + 1);
    localparam PW = PARTIALS > 1 ? $clog2(PARTIALS) : 1;
    localparam [GW-1:0] LAST_GROUP = GROUPS[GW-1:0] - 1'b1;
    localparam [HW-1:0] LAST_H = TILE_H[HW-1:0] - 1'b1;
    localparam [VW-1:0] LAST_W = TILE_W[VW-1:0] - 1'b1;
    localparam [RW-1:0] LAST_ROW = HEIGHT[RW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_COLUMN = WIDTH[CW-1:0] - 1'b1;

    reg [GW-1:0] group;
    reg [RW-1:0] row;
    reg [CW-1:0] column;
    reg [HW-1:0] in_tile_h;
    reg [VW-1:0] in_tile_w;
    reg [TW-1:0] tiles_h;  // whole tiles above
    reg [UW-1:0] tiles_w;  // whole tiles to the left
    reg [PW-1:0] first;    // of the partial results of this tile

    wire credit;
    wire counts = tiles_h != TILES_H[TW-1:0] && tiles_w != TILES_W[UW-1:0];
    wire emit = counts && in_tile_h == LAST_H && in_tile_w == LAST_W;
    wire opening = in_tile_h == 0 && in_tile_w == 0;
    wire step = s_valid && s_ready;

    assign s_ready = !emit || credit;

    always @(posedge clk) begin
        if (rst) begin
            group     <= 0;
            row       <= 0;
            column    <= 0;
            in_tile_h <= 0;
            in_tile_w <= 0;
            tiles_h   <= 0;
            tiles_w   <= 0;
            first     <= 0;
        end else if (step) begin
            group <= group == LAST_GROUP ? {GW{1'b0}} : group + 1'b1;
            if (group == LAST_GROUP) begin
                if (column == LAST_COLUMN) begin
                    column    <= 0;
                    in_tile_w <= 0;
                    tiles_w   <= 0;
                    first     <= 0;
                    if (row == LAST_ROW) begin
                        row       <= 0;
                        in_tile_h <= 0;
                        tiles_h   <= 0;
                    end else begin
                        row       <= row + 1'b1;
                        in_tile_h <= in_tile_h == LAST_H ? {HW{1'b0}} : in_tile_h + 1'b1;
                        if (in_tile_h == LAST_H) tiles_h <= tiles_h + 1'b1;
                    end
                end else begin
                    column    <= column + 1'b1;
                    in_tile_w <= in_tile_w == LAST_W ? {VW{1'b0}} : in_tile_w + 1'b1;
                    if (in_tile_w == LAST_W) begin
                        tiles_w <= tiles_w + 1'b1;
                        if (TILE_H > 1) first <= first + GROUPS[PW-1:0];
                    end
                end
            end
        end
    end

    reg [LANES*OUT_BITS-1:0] partial[0:PARTIALS-1];
    wire [PW-1:0] place;
    wire [LANES*OUT_BITS-1:0] old = partial[place];
    wire [LANES*OUT_BITS-1:0] pooled;

    generate
        if (GROUPS > 1) begin : g_groups
            assign place = first + {{(PW - GW) {1'b0}}, group};
        end else begin : g_one_group
            assign place = first;
        end
    endgenerate

    always @(posedge clk) if (step && counts) partial[place] <= pooled;

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            wire [BITS-1:0] x = s_data[k*BITS+:BITS];
            wire [OUT_BITS-1:0] a = old[k*OUT_BITS+:OUT_BITS];
            wire [OUT_BITS-1:0] b = {{(OUT_BITS - BITS) {SIGNED != 0 && x[BITS-1]}}, x};
            wire [OUT_BITS-1:0] joined;
            if (SUM) begin : g_sum
                assign joined = a + b;
            end else if (SIGNED) begin : g_signed_max
                assign joined = $signed(a) > $signed(b) ? a : b;
            end else begin : g_max
                assign joined = a > b ? a : b;
            end
            assign pooled[k*OUT_BITS+:OUT_BITS] = opening ? b : joined;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && emit),
        .push(step && emit),
        .push_data(pooled),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
