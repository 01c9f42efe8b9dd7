// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The same number STAGES cycles later.
module ei_delay #(
    parameter BITS   = 8,
    parameter STAGES = 1
) (
    input  wire            clk,
    input  wire [BITS-1:0] x,
    output wire [BITS-1:0] y
);
    reg [STAGES*BITS-1:0] held;  // the oldest on top

    assign y = held[STAGES*BITS-1-:BITS];

    generate
        if (STAGES == 1) begin : g_one
            always @(posedge clk) held <= x;
        end else begin : g_more
            always @(posedge clk) held <= {held[(STAGES-1)*BITS-1:0], x};
        end
    endgenerate
endmodule
