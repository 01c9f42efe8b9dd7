// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock is the crystal's. A simulation has this in the place of a PLL, and gives `crystal` the
// design's clock.
module ei_board_clock #(
    parameter REFERENCE = 1,
    parameter FEEDBACK  = 1,
    parameter OUTPUT    = 1
) (
    input  wire crystal,
    output wire clk,
    output wire tick,    // of the serial line
    output wire locked
);
    assign tick = 1'b1;
    assign clk = crystal;
    assign locked = REFERENCE != 0 && FEEDBACK != 0 && OUTPUT != 0;
endmodule
