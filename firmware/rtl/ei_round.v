// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// x / 2^SHIFT on the integer grid, exact but for the rounding; a negative SHIFT multiplies.
//
// ROUNDING: 0 towards minus infinity (TRN), 1 towards zero (TRN_ZERO), else to the nearest, ties going
// 2 up (RND), 3 towards zero (RND_ZERO), 4 away from zero (RND_INF), 5 down (RND_MIN_INF), 6 to even
// (RND_CONV). The result is signed; ei_requant's R_BITS hold every one, and fewer are enough for those that
// can come.
module ei_round #(
    parameter BITS     = 16,
    parameter SIGNED   = 1,
    parameter SHIFT    = 4,
    parameter ROUNDING = 6,
    parameter OUT      = 14
) (
    input  wire [BITS-1:0] x,
    output wire [ OUT-1:0] y
);
    wire sign = SIGNED != 0 && x[BITS-1];

    generate
        if (SHIFT <= 0) begin : g_left
            wire [OUT-1:0] wide = {{(OUT - BITS) {sign}}, x};
            assign y = wide << (-SHIFT);
        end else begin : g_right
            localparam WIDE = BITS + 1 > SHIFT + 1 ? BITS + 1 : SHIFT + 1;
            localparam F_BITS = WIDE - SHIFT;
            wire [WIDE-1:0] wide = {{(WIDE - BITS) {sign}}, x};
            wire [F_BITS-1:0] floor = wide[WIDE-1:SHIFT];
            wire half = wide[SHIFT-1];
            wire rest;  // anything below the half
            if (SHIFT > 1) begin : g_rest
                assign rest = |wide[SHIFT-2:0];
            end else begin : g_no_rest
                assign rest = 1'b0;
            end
            wire beyond = half && rest;
            wire up = ROUNDING == 1 ? sign && (half || rest) :
                      ROUNDING == 2 ? half :
                      ROUNDING == 3 ? (sign ? half : beyond) :
                      ROUNDING == 4 ? (sign ? beyond : half) :
                      ROUNDING == 5 ? beyond :
                      ROUNDING == 6 ? half && (rest || floor[0]) : 1'b0;
            localparam S_BITS = F_BITS + 1 > OUT ? F_BITS + 1 : OUT;
            wire [S_BITS-1:0] sum = {{(S_BITS - F_BITS) {floor[F_BITS-1]}}, floor} + {{(S_BITS - 1) {1'b0}}, up};
            assign y = sum[OUT-1:0];
            if (S_BITS > OUT) begin : g_spare
                wire unused = &{1'b0, sum[S_BITS-1:OUT]};
            end
        end
    endgenerate
endmodule
