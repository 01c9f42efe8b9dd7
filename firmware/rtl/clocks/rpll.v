// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock by a PLL of Gowin's GW2A: crystal x FEEDBACK / REFERENCE; the oscillator runs OUTPUT
// times as fast. The crystal has 27 MHz on every board that this is used on.
module ei_board_clock #(
    parameter REFERENCE = 1,
    parameter FEEDBACK  = 1,
    parameter OUTPUT    = 2
) (
    input  wire crystal,
    output wire clk,
    output wire tick,    // of the serial line
    output wire locked
);
    assign tick = 1'b1;
    rPLL #(
        .FCLKIN("27"),
        .IDIV_SEL(REFERENCE - 1),
        .FBDIV_SEL(FEEDBACK - 1),
        .ODIV_SEL(OUTPUT),
        .DEVICE("GW2AR-18C")
    ) pll (
        .CLKIN(crystal),
        .CLKOUT(clk),
        .LOCK(locked),
        .CLKFB(1'b0),
        .RESET(1'b0),
        .RESET_P(1'b0),
        .FBDSEL(6'b0),
        .IDSEL(6'b0),
        .ODSEL(6'b0),
        .PSDA(4'b0),
        .DUTYDA(4'b0),
        .FDLY(4'b0)
    );
endmodule
