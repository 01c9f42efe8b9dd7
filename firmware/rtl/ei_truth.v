// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// y = an entry for each pattern of the few bits of x, without a clock. The entries stand here and in
// no memory, bit by bit: of each bit of y a plane with its values for all patterns, y[0]'s in the
// lowest bits. So each bit is a function of x that synthesis is free to join with what follows.
module ei_truth #(
    parameter IN_BITS  = 4,
    parameter OUT_BITS = 4,
    parameter [(OUT_BITS << IN_BITS)-1:0] PLANES = 0
) (
    input  wire [ IN_BITS-1:0] x,
    output wire [OUT_BITS-1:0] y
);
    localparam ENTRIES = 1 << IN_BITS;

    genvar k;
    generate
        for (k = 0; k < OUT_BITS; k = k + 1) begin : g_bit
            wire [ENTRIES-1:0] plane = PLANES[k*ENTRIES+:ENTRIES];
            assign y[k] = plane[x];
        end
    endgenerate
endmodule
