// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_fifo behind a pipeline: places are taken when beats start, and the beats follow some cycles later.
module fifo_tb;
    wire clk, rst;
    wire [3:0] done, wrong;

    tb_clock #(.NAME("fifo"), .CASES(4)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    fifo_case #(.DEPTH(1), .DELAY(0)) a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    fifo_case #(.DEPTH(2), .DELAY(0)) b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    fifo_case #(.DEPTH(5), .DELAY(3)) c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    fifo_case #(.DEPTH(8), .DELAY(2)) d (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
endmodule

module fifo_case #(
    parameter DEPTH = 4,
    parameter DELAY = 0
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BEATS = 300;
    wire s_valid, credit, m_valid, m_ready, spilled;
    wire [11:0] s_data, m_data;
    wire take = s_valid && credit;
    reg [DELAY:0] alive;
    reg [12*(DELAY+1)-1:0] data;
    wire [DELAY+1:0] alive_now = {alive, take};
    wire [12*(DELAY+2)-1:0] data_now = {data, s_data};
    integer i, held;
    reg miscounted;

    always @(posedge clk) begin
        alive <= rst ? {(DELAY + 1) {1'b0}} : alive_now[DELAY:0];
        data  <= data_now[12*(DELAY+1)-1:0];
        held  <= rst ? 0 : held + (take ? 1 : 0) - (m_valid && m_ready ? 1 : 0);
        if (rst) miscounted <= 1'b0;
        else if (credit != (held < DEPTH)) miscounted <= 1'b1;
    end

    initial
        for (i = 0; i < BEATS; i = i + 1) begin
            source.mem[i] = i * 37;
            sink.mem[i]   = i * 37;
        end

    tb_source #(.WIDTH(12), .BEATS(BEATS), .SEED(DEPTH)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(credit), .data(s_data));
    ei_fifo #(.WIDTH(12), .DEPTH(DEPTH)) dut (
        .clk(clk), .rst(rst), .credit(credit), .take(take), .push(alive_now[DELAY]),
        .push_data(data_now[12*DELAY+:12]), .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(12), .BEATS(BEATS), .SEED(DEPTH + 9)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done),
        .wrong(spilled));
    assign wrong = spilled || miscounted;
endmodule
