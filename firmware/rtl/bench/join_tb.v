// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What reads two streams: ei_pair in its five kinds, ei_concat. Signed against unsigned, grids apart.
module join_tb;
    wire clk, rst;
    wire [6:0] done, wrong;
    genvar k;

    tb_clock #(.NAME("join"), .CASES(7)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    generate
        for (k = 0; k < 5; k = k + 1) begin : g_kind
            join_case #(.KIND(k)) pair (.clk(clk), .rst(rst), .done(done[k]), .wrong(wrong[k]));
        end
    endgenerate
    join_case #(.KIND(5), .NA(3), .NB(2)) uneven (.clk(clk), .rst(rst), .done(done[5]), .wrong(wrong[5]));
    join_case #(.KIND(5), .NA(1), .NB(1)) turns (.clk(clk), .rst(rst), .done(done[6]), .wrong(wrong[6]));
endmodule

module join_case #(
    parameter KIND = 0, parameter NA = 1, parameter NB = 1
) (
    input  wire clk,
    input  wire rst,
    output wire done,
    output wire wrong
);
    localparam A = 5;  // signed
    localparam B = 6;  // unsigned
    localparam OUT = 12;
    localparam ROUNDS = 150;
    localparam SHIFT = KIND == 2 ? 0 : 2;  // of a
    localparam PER = KIND == 5 ? NA + NB : 1;
    wire a_valid, a_ready, b_valid, b_ready, m_valid, m_ready;
    wire [2*A-1:0] a_data;
    wire [2*B-1:0] b_data;
    wire [2*OUT-1:0] m_data;
    reg signed [A-1:0] a;
    reg [B-1:0] b;
    integer r, n, k, x, z, y, seed;

    initial begin
        seed = KIND + 1;
        for (r = 0; r < ROUNDS; r = r + 1)
            for (k = 0; k < 2; k = k + 1) begin
                for (n = 0; n < NA; n = n + 1) source_a.mem[r*NA+n][k*A+:A] = $random(seed);
                for (n = 0; n < NB; n = n + 1) source_b.mem[r*NB+n][k*B+:B] = $random(seed);
                for (n = 0; n < PER; n = n + 1) begin
                    a = source_a.mem[r*NA+(n<NA?n:0)][k*A+:A];
                    b = source_b.mem[r*NB+(n<NA?0:n-NA)][k*B+:B];
                    x = a * (1 << SHIFT);
                    z = b;
                    case (KIND)
                        0: y = x + z;
                        1: y = x - z;
                        2: y = x * z;
                        3: y = x > z ? x : z;
                        4: y = x < z ? x : z;
                        default: y = n < NA ? x : z;
                    endcase
                    sink.mem[r*PER+n][k*OUT+:OUT] = y;
                end
            end
    end

    tb_source #(.WIDTH(2 * A), .BEATS(ROUNDS * NA), .SEED(KIND + 71)) source_a (
        .clk(clk), .rst(rst), .valid(a_valid), .ready(a_ready), .data(a_data));
    tb_source #(.WIDTH(2 * B), .BEATS(ROUNDS * NB), .SEED(KIND + 81)) source_b (
        .clk(clk), .rst(rst), .valid(b_valid), .ready(b_ready), .data(b_data));
    generate
        if (KIND < 5) begin : g_pair
            ei_pair #(
                .LANES(2), .A_BITS(A), .A_SIGNED(1), .SHIFT_A(SHIFT), .B_BITS(B), .B_SIGNED(0), .SHIFT_B(0),
                .KIND(KIND), .OUT_BITS(OUT), .DEPTH(4)
            ) dut (
                .clk(clk), .rst(rst), .s_valid(a_valid), .s_ready(a_ready), .s_data(a_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data), .m_valid(m_valid), .m_ready(m_ready),
                .m_data(m_data));
        end else begin : g_concat
            ei_concat #(
                .LANES(2), .A_BITS(A), .A_SIGNED(1), .SHIFT_A(SHIFT), .BEATS_A(NA), .B_BITS(B), .B_SIGNED(0),
                .SHIFT_B(0), .BEATS_B(NB), .OUT_BITS(OUT), .DEPTH(2)
            ) dut (
                .clk(clk), .rst(rst), .s_valid(a_valid), .s_ready(a_ready), .s_data(a_data),
                .b_valid(b_valid), .b_ready(b_ready), .b_data(b_data), .m_valid(m_valid), .m_ready(m_ready),
                .m_data(m_data));
        end
    endgenerate
    tb_sink #(.WIDTH(2 * OUT), .BEATS(ROUNDS * PER), .SEED(KIND + 3)) sink (
        .clk(clk), .rst(rst), .valid(m_valid), .ready(m_ready), .data(m_data), .done(done), .wrong(wrong));
endmodule
