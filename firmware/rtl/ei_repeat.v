// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What comes, several times beside itself: one number for all channels of a pixel.
module ei_repeat #(
    parameter WIDTH = 8,
    parameter TIMES = 2,
    parameter DEPTH = 4
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   s_valid,
    output wire                   s_ready,
    input  wire [      WIDTH-1:0] s_data,
    output wire                   m_valid,
    input  wire                   m_ready,
    output wire [TIMES*WIDTH-1:0] m_data
);
    wire step = s_valid && s_ready;
    wire [WIDTH-1:0] once;

    assign m_data = {TIMES{once}};

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(step),
        .push_data(s_data),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(once)
    );
endmodule
