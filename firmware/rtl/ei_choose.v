// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// One of WORDS words, the first one lowest: chosen two by two, by one bit of its number after the other.
// Comparisons with every number would take up to twice as many LUTs; an index times a width would be a
// multiplication in hardware.
module ei_choose #(
    parameter WIDTH = 8,
    parameter WORDS = 2,
    parameter NUMBER_BITS = 1  // 2^NUMBER_BITS >= WORDS > 1
) (
    input  wire [WORDS*WIDTH-1:0] words,
    input  wire [NUMBER_BITS-1:0] number,
    output wire [      WIDTH-1:0] word
);
    genvar l, w;
    generate
        for (l = 0; l <= NUMBER_BITS; l = l + 1) begin : g_level
            localparam LEFT = (WORDS + (1 << l) - 1) >> l;
            wire [LEFT*WIDTH-1:0] chosen;
            if (l == 0) begin : g_all
                assign chosen = words;
            end else begin : g_half
                for (w = 0; w < LEFT; w = w + 1) begin : g_one
                    if (((2 * w + 1) << (l - 1)) < WORDS) begin : g_two
                        assign chosen[w*WIDTH+:WIDTH] = number[l-1]
                            ? g_level[l-1].chosen[(2*w+1)*WIDTH+:WIDTH]
                            : g_level[l-1].chosen[2*w*WIDTH+:WIDTH];
                    end else begin : g_last
                        assign chosen[w*WIDTH+:WIDTH] = g_level[l-1].chosen[2*w*WIDTH+:WIDTH];
                    end
                end
            end
        end
    endgenerate

    assign word = g_level[NUMBER_BITS].chosen;
endmodule
