// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// y = entry[x - FIRST], without a clock. The index is proved to stay inside the table.
module ei_lookup #(
    parameter IN_BITS   = 8,
    parameter IN_SIGNED = 0,
    parameter signed [63:0] FIRST = 0,
    parameter ENTRIES   = 256,
    parameter WORD_BITS = 8,   // of an entry
    parameter OUT_BITS  = 8,   // of those that can be reached
    parameter TABLE     = ""
) (
    input  wire [ IN_BITS-1:0] x,
    output wire [OUT_BITS-1:0] y
);
    localparam AW = ENTRIES > 1 ? $clog2(ENTRIES) : 1;
    localparam WIDE = IN_BITS + 1 > AW ? IN_BITS + 1 : AW;

    reg [WORD_BITS-1:0] entries[0:ENTRIES-1];
    initial $readmemh(TABLE, entries);

    wire sign = IN_SIGNED != 0 && x[IN_BITS-1];
    wire [WIDE-1:0] index = {{(WIDE - IN_BITS) {sign}}, x} - FIRST[WIDE-1:0];
    wire [WORD_BITS-1:0] entry = entries[index[AW-1:0]];

    assign y = entry[OUT_BITS-1:0];

    generate
        if (WIDE > AW) begin : g_spare_index
            wire unused = &{1'b0, index[WIDE-1:AW]};
        end
        if (WORD_BITS > OUT_BITS) begin : g_spare_entry
            wire unused = &{1'b0, entry[WORD_BITS-1:OUT_BITS]};
        end
    endgenerate
endmodule
