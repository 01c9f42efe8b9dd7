// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A number brought into a type's range. OVERFLOW: 0 drops the upper bits (WRAP), 1 yields the
// nearest end (SAT), 2 yields zero (SAT_ZERO), 3 the nearest end of the symmetric range (SAT_SYM). Y_BITS
// are enough for the results that can come.
module ei_limit #(
    parameter BITS       = 12,
    parameter SIGNED     = 1,
    parameter OUT_BITS   = 8,
    parameter OUT_SIGNED = 0,
    parameter OVERFLOW   = 1,
    parameter Y_BITS     = OUT_BITS
) (
    input  wire [  BITS-1:0] x,
    output wire [Y_BITS-1:0] y
);
    localparam WIDE = BITS > OUT_BITS ? BITS + 1 : OUT_BITS + 1;
    localparam [OUT_BITS-1:0] ONE = 1;
    localparam [OUT_BITS-1:0] ALL = {OUT_BITS{1'b1}};
    localparam [OUT_BITS-1:0] MOST = OUT_SIGNED ? ALL >> 1 : ALL;
    localparam [OUT_BITS-1:0] LEAST = OUT_SIGNED ? ~(ALL >> 1) : {OUT_BITS{1'b0}};
    localparam [OUT_BITS-1:0] BOTTOM = OUT_SIGNED && OVERFLOW == 3 ? LEAST + ONE : LEAST;

    wire [WIDE-1:0] wide = {{(WIDE - BITS) {SIGNED != 0 && x[BITS-1]}}, x};
    wire negative = wide[WIDE-1];
    wire [OUT_BITS-1:0] kept = wide[OUT_BITS-1:0];
    wire [WIDE-OUT_BITS-1:0] upper = wide[WIDE-1:OUT_BITS];
    wire sign = OUT_SIGNED != 0 && kept[OUT_BITS-1];
    wire fits = upper == {(WIDE - OUT_BITS) {sign}};
    wire asymmetric = OVERFLOW == 3 && OUT_SIGNED != 0 && kept == LEAST;
    wire [OUT_BITS-1:0] end_of_range = OVERFLOW == 2 ? {OUT_BITS{1'b0}} : negative ? BOTTOM : MOST;

    wire [OUT_BITS-1:0] limited = OVERFLOW == 0 || (fits && !asymmetric) ? kept : end_of_range;

    assign y = limited[Y_BITS-1:0];

    generate
        if (OUT_BITS > Y_BITS) begin : g_spare
            wire unused = &{1'b0, limited[OUT_BITS-1:Y_BITS]};
        end
    endgenerate
endmodule
