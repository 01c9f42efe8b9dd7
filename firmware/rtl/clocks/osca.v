// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The design's clock by the oscillator inside a Nexus FPGA: 450 MHz / OUTPUT, within 7 percent. The serial line
// keeps the crystal's time. The primitive wants its divider as decimal digits.
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
    localparam [7:0] HUNDREDS = 8'd48 + DIVIDER / 8'd100;
    localparam [7:0] TENS = 8'd48 + DIVIDER / 8'd10 % 8'd10;
    localparam [7:0] ONES = 8'd48 + DIVIDER % 8'd10;

    OSCA #(
        .HF_CLK_DIV({HUNDREDS, TENS, ONES}),
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
