// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// y = x 2^SHIFT where x >= 0, else the other number, without a clock. x is signed; OUT_BITS holds both.
module ei_branch #(
    parameter X_BITS       = 8,
    parameter SHIFT        = 0,
    parameter OTHER_BITS   = 8,
    parameter OTHER_SIGNED = 1,
    parameter OUT_BITS     = 9
) (
    input  wire [    X_BITS-1:0] x,
    input  wire [OTHER_BITS-1:0] other,
    output wire [  OUT_BITS-1:0] y
);
    localparam TALL_X = X_BITS + SHIFT > OUT_BITS ? X_BITS + SHIFT : OUT_BITS;
    localparam TALL_O = OTHER_BITS > OUT_BITS ? OTHER_BITS : OUT_BITS;

    wire negative = x[X_BITS-1];
    wire sign = OTHER_SIGNED != 0 && other[OTHER_BITS-1];
    wire [TALL_X-1:0] wide_x;
    wire [TALL_O-1:0] wide_other;

    generate
        if (TALL_X > X_BITS) begin : g_wide_x
            assign wide_x = {{(TALL_X - X_BITS) {negative}}, x} << SHIFT;
        end else begin : g_same_x
            assign wide_x = x;
        end
        if (TALL_O > OTHER_BITS) begin : g_wide_other
            assign wide_other = {{(TALL_O - OTHER_BITS) {sign}}, other};
        end else begin : g_same_other
            assign wide_other = other;
            wire unused = &{1'b0, sign};
        end
        if (TALL_X > OUT_BITS) begin : g_spare_x
            wire unused = &{1'b0, wide_x[TALL_X-1:OUT_BITS]};
        end
        if (TALL_O > OUT_BITS) begin : g_spare_other
            wire unused = &{1'b0, wide_other[TALL_O-1:OUT_BITS]};
        end
    endgenerate

    assign y = negative ? wide_other[OUT_BITS-1:0] : wide_x[OUT_BITS-1:0];
endmodule
