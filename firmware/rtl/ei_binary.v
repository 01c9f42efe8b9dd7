// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Two numbers as one, without a clock. KIND: 0 a + b, 1 a - b, 2 a b, 3 the larger, 4 the smaller. Each is
// brought to the finer grid first, by SHIFT_A and SHIFT_B bits. Kept modulo 2^OUT_BITS.
//
// A sum has one bit more below, always zero, that nothing reads. It takes no logic, and keeps Yosys from making one
// addition of three numbers where a sum is added to another: that takes three LUTs a bit, two additions take two.
module ei_binary #(
    parameter A_BITS   = 8,
    parameter A_SIGNED = 0,
    parameter SHIFT_A  = 0,
    parameter B_BITS   = 8,
    parameter B_SIGNED = 0,
    parameter SHIFT_B  = 0,
    parameter KIND     = 0,
    parameter OUT_BITS = 9
) (
    input  wire [  A_BITS-1:0] a,
    input  wire [  B_BITS-1:0] b,
    output wire [OUT_BITS-1:0] y
);
    localparam WIDE_A = A_BITS + SHIFT_A + 1;
    localparam WIDE_B = B_BITS + SHIFT_B + 1;
    localparam W_BITS = KIND == 2 ? A_BITS + B_BITS + 2 : WIDE_A > WIDE_B ? WIDE_A + 1 : WIDE_B + 1;
    localparam E_BITS = W_BITS > OUT_BITS ? W_BITS : OUT_BITS;

    wire sign_a = A_SIGNED != 0 && a[A_BITS-1];
    wire sign_b = B_SIGNED != 0 && b[B_BITS-1];
    wire signed [E_BITS-1:0] wide_a = {{(E_BITS - A_BITS) {sign_a}}, a} << SHIFT_A;
    wire signed [E_BITS-1:0] wide_b = {{(E_BITS - B_BITS) {sign_b}}, b} << SHIFT_B;
    wire [E_BITS-1:0] joined;

    generate
        if (KIND == 0) begin : g_add
            wire [E_BITS:0] sum = {wide_a, 1'b0} + {wide_b, 1'b0};
            wire unused_zero = sum[0];
            assign joined = sum[E_BITS:1];
        end else if (KIND == 1) begin : g_sub
            wire [E_BITS:0] sum = {wide_a, 1'b0} - {wide_b, 1'b0};
            wire unused_zero = sum[0];
            assign joined = sum[E_BITS:1];
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
    endgenerate

    assign y = joined[OUT_BITS-1:0];
endmodule
