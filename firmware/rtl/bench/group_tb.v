// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_window and ei_mac behind it in several rounds, against convolutions in groups written out: a depthwise one with
// nothing at once; one of two outputs a channel, two channels and three taps at once, with strides; one in
// three groups of two channels and two outputs, half of a group's outputs at once, dilated.
module group_tb;
    wire clk, rst;
    wire [2:0] done, wrong;

    tb_clock #(.NAME("group"), .CASES(3), .CUT(150)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    group_case #(.H(4), .W(5), .C(1), .M(1), .KH(3), .KW(3), .PT(1), .PB(1), .PL(1), .PR(1), .XS(1), .WB(5),
                 .ACC(16), .SIMD(1), .PE(1), .AT_ONCE(1), .ROUNDS(4), .LEVELS(0), .SHIFT(0),
                 .WEIGHTS("group_a_weights.mem"), .BIASES("group_a_biases.mem"))
        a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    group_case #(.H(5), .W(6), .C(1), .M(2), .KH(2), .KW(3), .SH(2), .SW(3), .PB(1), .PL(2), .PR(1), .XS(0), .WB(4),
                 .ACC(14), .SIMD(3), .PE(4), .AT_ONCE(2), .ROUNDS(3), .LEVELS(2), .SHIFT(2),
                 .WEIGHTS("group_b_weights.mem"), .BIASES("group_b_biases.mem"))
        b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    group_case #(.H(5), .W(6), .C(2), .M(2), .KH(3), .KW(2), .DH(2), .DW(3), .XS(1), .WS(0), .WB(6),
                 .ACC(18), .SIMD(4), .PE(1), .AT_ONCE(1), .ROUNDS(3), .LEVELS(2), .SHIFT(1),
                 .WEIGHTS("group_c_weights.mem"), .BIASES("group_c_biases.mem"))
        c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
endmodule

// C, M: channels and outputs of a group.
module group_case #(
    parameter H = 4, parameter W = 4, parameter C = 1, parameter M = 1,
    parameter KH = 3, parameter KW = 3, parameter SH = 1, parameter SW = 1,
    parameter DH = 1, parameter DW = 1,
    parameter PT = 0, parameter PB = 0, parameter PL = 0, parameter PR = 0,
    parameter XS = 0, parameter WS = 1, parameter WB = 5, parameter ACC = 16, parameter SIMD = 1,
    parameter PE = 1, parameter AT_ONCE = 1, parameter ROUNDS = 1, parameter LEVELS = 0, parameter SHIFT = 0,
    parameter WEIGHTS = "", parameter BIASES = ""
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam XB = 6;
    localparam FRAMES = 2;
    localparam OH = (H + PT + PB - (KH - 1) * DH - 1) / SH + 1;
    localparam OW = (W + PL + PR - (KW - 1) * DW - 1) / SW + 1;
    localparam LANES = AT_ONCE * C;
    localparam OWN = PE / AT_ONCE;
    localparam SF = KH * KW * C / SIMD;
    localparam NF = M / OWN;
    localparam PER_FRAME = OH * OW * ROUNDS * NF;
    wire s_valid, s_ready, w_valid, w_ready, m_valid, m_ready;
    wire [LANES*XB-1:0] s_data;
    wire [AT_ONCE*SIMD*XB-1:0] w_data;
    wire [PE*ACC-1:0] m_data;
    reg [PE*SIMD*WB-1:0] weights[0:ROUNDS*SF*NF-1];
    reg [PE*ACC-1:0] biases[0:ROUNDS*NF-1];
    integer f, r, c, n, g, o, p, t, k, i, y, x, sum, number, weight, seed;
    reg [XB-1:0] raw_x;
    reg [WB-1:0] raw_w;

    initial begin
        $readmemh(WEIGHTS, weights);
        $readmemh(BIASES, biases);
        seed = SIMD;
        for (i = 0; i < FRAMES * H * W * ROUNDS; i = i + 1)
            for (k = 0; k < LANES; k = k + 1)
                source.mem[i][k*XB+:XB] = $random(seed);
        for (f = 0; f < FRAMES; f = f + 1)
            for (r = 0; r < OH; r = r + 1)
                for (c = 0; c < OW; c = c + 1)
                    for (g = 0; g < ROUNDS * AT_ONCE; g = g + 1)
                        for (o = 0; o < M; o = o + 1) begin
                            n = g / AT_ONCE * NF + o / OWN;         // the word of biases,
                            p = g % AT_ONCE * OWN + o % OWN;        // and the lane in it
                            sum = 0;
                            for (t = 0; t < KH * KW; t = t + 1)
                                for (k = 0; k < C; k = k + 1) begin
                                    y = r * SH + t / KW * DH - PT;
                                    x = c * SW + t % KW * DW - PL;
                                    i = t * C + k;
                                    raw_w = weights[(g/AT_ONCE*SF+i/SIMD)*NF+o/OWN][(p*SIMD+i%SIMD)*WB+:WB];
                                    raw_x = 0;
                                    if (y >= 0 && y < H && x >= 0 && x < W)
                                        raw_x = source.mem[((f*H+y)*W+x)*ROUNDS+g/AT_ONCE][(g%AT_ONCE*C+k)*XB+:XB];
                                    number = raw_x;
                                    if (XS && raw_x[XB-1]) number = number - (1 << XB);
                                    weight = raw_w;
                                    if (WS && raw_w[WB-1]) weight = weight - (1 << WB);
                                    sum = sum + number * weight;
                                end
                            sink.mem[f*PER_FRAME+(r*OW+c)*ROUNDS*NF+n][p*ACC+:ACC] =
                                sum * (1 << SHIFT) + biases[n][p*ACC+:ACC];
                        end
    end

    tb_source #(.WIDTH(LANES * XB), .BEATS(FRAMES * H * W * ROUNDS), .SEED(H + 7 * W)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_window #(
        .BITS(XB), .CHANNELS(LANES), .ROUNDS(ROUNDS), .HEIGHT(H), .WIDTH(W), .KERNEL_H(KH), .KERNEL_W(KW),
        .STRIDE_H(SH), .STRIDE_W(SW), .DILATE_H(DH), .DILATE_W(DW), .PAD_TOP(PT), .PAD_BOTTOM(PB),
        .PAD_LEFT(PL), .PAD_RIGHT(PR), .CHUNK(AT_ONCE * SIMD), .DEPTH(5)
    ) window (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(w_valid), .m_ready(w_ready), .m_data(w_data));
    ei_mac #(
        .X_BITS(XB), .X_SIGNED(XS), .W_BITS(WB), .W_SIGNED(WS), .ACC_BITS(ACC), .SHIFT(SHIFT), .SIMD(SIMD),
        .PE(PE), .GROUPS(AT_ONCE), .CHANNELS(C), .ROUNDS(ROUNDS), .SF(SF), .NF(NF), .LEVELS(LEVELS),
        .WEIGHTS(WEIGHTS), .BIASES(BIASES), .DEPTH(6 + LEVELS)
    ) mac (
        .clk(clk), .rst(rst), .s_valid(w_valid), .s_ready(w_ready), .s_data(w_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(PE * ACC), .BEATS(FRAMES * PER_FRAME), .SEED(KH + 3 * KW)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
