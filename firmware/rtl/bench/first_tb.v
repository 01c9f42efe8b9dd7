// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_first: one bit of several, a few of many, as many as there are, a single one.
module first_tb;
    wire clk, rst;
    wire [3:0] done, wrong;

    tb_clock #(.NAME("first"), .CASES(4)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    first_case #(.LENGTH(8), .MOST(1)) one (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    first_case #(.LENGTH(37), .MOST(6)) few (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    first_case #(.LENGTH(5), .MOST(4)) most (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    first_case #(.LENGTH(1), .MOST(1)) single (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
endmodule

module first_case #(
    parameter LENGTH = 4, parameter MOST = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam ROUNDS = 60;
    wire s_valid, s_ready, m_valid, m_ready;
    wire s_data, m_data;
    wire [31:0] dropped;
    wire differs;
    integer r, n, seed, count, total;

    initial begin
        seed = LENGTH + MOST;
        total = 0;
        for (r = 0; r < ROUNDS; r = r + 1) begin
            count = 0;
            for (n = 0; n < LENGTH; n = n + 1) begin
                source.mem[r*LENGTH+n] = $random(seed);
                sink.mem[r*LENGTH+n] = source.mem[r*LENGTH+n] && count < MOST;
                if (source.mem[r*LENGTH+n] && count >= MOST) total = total + 1;
                if (source.mem[r*LENGTH+n]) count = count + 1;
            end
        end
    end

    tb_source #(.WIDTH(1), .BEATS(ROUNDS * LENGTH), .SEED(LENGTH + 5)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_first #(.BEATS(LENGTH), .MOST(MOST), .DEPTH(2)) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data), .dropped(dropped));
    tb_sink #(.WIDTH(1), .BEATS(ROUNDS * LENGTH), .SEED(MOST + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(differs));
    assign wrong = differs || done && dropped != total;
endmodule
