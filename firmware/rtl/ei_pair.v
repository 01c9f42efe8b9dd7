// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Two streams, element by element; KIND and shifts are those of ei_binary. Kept modulo 2^OUT_BITS.
module ei_pair #(
    parameter LANES    = 1,
    parameter A_BITS   = 8,
    parameter A_SIGNED = 0,
    parameter SHIFT_A  = 0,
    parameter B_BITS   = 8,
    parameter B_SIGNED = 0,
    parameter SHIFT_B  = 0,
    parameter KIND     = 0,
    parameter OUT_BITS = 9,
    parameter DEPTH    = 4
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [  LANES*A_BITS-1:0] s_data,
    input  wire                      b_valid,
    output wire                      b_ready,
    input  wire [  LANES*B_BITS-1:0] b_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    wire credit;
    wire step = s_valid && b_valid && credit;
    reg [1:0] alive;
    reg [LANES*A_BITS-1:0] a1;
    reg [LANES*B_BITS-1:0] b1;
    wire [LANES*OUT_BITS-1:0] y;

    assign s_ready = b_valid && credit;
    assign b_ready = s_valid && credit;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[0], step};
    end

    always @(posedge clk) begin
        a1 <= s_data;
        b1 <= b_data;
    end

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            wire [OUT_BITS-1:0] joined;
            ei_binary #(
                .A_BITS(A_BITS),
                .A_SIGNED(A_SIGNED),
                .SHIFT_A(SHIFT_A),
                .B_BITS(B_BITS),
                .B_SIGNED(B_SIGNED),
                .SHIFT_B(SHIFT_B),
                .KIND(KIND),
                .OUT_BITS(OUT_BITS)
            ) binary (
                .a(a1[k*A_BITS+:A_BITS]),
                .b(b1[k*B_BITS+:B_BITS]),
                .y(joined)
            );
            reg [OUT_BITS-1:0] out;
            always @(posedge clk) out <= joined;
            assign y[k*OUT_BITS+:OUT_BITS] = out;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(alive[1]),
        .push_data(y),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
