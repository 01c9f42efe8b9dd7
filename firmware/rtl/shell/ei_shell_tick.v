// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A tick of `clk` for each cycle of a crystal, so that a serial line keeps the crystal's time where the design's
// clock is not as exact. `clk` must be more than twice as fast as the crystal.
module ei_shell_tick (
    input  wire crystal,
    input  wire clk,
    output reg  tick
);
    reg turned;      // with each cycle of the crystal
    reg [2:0] seen;  // the last two of these differ for one cycle after each turn

    initial turned = 1'b0;
    initial seen = 3'b000;

    always @(posedge crystal) turned <= !turned;

    always @(posedge clk) begin
        seen <= {seen[1:0], turned};
        tick <= seen[2] != seen[1];
    end
endmodule
