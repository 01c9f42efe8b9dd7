// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The windows around all places of a list (b), of which the tokens come with it: ei_site_window for one list, each
// of whose places waits once, beside its token.
module ei_site_around #(
    parameter BITS     = 8,
    parameter CHANNELS = 1,
    parameter HEIGHT   = 8,
    parameter WIDTH    = 8,
    parameter KERNEL_H = 3,
    parameter KERNEL_W = 3,
    parameter DILATE_H = 1,
    parameter DILATE_W = 1,   // 1 with several banks
    parameter PAD_TOP  = 1,
    parameter PAD_LEFT = 1,
    parameter SITES    = 4,   // that lie in the memories, at most
    parameter BANKS    = 1,   // a power of two
    parameter DEPTH    = 4,
    parameter RW       = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW       = WIDTH > 1 ? $clog2(WIDTH) : 1,
    parameter TAPS     = KERNEL_H * (BANKS > 1 ? KERNEL_W : 1)  // of a beat
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          s_valid,
    output wire                          s_ready,
    input  wire [     CHANNELS*BITS-1:0] s_data,
    input  wire                          b_valid,
    output wire                          b_ready,
    input  wire [               RW+CW:0] b_data,
    output wire                          m_valid,
    input  wire                          m_ready,
    output wire [TAPS*CHANNELS*BITS-1:0] m_data
);
    wire unused_ready;
    wire unused = &{1'b0, unused_ready};

    ei_site_window #(
        .BITS(BITS),
        .CHANNELS(CHANNELS),
        .HEIGHT(HEIGHT),
        .WIDTH(WIDTH),
        .OUT_HEIGHT(HEIGHT),
        .OUT_WIDTH(WIDTH),
        .KERNEL_H(KERNEL_H),
        .KERNEL_W(KERNEL_W),
        .DILATE_H(DILATE_H),
        .DILATE_W(DILATE_W),
        .PAD_TOP(PAD_TOP),
        .PAD_LEFT(PAD_LEFT),
        .SITES(SITES),
        .SAME(1),
        .BANKS(BANKS),
        .DEPTH(DEPTH)
    ) window (
        .clk(clk),
        .rst(rst),
        .s_valid(s_valid),
        .s_ready(s_ready),
        .s_data(s_data),
        .b_valid(b_valid),
        .b_ready(b_ready),
        .b_data(b_data),
        .o_valid(1'b0),
        .o_ready(unused_ready),
        .o_data({(RW + CW + 1) {1'b0}}),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
