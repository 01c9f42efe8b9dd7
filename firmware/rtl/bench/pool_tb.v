// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_pool and ei_reduce, maximum and sum, signed and not.
module pool_tb;
    wire clk, rst;
    wire [7:0] done, wrong;

    tb_clock #(.NAME("pool"), .CASES(8)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    pool_case #(.S(0), .L(2), .G(2), .H(5), .W(7), .TH(2), .TW(3), .SUM(0), .OUT(5))
        a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    pool_case #(.S(1), .L(1), .G(3), .H(4), .W(4), .TH(4), .TW(2), .SUM(0), .OUT(5))
        b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    pool_case #(.S(1), .L(3), .G(1), .H(1), .W(9), .TH(1), .TW(2), .SUM(1), .OUT(6))
        c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    pool_case #(.S(0), .L(1), .G(1), .H(6), .W(3), .TH(3), .TW(3), .SUM(1), .OUT(9))
        d (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    reduce_case #(.S(0), .L(2), .T(4), .LEVELS(2), .SUM(0), .OUT(5))
        e (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
    reduce_case #(.S(1), .L(1), .T(3), .LEVELS(2), .SUM(0), .OUT(5))
        f (.clk(clk), .rst(rst), .done(done[5]), .wrong(wrong[5]));
    reduce_case #(.S(1), .L(3), .T(5), .LEVELS(3), .SUM(1), .OUT(8))
        g (.clk(clk), .rst(rst), .done(done[6]), .wrong(wrong[6]));
    reduce_case #(.S(0), .L(1), .T(1), .LEVELS(1), .SUM(1), .OUT(5))
        h (.clk(clk), .rst(rst), .done(done[7]), .wrong(wrong[7]));
endmodule

module pool_case #(
    parameter S = 0, parameter L = 1, parameter G = 1, parameter H = 4, parameter W = 4, parameter TH = 2,
    parameter TW = 2, parameter SUM = 0, parameter OUT = 5
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BITS = 5;
    localparam FRAMES = 3;
    localparam OH = H / TH;
    localparam OW = W / TW;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [L*BITS-1:0] s_data;
    wire [L*OUT-1:0] m_data;
    integer f, r, c, g, k, i, j, x, y, seed;
    reg [BITS-1:0] raw;

    initial begin
        seed = TH;
        for (f = 0; f < FRAMES * H * W * G; f = f + 1)
            for (k = 0; k < L; k = k + 1) source.mem[f][k*BITS+:BITS] = $random(seed);
        for (f = 0; f < FRAMES; f = f + 1)
            for (r = 0; r < OH; r = r + 1)
                for (c = 0; c < OW; c = c + 1)
                    for (g = 0; g < G; g = g + 1)
                        for (k = 0; k < L; k = k + 1) begin
                            for (i = 0; i < TH; i = i + 1)
                                for (j = 0; j < TW; j = j + 1) begin
                                    raw = source.mem[((f*H+r*TH+i)*W+c*TW+j)*G+g][k*BITS+:BITS];
                                    x = raw;
                                    if (S && raw[BITS-1]) x = x - (1 << BITS);
                                    if (i == 0 && j == 0) y = x;
                                    else if (SUM) y = y + x;
                                    else y = x > y ? x : y;
                                end
                            sink.mem[((f*OH+r)*OW+c)*G+g][k*OUT+:OUT] = y;
                        end
    end

    tb_source #(.WIDTH(L * BITS), .BEATS(FRAMES * H * W * G), .SEED(G + 41)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_pool #(
        .BITS(BITS), .SIGNED(S), .LANES(L), .GROUPS(G), .HEIGHT(H), .WIDTH(W), .TILE_H(TH), .TILE_W(TW),
        .SUM(SUM), .OUT_BITS(OUT), .DEPTH(2)
    ) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(L * OUT), .BEATS(FRAMES * OH * OW * G), .SEED(W + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule

module reduce_case #(
    parameter S = 0, parameter L = 1, parameter T = 4, parameter LEVELS = 2, parameter SUM = 0,
    parameter OUT = 5
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BITS = 5;
    localparam BEATS = 100;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [T*L*BITS-1:0] s_data;
    wire [L*OUT-1:0] m_data;
    integer b, k, t, x, y, seed;
    reg [BITS-1:0] raw;

    initial begin
        seed = T;
        for (b = 0; b < BEATS; b = b + 1) begin
            for (t = 0; t < T * L; t = t + 1) source.mem[b][t*BITS+:BITS] = $random(seed);
            for (k = 0; k < L; k = k + 1) begin
                for (t = 0; t < T; t = t + 1) begin
                    raw = source.mem[b][(t*L+k)*BITS+:BITS];
                    x = raw;
                    if (S && raw[BITS-1]) x = x - (1 << BITS);
                    if (t == 0) y = x;
                    else if (SUM) y = y + x;
                    else y = x > y ? x : y;
                end
                sink.mem[b][k*OUT+:OUT] = y;
            end
        end
    end

    tb_source #(.WIDTH(T * L * BITS), .BEATS(BEATS), .SEED(L + 51)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_reduce #(
        .BITS(BITS), .SIGNED(S), .LANES(L), .TAPS(T), .LEVELS(LEVELS), .SUM(SUM), .OUT_BITS(OUT), .DEPTH(5)
    ) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(L * OUT), .BEATS(BEATS), .SEED(T + 5)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
