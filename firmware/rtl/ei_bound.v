// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A number limited from below, from above, or both, without a clock. W_BITS holds every number and both
// limits as signed numbers.
module ei_bound #(
    parameter IN_BITS   = 8,
    parameter IN_SIGNED = 1,
    parameter OUT_BITS  = 8,
    parameter W_BITS    = 9,
    parameter HAS_LOW   = 1,
    parameter HAS_HIGH  = 0,
    parameter signed [W_BITS-1:0] LOW  = 0,
    parameter signed [W_BITS-1:0] HIGH = 0
) (
    input  wire [ IN_BITS-1:0] x,
    output wire [OUT_BITS-1:0] y
);
    wire sign = IN_SIGNED != 0 && x[IN_BITS-1];
    wire signed [W_BITS-1:0] wide = {{(W_BITS - IN_BITS) {sign}}, x};
    wire signed [W_BITS-1:0] above = HAS_LOW != 0 && wide < LOW ? LOW : wide;
    wire signed [W_BITS-1:0] bounded = HAS_HIGH != 0 && above > HIGH ? HIGH : above;

    assign y = bounded[OUT_BITS-1:0];

    generate
        if (W_BITS > OUT_BITS) begin : g_spare
            wire unused = &{1'b0, bounded[W_BITS-1:OUT_BITS]};
        end
    endgenerate
endmodule
