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
    localparam TILES_W = WIDTH / TILE_W;
    localparam PARTIALS = TILE_H > 1 ? TILES_W * GROUPS : GROUPS;
    localparam GW = GROUPS > 1 ? $clog2(GROUPS) : 1;
    localparam PW = PARTIALS > 1 ? $clog2(PARTIALS) : 1;
    localparam [GW-1:0] LAST_GROUP = GROUPS[GW-1:0] - 1'b1;

    reg [GW-1:0] group;
    reg group_last;
    reg [PW-1:0] first;  // of the partial results of this tile
    wire row_last, row_opens, row_full, row_counts, row_closes;
    wire column_last, column_opens, column_full, column_counts, column_closes;

    wire credit;
    wire counts = row_counts && column_counts;
    wire emit = row_closes && column_closes;
    wire opening = row_opens && column_opens;
    wire step = s_valid && s_ready;
    wire next_column = step && group_last;
    wire next_row = next_column && column_last;
    wire [GW-1:0] next_group = group_last ? {GW{1'b0}} : group + 1'b1;
    wire unused_row = &{1'b0, row_last, row_full};

    assign s_ready = !emit || credit;

    ei_tiles #(
        .SIZE(HEIGHT),
        .TILE(TILE_H)
    ) rows (
        .clk(clk),
        .rst(rst),
        .next(next_row),
        .last(row_last),
        .opens(row_opens),
        .full(row_full),
        .counts(row_counts),
        .closes(row_closes)
    );

    ei_tiles #(
        .SIZE(WIDTH),
        .TILE(TILE_W)
    ) columns (
        .clk(clk),
        .rst(rst),
        .next(next_column),
        .last(column_last),
        .opens(column_opens),
        .full(column_full),
        .counts(column_counts),
        .closes(column_closes)
    );

    always @(posedge clk) begin
        if (rst) begin
            group      <= 0;
            group_last <= GROUPS == 1;
            first      <= 0;
        end else if (step) begin
            group      <= next_group;
            group_last <= next_group == LAST_GROUP;
            if (next_row) first <= 0;
            else if (next_column && column_full && TILE_H > 1) first <= first + GROUPS[PW-1:0];
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
