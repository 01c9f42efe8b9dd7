// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Two streams, element by element. KIND: 0 a + b, 1 a - b, 2 a b, 3 the larger, 4 the smaller. Each is
// brought to the finer grid first, by SHIFT_A and SHIFT_B bits. Kept modulo 2^OUT_BITS.
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
    localparam WIDE_A = A_BITS + SHIFT_A + 1;
    localparam WIDE_B = B_BITS + SHIFT_B + 1;
    localparam W_BITS = KIND == 2 ? A_BITS + B_BITS + 2 : WIDE_A > WIDE_B ? WIDE_A + 1 : WIDE_B + 1;
    localparam E_BITS = W_BITS > OUT_BITS ? W_BITS : OUT_BITS;

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
            wire [A_BITS-1:0] a = a1[k*A_BITS+:A_BITS];
            wire [B_BITS-1:0] b = b1[k*B_BITS+:B_BITS];
            wire sign_a = A_SIGNED != 0 && a[A_BITS-1];
            wire sign_b = B_SIGNED != 0 && b[B_BITS-1];
            wire signed [E_BITS-1:0] wide_a = {{(E_BITS - A_BITS) {sign_a}}, a} << SHIFT_A;
            wire signed [E_BITS-1:0] wide_b = {{(E_BITS - B_BITS) {sign_b}}, b} << SHIFT_B;
            wire [E_BITS-1:0] joined;
            if (KIND == 0) begin : g_add
                assign joined = wide_a + wide_b;
            end else if (KIND == 1) begin : g_sub
                assign joined = wide_a - wide_b;
            end else if (KIND == 2) begin : g_mul
                assign joined = wide_a * wide_b;
            end else if (KIND == 3) begin : g_max
                assign joined = wide_a > wide_b ? wide_a : wide_b;
            end else begin : g_min
                assign joined = wide_a < wide_b ? wide_a : wide_b;
            end
            if (E_BITS > OUT_BITS) begin : g_spare
                wire unused = &{1'b0, joined[E_BITS-1:OUT_BITS]};
            end
            reg [OUT_BITS-1:0] out;
            always @(posedge clk) out <= joined[OUT_BITS-1:0];
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
