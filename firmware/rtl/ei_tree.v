// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The sum or the maximum of N signed numbers, LEVELS cycles later; 2^LEVELS >= N. A register follows
// every adder. Sums are kept modulo 2^OUT: an upper part that cannot matter is never made.
module ei_tree #(
    parameter N      = 2,
    parameter BITS   = 8,
    parameter OUT    = 9,
    parameter LEVELS = 1,
    parameter MAX    = 0
) (
    input  wire              clk,
    input  wire [N*BITS-1:0] x,
    output wire [   OUT-1:0] y
);
    localparam GROWN = MAX ? BITS : BITS + LEVELS - 1;
    localparam PART = GROWN < OUT ? GROWN : OUT;  // what the level below yields
    localparam UPPER = N / 2;
    localparam LOWER = N - UPPER;

    wire unused_clk = &{1'b0, clk};  // a leaf has no register

    generate
        if (LEVELS == 0) begin : g_leaf
            if (OUT > BITS) begin : g_extend
                assign y = {{(OUT - BITS) {x[BITS-1]}}, x};
            end else if (OUT < BITS) begin : g_cut
                assign y = x[OUT-1:0];
                wire unused_x = &{1'b0, x[BITS-1:OUT]};
            end else begin : g_same
                assign y = x;
            end
        end else if (N == 1) begin : g_delay
            wire [PART-1:0] a;
            reg  [PART-1:0] held;
            ei_tree #(
                .N(1),
                .BITS(BITS),
                .OUT(PART),
                .LEVELS(LEVELS - 1),
                .MAX(MAX)
            ) below (
                .clk(clk),
                .x(x),
                .y(a)
            );
            always @(posedge clk) held <= a;
            assign y = {{(OUT - PART) {held[PART-1]}}, held};
        end else begin : g_join
            wire [PART-1:0] a;
            wire [PART-1:0] b;
            reg  [ OUT-1:0] held;
            wire [ OUT-1:0] wide_a = {{(OUT - PART) {a[PART-1]}}, a};
            wire [ OUT-1:0] wide_b = {{(OUT - PART) {b[PART-1]}}, b};
            ei_tree #(
                .N(LOWER),
                .BITS(BITS),
                .OUT(PART),
                .LEVELS(LEVELS - 1),
                .MAX(MAX)
            ) low (
                .clk(clk),
                .x(x[LOWER*BITS-1:0]),
                .y(a)
            );
            ei_tree #(
                .N(UPPER),
                .BITS(BITS),
                .OUT(PART),
                .LEVELS(LEVELS - 1),
                .MAX(MAX)
            ) high (
                .clk(clk),
                .x(x[N*BITS-1:LOWER*BITS]),
                .y(b)
            );
            if (MAX) begin : g_max
                always @(posedge clk) held <= $signed(a) > $signed(b) ? wide_a : wide_b;
            end else begin : g_sum
                always @(posedge clk) held <= wide_a + wide_b;
            end
            assign y = held;
        end
    endgenerate
endmodule
