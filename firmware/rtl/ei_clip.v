// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Numbers limited from below, from above, or both: ReLU is LOW = 0. W_BITS holds every number and
// both limits as signed numbers.
module ei_clip #(
    parameter LANES     = 1,
    parameter IN_BITS   = 8,
    parameter IN_SIGNED = 1,
    parameter OUT_BITS  = 8,
    parameter W_BITS    = 9,
    parameter HAS_LOW   = 1,
    parameter HAS_HIGH  = 0,
    parameter signed [W_BITS-1:0] LOW  = 0,
    parameter signed [W_BITS-1:0] HIGH = 0,
    parameter DEPTH     = 4
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [ LANES*IN_BITS-1:0] s_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    wire step = s_valid && s_ready;
    wire [LANES*OUT_BITS-1:0] clipped;

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            ei_bound #(
                .IN_BITS(IN_BITS),
                .IN_SIGNED(IN_SIGNED),
                .OUT_BITS(OUT_BITS),
                .W_BITS(W_BITS),
                .HAS_LOW(HAS_LOW),
                .HAS_HIGH(HAS_HIGH),
                .LOW(LOW),
                .HIGH(HIGH)
            ) bound (
                .x(s_data[k*IN_BITS+:IN_BITS]),
                .y(clipped[k*OUT_BITS+:OUT_BITS])
            );
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(step),
        .push_data(clipped),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
