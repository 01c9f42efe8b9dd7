// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Blocks for tokens: ei_sites, ei_site_window, ei_site_around, ei_site_coarsen, ei_site_pool, ei_site_up and ei_site_spread, on
// frames without a lit pixel, with few, many, and all lit, one after the other.
module sites_tb;
    localparam CASES = 28;
    wire clk, rst;
    wire [CASES-1:0] done, wrong;

    tb_clock #(.NAME("sites"), .CASES(CASES), .PATIENCE(3000)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    // Fronts: parts of a row at a time, one pixel, whole rows, all at once; a limit that is reached and not.
    site_case #(.KIND(0), .H(4), .W(6), .P(3), .MOST(7)) f0 (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    site_case #(.KIND(0), .H(5), .W(4), .P(1), .MOST(20)) f1 (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    site_case #(.KIND(0), .H(6), .W(3), .P(6), .MOST(4)) f2 (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    site_case #(.KIND(0), .H(2), .W(5), .P(10), .MOST(1)) f3 (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    // Windows: a column at a time and whole; even, dilated, with strides, larger than the image.
    site_case #(.KIND(1), .H(6), .W(7), .K(3), .T(1)) w0 (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
    site_case #(.KIND(1), .H(6), .W(7), .K(3), .T(1), .BANKS(4)) w1 (
        .clk(clk), .rst(rst), .done(done[5]), .wrong(wrong[5]));
    site_case #(.KIND(1), .H(9), .W(5), .K(2), .T(2), .PAD(0)) w2 (
        .clk(clk), .rst(rst), .done(done[6]), .wrong(wrong[6]));
    site_case #(.KIND(1), .H(9), .W(6), .K(2), .T(3), .PAD(0), .BANKS(2)) w3 (
        .clk(clk), .rst(rst), .done(done[7]), .wrong(wrong[7]));
    site_case #(.KIND(1), .H(8), .W(7), .K(3), .T(1), .D(2), .PAD(2)) w4 (
        .clk(clk), .rst(rst), .done(done[8]), .wrong(wrong[8]));
    site_case #(.KIND(1), .H(3), .W(4), .K(7), .T(1), .PAD(3), .BANKS(8)) w5 (
        .clk(clk), .rst(rst), .done(done[9]), .wrong(wrong[9]));
    site_case #(.KIND(1), .H(5), .W(4), .K(1), .T(2), .PAD(0)) w6 (
        .clk(clk), .rst(rst), .done(done[10]), .wrong(wrong[10]));
    // The same around the places of one list.
    site_case #(.KIND(1), .SAME(1), .H(9), .W(7), .K(3), .T(1)) a0 (
        .clk(clk), .rst(rst), .done(done[22]), .wrong(wrong[22]));
    site_case #(.KIND(1), .SAME(1), .H(9), .W(7), .K(3), .T(1), .BANKS(4)) a1 (
        .clk(clk), .rst(rst), .done(done[23]), .wrong(wrong[23]));
    site_case #(.KIND(1), .SAME(1), .H(9), .W(7), .K(3), .T(1), .D(2), .PAD(2)) a2 (
        .clk(clk), .rst(rst), .done(done[24]), .wrong(wrong[24]));
    site_case #(.KIND(1), .SAME(1), .H(3), .W(4), .K(7), .T(1), .PAD(3), .BANKS(8)) a3 (
        .clk(clk), .rst(rst), .done(done[25]), .wrong(wrong[25]));
    site_case #(.KIND(1), .SAME(1), .H(12), .W(3), .K(1), .T(1), .PAD(0)) a4 (
        .clk(clk), .rst(rst), .done(done[26]), .wrong(wrong[26]));
    site_case #(.KIND(1), .SAME(1), .H(12), .W(2), .K(3), .T(1)) a5 (
        .clk(clk), .rst(rst), .done(done[27]), .wrong(wrong[27]));
    // Tiles and pools: even, with a rest, one for all; maxima of what may be negative.
    site_case #(.KIND(2), .H(6), .W(8), .T(2)) c0 (.clk(clk), .rst(rst), .done(done[11]), .wrong(wrong[11]));
    site_case #(.KIND(2), .H(7), .W(8), .T(3)) c1 (.clk(clk), .rst(rst), .done(done[12]), .wrong(wrong[12]));
    site_case #(.KIND(3), .H(6), .W(8), .T(2), .SUM(1)) p0 (.clk(clk), .rst(rst), .done(done[13]), .wrong(wrong[13]));
    site_case #(.KIND(3), .H(7), .W(8), .T(3), .SUM(0)) p1 (.clk(clk), .rst(rst), .done(done[14]), .wrong(wrong[14]));
    site_case #(.KIND(3), .H(4), .W(4), .T(4), .SUM(1)) p2 (.clk(clk), .rst(rst), .done(done[15]), .wrong(wrong[15]));
    // Frames again.
    site_case #(.KIND(4), .H(6), .W(5)) s0 (.clk(clk), .rst(rst), .done(done[16]), .wrong(wrong[16]));
    site_case #(.KIND(4), .H(1), .W(1)) s1 (.clk(clk), .rst(rst), .done(done[17]), .wrong(wrong[17]));
    // Up again: a token in a beat, in two, in as many as its tile has pixels; one row of tiles, tiles of one pixel.
    site_case #(.KIND(5), .H(2), .W(8), .T(2), .K(1)) u0 (.clk(clk), .rst(rst), .done(done[18]), .wrong(wrong[18]));
    site_case #(.KIND(5), .H(8), .W(6), .T(2), .K(2)) u1 (.clk(clk), .rst(rst), .done(done[19]), .wrong(wrong[19]));
    site_case #(.KIND(5), .H(6), .W(9), .T(3), .K(9)) u2 (.clk(clk), .rst(rst), .done(done[20]), .wrong(wrong[20]));
    site_case #(.KIND(5), .H(3), .W(5), .T(1), .K(1)) u3 (.clk(clk), .rst(rst), .done(done[21]), .wrong(wrong[21]));
