// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_mac, with the adder tree inside, against sums written out; the weights come from the same files.
module mac_tb;
    wire clk, rst;
    wire [4:0] done, wrong;

    tb_clock #(.NAME("mac"), .CASES(5)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    mac_case #(.XS(0), .WS(1), .WB(5), .ACC(16), .SIMD(3), .PE(2), .SF(2), .NF(3), .LEVELS(2), .SHIFT(0),
               .WEIGHTS("mac_a_weights.mem"), .BIASES("mac_a_biases.mem"))
        a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    mac_case #(.XS(1), .WS(1), .WB(4), .ACC(14), .SIMD(1), .PE(4), .SF(5), .NF(1), .LEVELS(0), .SHIFT(2),
               .WEIGHTS("mac_b_weights.mem"), .BIASES("mac_b_biases.mem"))
        b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    mac_case #(.XS(0), .WS(0), .WB(6), .ACC(18), .SIMD(8), .PE(1), .SF(1), .NF(1), .LEVELS(3), .SHIFT(1),
               .WEIGHTS("mac_c_weights.mem"), .BIASES("mac_c_biases.mem"))
        c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    mac_case #(.XS(1), .WS(0), .WB(3), .ACC(20), .SIMD(5), .PE(2), .SF(3), .NF(2), .LEVELS(3), .SHIFT(3),
               .WEIGHTS("mac_d_weights.mem"), .BIASES("mac_d_biases.mem"))
        d (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    mac_case #(.XS(1), .WS(1), .WB(5), .ACC(16), .SIMD(4), .PE(2), .SF(1), .NF(1), .LEVELS(2), .SHIFT(0),
               .WEIGHTS("mac_e_weights.mem"), .BIASES("mac_e_biases.mem"))
        e (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
endmodule

module mac_case #(
    parameter XS = 0, parameter WS = 1, parameter WB = 5, parameter ACC = 16, parameter SIMD = 1,
    parameter PE = 1, parameter SF = 1, parameter NF = 1, parameter LEVELS = 0, parameter SHIFT = 0,
    parameter WEIGHTS = "", parameter BIASES = ""
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam XB = 6;
    localparam VECTORS = 40;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [SIMD*XB-1:0] s_data;
    wire [PE*ACC-1:0] m_data;
    reg [PE*SIMD*WB-1:0] weights[0:SF*NF-1];
    reg [PE*ACC-1:0] biases[0:NF-1];
    integer v, f, n, p, s, x, w, sum, seed;
    reg [XB-1:0] raw_x;
    reg [WB-1:0] raw_w;

    initial begin
        $readmemh(WEIGHTS, weights);
        $readmemh(BIASES, biases);
        seed = SIMD;
        for (v = 0; v < VECTORS; v = v + 1)
            for (f = 0; f < SF; f = f + 1)
                for (s = 0; s < SIMD; s = s + 1)
                    source.mem[v*SF+f][s*XB+:XB] = v == 0 ? {XS != 0, {(XB - 1) {XS == 0}}} : $random(seed);
        for (v = 0; v < VECTORS; v = v + 1)
            for (n = 0; n < NF; n = n + 1)
                for (p = 0; p < PE; p = p + 1) begin
                    sum = 0;
                    for (f = 0; f < SF; f = f + 1)
                        for (s = 0; s < SIMD; s = s + 1) begin
                            raw_x = source.mem[v*SF+f][s*XB+:XB];
                            raw_w = weights[f*NF+n][(p*SIMD+s)*WB+:WB];
                            x = raw_x;
                            if (XS && raw_x[XB-1]) x = x - (1 << XB);
                            w = raw_w;
                            if (WS && raw_w[WB-1]) w = w - (1 << WB);
                            sum = sum + x * w;
                        end
                    sink.mem[v*NF+n][p*ACC+:ACC] = sum * (1 << SHIFT) + biases[n][p*ACC+:ACC];
                end
    end

    tb_source #(.WIDTH(SIMD * XB), .BEATS(VECTORS * SF), .SEED(SF + 31)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_mac #(
        .X_BITS(XB), .X_SIGNED(XS), .W_BITS(WB), .W_SIGNED(WS), .ACC_BITS(ACC), .SHIFT(SHIFT), .SIMD(SIMD),
        .PE(PE), .SF(SF), .NF(NF), .LEVELS(LEVELS), .WEIGHTS(WEIGHTS), .BIASES(BIASES), .DEPTH(6 + LEVELS)
    ) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(PE * ACC), .BEATS(VECTORS * NF), .SEED(NF + 77)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
