// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock by the oscillator inside a Nexus FPGA: 450 MHz / OUTPUT, within 7 percent. The serial line
// keeps the crystal's time. The primitive wants its divider as decimal digits; of
// digits that are computed as numbers, Yosys would no longer know that they are text.
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
    localparam [7:0] DIVIDER = OUTPUT - 1;
    localparam [7:0] HUNDREDS = DIVIDER / 8'd100;
    localparam [7:0] TENS = DIVIDER / 8'd10 % 8'd10;
    localparam [7:0] ONES = DIVIDER % 8'd10;

    OSCA #(
        .HF_CLK_DIV({
            HUNDREDS == 0 ? "0" : HUNDREDS == 1 ? "1" : "2",
            TENS == 0 ? "0" : TENS == 1 ? "1" : TENS == 2 ? "2" : TENS == 3 ? "3" : TENS == 4 ? "4" :
            TENS == 5 ? "5" : TENS == 6 ? "6" : TENS == 7 ? "7" : TENS == 8 ? "8" : "9",
            ONES == 0 ? "0" : ONES == 1 ? "1" : ONES == 2 ? "2" : ONES == 3 ? "3" : ONES == 4 ? "4" :
            ONES == 5 ? "5" : ONES == 6 ? "6" : ONES == 7 ? "7" : ONES == 8 ? "8" : "9"
        }),
        .HF_OSC_EN("ENABLED"),
        .LF_OUTPUT_EN("DISABLED")
    ) oscillator (
        .HFOUTEN(1'b1),
        .HFSDSCEN(1'b0),
        .HFCLKOUT(clk)
    );

    ei_shell_tick u_tick (
        .crystal(crystal),
        .clk(clk),
        .tick(tick)
    );

    assign locked = REFERENCE != 0 && FEEDBACK != 0;
endmodule
