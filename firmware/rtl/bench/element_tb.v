// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What treats each element by itself: ei_clip, ei_affine (with PRELU too), ei_table. Two lanes of 6 bits.
module element_tb;
    wire clk, rst;
    wire [6:0] done, wrong;

    tb_clock #(.NAME("element"), .CASES(7)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    element_case #(.WHAT(0), .S(1), .OUT(6), .LOW(-9), .HIGH(17))
        a (.clk(clk), .rst(rst), .done(done[0]), .wrong(wrong[0]));
    element_case #(.WHAT(1), .S(1), .OUT(5), .LOW(0), .HIGH(0))
        b (.clk(clk), .rst(rst), .done(done[1]), .wrong(wrong[1]));
    element_case #(.WHAT(2), .S(0), .OUT(6), .LOW(0), .HIGH(40))
        c (.clk(clk), .rst(rst), .done(done[2]), .wrong(wrong[2]));
    element_case #(.WHAT(3), .S(1), .OUT(15), .WORDS(3), .FACTORS("affine_a_factors.mem"),
                   .BIASES("affine_a_biases.mem"))
        d (.clk(clk), .rst(rst), .done(done[3]), .wrong(wrong[3]));
    element_case #(.WHAT(3), .S(0), .OUT(15), .WORDS(1), .FACTORS("affine_b_factors.mem"),
                   .BIASES("affine_b_biases.mem"))
        e (.clk(clk), .rst(rst), .done(done[4]), .wrong(wrong[4]));
    element_case #(.WHAT(4), .S(1), .OUT(15), .WORDS(3), .FACTORS("affine_a_factors.mem"),
                   .BIASES("affine_a_biases.mem"))
        f (.clk(clk), .rst(rst), .done(done[5]), .wrong(wrong[5]));
    element_case #(.WHAT(5), .S(1), .OUT(9)) g (.clk(clk), .rst(rst), .done(done[6]), .wrong(wrong[6]));
endmodule

// WHAT: 0 clip on both sides, 1 from below, 2 from above, 3 affine, 4 prelu, 5 table.
module element_case #(
    parameter WHAT = 0, parameter S = 1, parameter OUT = 6, parameter signed [31:0] LOW = 0,
    parameter signed [31:0] HIGH = 0, parameter WORDS = 1, parameter FACTORS = "affine_a_factors.mem",
    parameter BIASES = "affine_a_biases.mem"
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam IN = 6;
    localparam FIRST = -8;
    localparam BEATS = 192;
    wire s_valid, s_ready, m_valid, m_ready;
    wire [2*IN-1:0] s_data;
    wire [2*OUT-1:0] m_data;
    reg [9:0] factors[0:WORDS-1];
    reg [29:0] biases[0:WORDS-1];
    reg [8:0] entries[0:19];
    reg [IN-1:0] raw;
    reg signed [4:0] factor;
    integer i, k, x, y;

    initial begin
        $readmemh("table.mem", entries);
        if (WHAT == 3 || WHAT == 4) begin
            $readmemh(FACTORS, factors);
            $readmemh(BIASES, biases);
        end
        for (i = 0; i < BEATS; i = i + 1)
            for (k = 0; k < 2; k = k + 1) begin
                raw = WHAT == 5 ? FIRST + (i * 7 + k * 3) % 20 : k ? 13 * i : i;
                x = raw;
                if (S && raw[IN-1]) x = x - (1 << IN);
                if (WHAT == 3 || WHAT == 4) factor = factors[i%WORDS][5*k+:5];
                case (WHAT)
                    0: y = x < LOW ? LOW : x > HIGH ? HIGH : x;
                    1: y = x < LOW ? LOW : x;
                    2: y = x > HIGH ? HIGH : x;
                    3: begin
                        y = x * factor * 4;
                        y = y + biases[i%WORDS][15*k+:15];
                    end
                    4: y = x >= 0 ? x * 4 : x * factor;
                    default: y = entries[x-FIRST];
                endcase
                source.mem[i][k*IN+:IN] = raw;
                sink.mem[i][k*OUT+:OUT] = y;
            end
    end

    tb_source #(.WIDTH(2 * IN), .BEATS(BEATS), .SEED(WHAT + 61)) source (
        .clk(clk), .rst(rst), .valid(s_valid), .ready(s_ready), .data(s_data));
    generate
        if (WHAT <= 2) begin : g_clip
            ei_clip #(
                .LANES(2), .IN_BITS(IN), .IN_SIGNED(S), .OUT_BITS(OUT), .W_BITS(8), .HAS_LOW(WHAT != 2),
                .HAS_HIGH(WHAT != 1), .LOW(LOW[7:0]), .HIGH(HIGH[7:0]), .DEPTH(2)
            ) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else if (WHAT <= 4) begin : g_affine
            ei_affine #(
                .LANES(2), .X_BITS(IN), .X_SIGNED(S), .F_BITS(5), .F_SIGNED(1), .SHIFT(2), .PRELU(WHAT == 4),
                .OUT_BITS(OUT), .WORDS(WORDS), .FACTORS(FACTORS), .BIASES(BIASES), .DEPTH(6)
            ) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end else begin : g_table
            ei_table #(
                .LANES(2), .IN_BITS(IN), .IN_SIGNED(S), .FIRST(FIRST), .ENTRIES(20), .OUT_BITS(OUT),
                .TABLE("table.mem"), .DEPTH(5)
            ) dut (
                .clk(clk), .rst(rst), .s_valid(s_valid), .s_ready(s_ready), .s_data(s_data),
                .m_valid(m_valid), .m_ready(m_ready), .m_data(m_data));
        end
    endgenerate
    tb_sink #(.WIDTH(2 * OUT), .BEATS(BEATS), .SEED(WHAT + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