endmodule

module site_case #(
    parameter KIND = 0, parameter H = 4, parameter W = 4, parameter P = 1, parameter MOST = H * W,
    parameter K = 3, parameter T = 2, parameter D = 1, parameter PAD = 1, parameter BANKS = 1, parameter SUM = 1,
    parameter SAME = 0
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam ROUNDS = 12;
    localparam B = 5;  // bits of a channel, signed; two channels
    localparam RW = H > 1 ? $clog2(H) : 1;
    localparam CW = W > 1 ? $clog2(W) : 1;
    // Tokens that lie in the memories of a window.
    localparam REACH = (K - 1) * D + 1;
    localparam ROWS = REACH > 2 ? 1 << $clog2(REACH) : 2;
    localparam HELD = MOST < ROWS * W ? MOST : ROWS * W;
    // The grid of what leaves: tiles, or the image itself.
    localparam TILED = KIND == 1 || KIND == 2 || KIND == 3 || KIND == 5;
    localparam OH = TILED ? H / T : H;
    localparam OW = TILED ? W / T : W;
    localparam QW = OH > 1 ? $clog2(OH) : 1;
    localparam PW = OW > 1 ? $clog2(OW) : 1;
    localparam STEPS = BANKS > 1 ? 1 : K;
    localparam TAPS = K * (BANKS > 1 ? K : 1);
    localparam OB = B + 4;
    localparam PARTS = KIND == 5 ? T * T / K : 1;  // pixels of a beat on the way up, of which a token has K

    // Which pixels are lit is known beforehand, so that the numbers of beats are constants.
    function integer is_lit(input integer f, input integer p);
        integer level;
        begin
            case (f % 6)
                0: level = 0;
                1: level = 2;
                2: level = 16;
                3: level = 5;
                4: level = 1;
                default: level = 9;
            endcase
            is_lit = (p * 37 + f * 101 + p * p * 7 * (f + 1) + p / 3) % 16 < level;
        end
    endfunction

    function integer count_sites(input integer f);
        integer p;
        begin
            count_sites = 0;
            for (p = 0; p < H * W; p = p + 1)
                if (is_lit(f, p) && count_sites < MOST) count_sites = count_sites + 1;
        end
    endfunction

    function integer is_tile(input integer f, input integer t);
        integer i, j;
        begin
            is_tile = 0;
            for (i = 0; i < T; i = i + 1)
                for (j = 0; j < T; j = j + 1)
                    if (is_lit(f, (t / OW * T + i) * W + t % OW * T + j)) is_tile = 1;
        end
    endfunction

    function integer count_all(input integer tiles);
        integer f, t;
        begin
            count_all = 0;
            for (f = 0; f < ROUNDS; f = f + 1)
                if (tiles != 0) begin
                    for (t = 0; t < OH * OW; t = t + 1) count_all = count_all + is_tile(f, t);
                end else count_all = count_all + count_sites(f);
        end
    endfunction

    function [2*B-1:0] pixel(input integer f, input integer p);  // of a frame, lit or not
        reg [B-1:0] a, b;
        begin
            a = p * 5 + f * 3 + p * f;
            b = p * 3 + f * 7 + p / 2;
            if (KIND == 0) a = is_lit(f, p) ? 3 + p % 8 : a % 16 < 3 ? a % 16 : 5'd16 + a % 16;
            pixel = {b, a};
        end
    endfunction

    localparam SITES = count_all(0);
    localparam TILES = TILED ? count_all(1) : SITES;
    localparam IN = KIND == 0 ? ROUNDS * H * W / P : KIND == 5 ? TILES * K : SITES;
    localparam IN_BITS = KIND == 0 ? P * 2 * B : PARTS * 2 * B;
    localparam OUT = KIND == 0 ? SITES : KIND == 1 ? TILES * STEPS : KIND == 2 ? TILES + ROUNDS :
        KIND == 3 ? TILES : KIND == 5 ? SITES : ROUNDS * H * W;
    localparam OUT_BITS = KIND == 0 ? 2 * B : KIND == 1 ? TAPS * 2 * B : KIND == 2 ? QW + PW + 1 :
        KIND == 3 ? 2 * OB : 2 * B;

    wire s_valid, s_ready, b_valid, b_ready, o_valid, o_ready, m_valid, m_ready, n_valid, n_ready;
    wire [IN_BITS-1:0] s_data;
    wire [RW+CW:0] b_data, n_data;
    wire [QW+PW:0] o_data;
    wire [OUT_BITS-1:0] m_data;
    wire done_m, done_n, wrong_m, wrong_n, counted;
    wire [31:0] dropped;

    // What lies beside the end of a list does not matter.
    wire [RW+CW:0] n_ending = n_data[RW+CW] ? {1'b1, {RW + CW{1'b0}}} : n_data;
    wire [OUT_BITS-1:0] m_ending = KIND == 2 && m_data[OUT_BITS-1] ? {1'b1, {QW + PW{1'b0}}} : m_data;

    tb_source #(.WIDTH(IN_BITS), .BEATS(IN), .SEED(H + KIND)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    tb_source #(.WIDTH(RW + CW + 1), .BEATS(SITES + ROUNDS), .SEED(W + K)) places (
        .clk(clk), .rst(rst), .valid(b_valid), .ready(b_ready), .data(b_data));
    tb_source #(.WIDTH(QW + PW + 1), .BEATS(TILES + ROUNDS), .SEED(T + 9)) outputs (
        .clk(clk), .rst(rst), .valid(o_valid), .ready(o_ready), .data(o_data));
    tb_sink #(.WIDTH(OUT_BITS), .BEATS(OUT), .SEED(P + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_ending), .done(done_m), .wrong(wrong_m));
    tb_sink #(.WIDTH(RW + CW + 1), .BEATS(SITES + ROUNDS), .SEED(P + 4)) list (
        .clk(clk), .rst(rst), .valid(n_valid), .ready(n_ready), .data(n_ending), .done(done_n), .wrong(wrong_n));

    assign done = done_m && (KIND != 0 || (done_n && counted));
    assign wrong = wrong_m || wrong_n;

    generate
        if (KIND == 0) begin : g_front
            integer total, f, p;
            initial begin
                total = 0;
                for (f = 0; f < ROUNDS; f = f + 1) begin
                    for (p = 0; p < H * W; p = p + 1) total = total + is_lit(f, p);
                    total = total - count_sites(f);
                end
            end
            assign counted = dropped == total;
            ei_sites #(.BITS(B), .SIGNED(1), .CHANNELS(2), .PIXELS(P), .HEIGHT(H), .WIDTH(W), .MOST(MOST),
                       .THRESHOLD(6'd2), .LOOK(2'b01), .DEPTH(3), .DEPTH_B(2)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .b_valid(n_valid), .b_ready(n_ready),
                .b_data(n_data), .dropped(dropped));
        end else if (KIND == 1 && SAME == 1) begin : g_around
            assign o_ready = 1'b0;
            ei_site_around #(.BITS(B), .CHANNELS(2), .HEIGHT(H), .WIDTH(W), .KERNEL_H(K), .KERNEL_W(K),
                             .DILATE_H(D), .DILATE_W(D), .PAD_TOP(PAD), .PAD_LEFT(PAD), .SITES(HELD),
                             .BANKS(BANKS), .DEPTH(4)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else if (KIND == 1) begin : g_window
            ei_site_window #(.BITS(B), .CHANNELS(2), .HEIGHT(H), .WIDTH(W), .OUT_HEIGHT(OH), .OUT_WIDTH(OW),
                             .KERNEL_H(K), .KERNEL_W(K), .STRIDE_H(T), .STRIDE_W(T), .DILATE_H(D), .DILATE_W(D),
                             .PAD_TOP(PAD), .PAD_LEFT(PAD), .SITES(HELD), .BANKS(BANKS), .DEPTH(4)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data), .o_valid(o_valid), .o_ready(o_ready),
                .o_data(o_data), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else if (KIND == 2) begin : g_coarsen
            ei_site_coarsen #(.HEIGHT(H), .WIDTH(W), .TILE_H(T), .TILE_W(T), .DEPTH(2)) dut (
                .clk(clk), .rst(rst), .s_valid(b_valid), .s_ready(b_ready), .s_data(b_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else if (KIND == 3) begin : g_pool
            ei_site_pool #(.BITS(B), .SIGNED(1), .CHANNELS(2), .HEIGHT(H), .WIDTH(W), .TILE_H(T), .TILE_W(T),
                           .SUM(SUM), .OUT_BITS(OB), .DEPTH(2)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else if (KIND == 5) begin : g_up
            ei_site_up #(.PIXEL(2 * B), .HEIGHT(H), .WIDTH(W), .TILE_H(T), .TILE_W(T), .BEATS(K), .DEPTH(3)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .b_valid(o_valid), .b_ready(o_ready), .b_data(o_data), .o_valid(b_valid), .o_ready(b_ready),
                .o_data(b_data), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else begin : g_spread
            ei_site_spread #(.PIXEL(2 * B), .HEIGHT(H), .WIDTH(W), .DEPTH(2)) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end
    endgenerate

    integer f, p, k, i, j, c, y, x, left, at_s, at_b, at_o, at_m, at_n, best, v, full;
    reg [RW-1:0] row;
    reg [CW-1:0] column;
    reg [QW-1:0] tile_row;
    reg [PW-1:0] tile_column;
    reg [2*B-1:0] one;

    initial begin
        at_s = 0;
        at_b = 0;
        at_o = 0;
        at_m = 0;
        for (f = 0; f < ROUNDS; f = f + 1) begin
            left = MOST;
            for (p = 0; p < H * W; p = p + 1) begin
                row    = p / W;
                column = p % W;
                if (KIND == 0) source.mem[(f*H*W+p)/P][p%P*2*B+:2*B] = pixel(f, p);
                if (is_lit(f, p) && left > 0) begin
                    left = left - 1;
                    if (KIND == 0 || KIND == 5) sink.mem[at_s] = pixel(f, p);
                    else source.mem[at_s] = pixel(f, p);
                    places.mem[at_b] = {1'b0, row, column};
                    list.mem[at_b] = {1'b0, row, column};
                    at_s = at_s + 1;
                    at_b = at_b + 1;
                end
                if (KIND == 4) sink.mem[f*H*W+p] = is_lit(f, p) ? pixel(f, p) : 0;
            end
            places.mem[at_b] = {1'b1, {RW + CW{1'b0}}};
            list.mem[at_b] = {1'b1, {RW + CW{1'b0}}};
            at_b = at_b + 1;
            if (TILED) begin
                for (p = 0; p < OH * OW; p = p + 1)
                    if (is_tile(f, p)) begin
                        tile_row = p / OW;
                        tile_column = p % OW;
                        outputs.mem[at_o] = {1'b0, tile_row, tile_column};
                        if (KIND == 2) sink.mem[at_o] = {1'b0, tile_row, tile_column};
                        if (KIND == 1)
                            for (k = 0; k < K * K; k = k + 1) begin
                                y = p / OW * T - PAD + k % K * D;
                                x = p % OW * T - PAD + k / K * D;
                                one = 0;
                                if (y >= 0 && y < H && x >= 0 && x < W && is_lit(f, y * W + x))
                                    one = pixel(f, y * W + x);
                                sink.mem[at_m+k/TAPS][k%TAPS*2*B+:2*B] = one;
                            end
                        if (KIND == 3)
                            for (c = 0; c < 2; c = c + 1) begin
                                full = 1;
                                best = SUM ? 0 : -1000;
                                for (i = 0; i < T; i = i + 1)
                                    for (j = 0; j < T; j = j + 1) begin
                                        k = (p / OW * T + i) * W + p % OW * T + j;
                                        one = pixel(f, k) >> c * B;
                                        v = one[B-1:0];
                                        if (one[B-1]) v = v - (1 << B);
                                        if (!is_lit(f, k)) v = 0;
                                        best = SUM ? best + v : v > best ? v : best;
                                    end
                                sink.mem[at_m][c*OB+:OB] = best;
                            end
                        if (KIND == 5)
                            for (k = 0; k < T * T; k = k + 1)
                                source.mem[at_m*K+k/PARTS][k%PARTS*2*B+:2*B] =
                                    pixel(f, (p / OW * T + k / T) * W + p % OW * T + k % T);
                        at_o = at_o + 1;
                        at_m = at_m + (KIND == 1 ? STEPS : 1);
                    end
                outputs.mem[at_o] = {1'b1, {QW + PW{1'b0}}};
                if (KIND == 2) sink.mem[at_o] = {1'b1, {QW + PW{1'b0}}};
                at_o = at_o + 1;
            end
        end
    end
endmodule
