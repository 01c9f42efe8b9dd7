// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_window against a loop over positions and taps.
module window_tb;
    wire clk, rst;
    wire [6:0] done, wrong;

    tb_clock #(.NAME("window"), .CASES(7)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    window_case #(.H(6), .W(7), .KH(3), .KW(3), .CHUNK(9))
        a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    window_case #(.H(5), .W(4), .C(3), .KH(2), .KW(3), .SH(2), .SW(1), .PT(1), .PB(0), .PL(2), .PR(1), .CHUNK(3),
                  .FILL(5)) b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    window_case #(.H(1), .W(11), .C(2), .KH(1), .KW(5), .SW(3), .PL(2), .PR(2), .CHUNK(5))
        c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    window_case #(.H(7), .W(6), .KH(3), .KW(2), .DH(2), .DW(3), .CHUNK(1))
        d (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    window_case #(.H(3), .W(1), .C(2), .KH(2), .KW(1), .CHUNK(4))
        e (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
    window_case #(.H(5), .W(5), .KH(1), .KW(1), .SH(2), .SW(3), .PB(2), .PR(2), .CHUNK(1))
        f (.clk(clk), .rst(rst), .done(done[5]), .wrong(wrong[5]));
    window_case #(.H(4), .W(5), .C(1), .KH(3), .KW(3), .PL(1), .PR(1), .CHUNK(1))
        g (.clk(clk), .rst(rst), .done(done[6]), .wrong(wrong[6]));
endmodule

module window_case #(
    parameter H = 4, parameter W = 4, parameter C = 1,
    parameter KH = 3, parameter KW = 3, parameter SH = 1, parameter SW = 1,
    parameter DH = 1, parameter DW = 1,
    parameter PT = 0, parameter PB = 0, parameter PL = 0, parameter PR = 0,
    parameter FILL = 0, parameter CHUNK = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BITS = 6;
    localparam FRAMES = 3;
    localparam OH = (H + PT + PB - (KH - 1) * DH - 1) / SH + 1;
    localparam OW = (W + PL + PR - (KW - 1) * DW - 1) / SW + 1;
    localparam PER_FRAME = OH * OW * KH * KW * C / CHUNK;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [C*BITS-1:0] s_data;
    wire [CHUNK*BITS-1:0] m_data;
    integer f, r, c, k, i, j, y, x, at;
    reg [BITS-1:0] value;

    initial
        for (f = 0; f < FRAMES; f = f + 1) begin
            for (r = 0; r < H; r = r + 1)
                for (c = 0; c < W; c = c + 1)
                    for (k = 0; k < C; k = k + 1)
                        source.mem[(f*H+r)*W+c][k*BITS+:BITS] = 17 * f + 11 * r + 5 * c + 23 * k + r * c;
            at = 0;
            for (r = 0; r < OH; r = r + 1)
                for (c = 0; c < OW; c = c + 1)
                    for (i = 0; i < KH; i = i + 1)
                        for (j = 0; j < KW; j = j + 1)
                            for (k = 0; k < C; k = k + 1) begin
                                y = r * SH + i * DH - PT;
                                x = c * SW + j * DW - PL;
                                value = FILL;
                                if (y >= 0 && y < H && x >= 0 && x < W)
                                    value = 17 * f + 11 * y + 5 * x + 23 * k + y * x;
                                sink.mem[f*PER_FRAME+at/CHUNK][(at%CHUNK)*BITS+:BITS] = value;
                                at = at + 1;
                            end
        end

    tb_source #(.WIDTH(C * BITS), .BEATS(FRAMES * H * W), .SEED(H + 7 * W)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_window #(
        .BITS(BITS), .CHANNELS(C), .HEIGHT(H), .WIDTH(W), .KERNEL_H(KH), .KERNEL_W(KW), .STRIDE_H(SH),
        .STRIDE_W(SW), .DILATE_H(DH), .DILATE_W(DW), .PAD_TOP(PT), .PAD_BOTTOM(PB), .PAD_LEFT(PL),
        .PAD_RIGHT(PR), .FILL(FILL), .CHUNK(CHUNK), .DEPTH(5)
    ) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(CHUNK * BITS), .BEATS(FRAMES * PER_FRAME), .SEED(KH + 3 * KW)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
