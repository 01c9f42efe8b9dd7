// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_repeat: once, and a few times.
module repeat_tb;
    wire clk, rst;
    wire [1:0] done, wrong;

    tb_clock #(.NAME("repeat"), .CASES(2)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    repeat_case #(.WIDTH(4), .TIMES(1)) once (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    repeat_case #(.WIDTH(3), .TIMES(5)) often (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
endmodule

module repeat_case #(
    parameter WIDTH = 4, parameter TIMES = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BEATS = 300;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [WIDTH-1:0] s_data;
    wire [TIMES*WIDTH-1:0] m_data;
    integer n, k, seed;

    initial begin
        seed = WIDTH + TIMES;
        for (n = 0; n < BEATS; n = n + 1) begin
            source.mem[n] = $random(seed);
            for (k = 0; k < TIMES; k = k + 1) sink.mem[n][k*WIDTH+:WIDTH] = source.mem[n];
        end
    end

    tb_source #(.WIDTH(WIDTH), .BEATS(BEATS), .SEED(WIDTH + 5)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_repeat #(.WIDTH(WIDTH), .TIMES(TIMES), .DEPTH(2)) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(TIMES * WIDTH), .BEATS(BEATS), .SEED(TIMES + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
