// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock by a PLL of the iCE40: its oscillator runs at crystal x FEEDBACK / REFERENCE, the clock is
// that / OUTPUT, a power of two. The filter is that for 10 to 17 MHz at the comparison: the crystal has 12 MHz
// on every board that this is used on.
module ei_board_clock #(
    parameter REFERENCE = 1,
    parameter FEEDBACK  = 64,
    parameter OUTPUT    = 32
) (
    input  wire crystal,
    output wire clk,
    output wire tick,    // of the serial line
    output wire locked
);
    assign tick = 1'b1;
    SB_PLL40_PAD #(
        .FEEDBACK_PATH("SIMPLE"),
        .DIVR(REFERENCE - 1),
        .DIVF(FEEDBACK - 1),
        .DIVQ($clog2(OUTPUT)),
        .FILTER_RANGE(3'd1)
    ) pll (
        .PACKAGEPIN(crystal),
        .PLLOUTGLOBAL(clk),
        .LOCK(locked),
        .RESETB(1'b1),
        .BYPASS(1'b0)
    );
endmodule
