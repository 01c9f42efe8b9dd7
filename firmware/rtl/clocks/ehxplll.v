// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock by a PLL of the ECP5: crystal x FEEDBACK / REFERENCE; the oscillator runs OUTPUT times
// as fast. The attributes set the loop filter, as Lattice's tools do for every ratio.
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
    (* ICP_CURRENT = "12" *) (* LPF_RESISTOR = "8" *) (* MFG_ENABLE_FILTEROPAMP = "1" *)
    (* MFG_GMCREF_SEL = "2" *)
    EHXPLLL #(
        .CLKI_DIV(REFERENCE),
        .CLKFB_DIV(FEEDBACK),
        .CLKOP_DIV(OUTPUT),
        .CLKOP_CPHASE(OUTPUT / 2),
        .CLKOP_FPHASE(0),
        .CLKOP_ENABLE("ENABLED"),
        .FEEDBK_PATH("CLKOP"),
        .PLLRST_ENA("DISABLED"),
        .INTFB_WAKE("DISABLED"),
        .STDBY_ENABLE("DISABLED"),
        .DPHASE_SOURCE("DISABLED"),
        .OUTDIVIDER_MUXA("DIVA"),
        .OUTDIVIDER_MUXB("DIVB"),
        .OUTDIVIDER_MUXC("DIVC"),
        .OUTDIVIDER_MUXD("DIVD")
    ) pll (
        .CLKI(crystal),
        .CLKFB(clk),
        .CLKOP(clk),
        .LOCK(locked),
        .RST(1'b0),
        .STDBY(1'b0),
        .PHASESEL0(1'b0),
        .PHASESEL1(1'b0),
        .PHASEDIR(1'b1),
        .PHASESTEP(1'b1),
        .PHASELOADREG(1'b1),
        .PLLWAKESYNC(1'b0),
        .ENCLKOP(1'b0)
    );
endmodule
