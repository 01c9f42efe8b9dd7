// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// One stream for two readers, each with a queue of its own.
module ei_fork #(
    parameter WIDTH = 8,
    parameter DEPTH = 4,
    parameter DEPTH_B = 4
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             s_valid,
    output wire             s_ready,
    input  wire [WIDTH-1:0] s_data,
    output wire             m_valid,
    input  wire             m_ready,
    output wire [WIDTH-1:0] m_data,
    output wire             b_valid,
    input  wire             b_ready,
    output wire [WIDTH-1:0] b_data
);
    wire credit_m;
    wire credit_b;
    wire step = s_valid && s_ready;

    assign s_ready = credit_m && credit_b;

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue_m (
        .clk(clk),
        .rst(rst),
        .credit(credit_m),
        .take(step),
        .push(step),
        .push_data(s_data),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH_B)
    ) queue_b (
        .clk(clk),
        .rst(rst),
        .credit(credit_b),
        .take(step),
        .push(step),
        .push_data(s_data),
        .m_valid(b_valid),
        .m_ready(b_ready),
        .m_data(b_data)
    );
endmodule
