// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_keep: the first beats of several, the last, one in the midst, all.
module keep_tb;
    wire clk, rst;
    wire [4:0] done, wrong;

    tb_clock #(.NAME("keep"), .CASES(5)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    keep_case #(.BEATS(8), .FIRST(0), .KEPT(6)) leading (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    keep_case #(.BEATS(7), .FIRST(4), .KEPT(3)) ending (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    keep_case #(.BEATS(5), .FIRST(2), .KEPT(1)) middle (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    keep_case #(.BEATS(2), .FIRST(1), .KEPT(1)) second (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    keep_case #(.BEATS(3), .FIRST(0), .KEPT(3)) whole (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
endmodule

module keep_case #(
    parameter BEATS = 4, parameter FIRST = 0, parameter KEPT = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam WIDTH = 5;
    localparam ROUNDS = 60;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [WIDTH-1:0] s_data, m_data;
    integer r, n, seed;

    initial begin
        seed = BEATS + FIRST;
        for (r = 0; r < ROUNDS; r = r + 1)
            for (n = 0; n < BEATS; n = n + 1) begin
                source.mem[r*BEATS+n] = $random(seed);
                if (n >= FIRST && n < FIRST + KEPT) sink.mem[r*KEPT+n-FIRST] = source.mem[r*BEATS+n];
            end
    end

    tb_source #(.WIDTH(WIDTH), .BEATS(ROUNDS * BEATS), .SEED(BEATS + 11)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_keep #(.WIDTH(WIDTH), .BEATS(BEATS), .FIRST(FIRST), .KEPT(KEPT), .DEPTH(2)) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(WIDTH), .BEATS(ROUNDS * KEPT), .SEED(FIRST + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
