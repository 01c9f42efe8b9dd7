// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// ei_requant in every mode, against rounding and limits written out with integers: every input there is.
module requant_tb;
    localparam MODES = 28;
    localparam KINDS = 6;
    wire clk, rst;
    wire [KINDS*MODES-1:0] done, wrong;
    genvar m;

    tb_clock #(.NAME("requant"), .CASES(KINDS * MODES)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));

    generate
        for (m = 0; m < MODES; m = m + 1) begin : g_mode
            requant_case #(.R(m / 4), .V(m % 4), .IN(8), .IS(1), .SHIFT(3), .OUT(4), .OS(1))
                a (.clk(clk), .rst(rst), .done(done[m]), .wrong(wrong[m]));
            requant_case #(.R(m / 4), .V(m % 4), .IN(8), .IS(1), .SHIFT(1), .OUT(5), .OS(0))
                b (.clk(clk), .rst(rst), .done(done[MODES+m]), .wrong(wrong[MODES+m]));
            requant_case #(.R(m / 4), .V(m % 4), .IN(7), .IS(0), .SHIFT(2), .OUT(5), .OS(1))
                c (.clk(clk), .rst(rst), .done(done[2*MODES+m]), .wrong(wrong[2*MODES+m]));
            requant_case #(.R(m / 4), .V(m % 4), .IN(5), .IS(1), .SHIFT(-3), .OUT(6), .OS(1))
                d (.clk(clk), .rst(rst), .done(done[3*MODES+m]), .wrong(wrong[3*MODES+m]));
            requant_case #(.R(m / 4), .V(m % 4), .IN(6), .IS(1), .SHIFT(6), .OUT(1), .OS(1))
                e (.clk(clk), .rst(rst), .done(done[4*MODES+m]), .wrong(wrong[4*MODES+m]));
            requant_case #(.R(m / 4), .V(m % 4), .IN(6), .IS(1), .SHIFT(9), .OUT(12), .OS(1))
                f (.clk(clk), .rst(rst), .done(done[5*MODES+m]), .wrong(wrong[5*MODES+m]));
        end
    endgenerate
endmodule

module requant_case #(
    parameter R = 0, parameter V = 0, parameter IN = 8, parameter IS = 1, parameter SHIFT = 3,
    parameter OUT = 4, parameter OS = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam BEATS = 1 << IN;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [2*IN-1:0] s_data;
    wire [2*OUT-1:0] m_data;
    integer i;

    // The two lanes carry every number, upwards and downwards.
    initial
        for (i = 0; i < BEATS; i = i + 1) begin
            source.mem[i] = {~i[IN-1:0], i[IN-1:0]};
            sink.mem[i]   = {wanted(~i[IN-1:0]), wanted(i[IN-1:0])};
        end

    function [OUT-1:0] wanted(input [IN-1:0] raw);
        integer x, step, floor, rest, y, low, high;
        begin
            x = raw;
            if (IS && raw[IN-1]) x = x - (1 << IN);
            if (SHIFT <= 0) y = x * (1 << -SHIFT);
            else begin
                step  = 1 << SHIFT;
                rest  = ((x % step) + step) % step;
                floor = (x - rest) / step;
                case (R)
                    0: y = floor;
                    1: y = x / step;
                    2: y = 2 * rest >= step ? floor + 1 : floor;
                    3: y = 2 * rest > step || (2 * rest == step && x < 0) ? floor + 1 : floor;
                    4: y = 2 * rest > step || (2 * rest == step && x > 0) ? floor + 1 : floor;
                    5: y = 2 * rest > step ? floor + 1 : floor;
                    default: y = 2 * rest > step || (2 * rest == step && floor % 2 != 0) ? floor + 1 : floor;
                endcase
            end
            low  = OS ? -(1 << (OUT - 1)) : 0;
            high = OS ? (1 << (OUT - 1)) - 1 : (1 << OUT) - 1;
            case (V)
                1: y = y < low ? low : y > high ? high : y;
                2: y = y < low || y > high ? 0 : y;
                3: begin
                    if (OS) low = -high;
                    y = y < low ? low : y > high ? high : y;
                end
                default: y = y;
            endcase
            wanted = y;
        end
    endfunction

    tb_source #(.WIDTH(2 * IN), .BEATS(BEATS), .SEED(R + 5)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    ei_requant #(
        .LANES(2), .IN_BITS(IN), .IN_SIGNED(IS), .SHIFT(SHIFT), .ROUNDING(R), .OVERFLOW(V), .OUT_BITS(OUT),
        .OUT_SIGNED(OS), .DEPTH(3)
    ) dut (
        .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
        .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
    tb_sink #(.WIDTH(2 * OUT), .BEATS(BEATS), .SEED(V + 1)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
