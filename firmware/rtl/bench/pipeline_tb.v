// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What pipelines are made of: ei_issue with two inputs and two outputs, ei_delay, and the cells without a
// clock: ei_binary, ei_bound, ei_branch, ei_limit, ei_lookup, ei_round, ei_truth.
module pipeline_tb;
    localparam BEATS = 400;
    localparam A = 6;   // bits of the first input, signed, -8 to 11
    localparam B = 6;   // of the second, unsigned
    localparam Y = 24;
    localparam Z = 14;
    localparam LATENCY = 3;

    wire clk, rst;
    wire [1:0] done, wrong, offered, taken, credit;
    wire [LATENCY:0] alive;
    wire [A-1:0] a;
    wire [B-1:0] b;
    wire y_valid, y_ready, z_valid, z_ready;
    wire [Y-1:0] y, y_made;
    wire [Z-1:0] z, z_made;

    tb_clock #(.NAME("pipeline"), .CASES(2)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    tb_source #(.WIDTH(A), .BEATS(BEATS), .SEED(5)) source_a (
        .clk(clk), .rst(rst), .valid(offered[0]), .ready(taken[0]), .data(a));
    tb_source #(.WIDTH(B), .BEATS(BEATS), .SEED(6)) source_b (
        .clk(clk), .rst(rst), .valid(offered[1]), .ready(taken[1]), .data(b));

    ei_issue #(.INPUTS(2), .OUTPUTS(2), .LATENCY(LATENCY)) issue (
        .clk(clk), .rst(rst), .s_valid(offered), .s_ready(taken), .credit(credit), .alive(alive));

    // y: the difference, a branch, the larger, an entry; each through three stages.
    wire [8:0] difference, difference_1;
    wire [7:0] branch;
    wire [6:0] entry;
    wire [6:0] bounded;
    wire [8:0] branch_1;
    ei_binary #(.A_BITS(A), .A_SIGNED(1), .SHIFT_A(2), .B_BITS(B), .B_SIGNED(0), .SHIFT_B(0), .KIND(1),
                .OUT_BITS(9)) subtract (.a(a), .b(b), .y(difference));
    ei_delay #(.BITS(9), .STAGES(1)) first (.clk(clk), .x(difference), .y(difference_1));
    ei_branch #(.X_BITS(A), .SHIFT(2), .OTHER_BITS(7), .OTHER_SIGNED(1), .OUT_BITS(8)) choose (
        .x(a), .other(bounded), .y(branch));
    ei_bound #(.IN_BITS(9), .IN_SIGNED(1), .OUT_BITS(7), .W_BITS(10), .HAS_LOW(1), .HAS_HIGH(1), .LOW(-10'sd40),
               .HIGH(10'sd30)) limit (.x(difference), .y(bounded));
    ei_lookup #(.IN_BITS(A), .IN_SIGNED(1), .FIRST(-8), .ENTRIES(20), .WORD_BITS(9), .OUT_BITS(7),
                .TABLE("table.mem")) look (.x(a), .y(entry));
    ei_delay #(.BITS(8 + 7), .STAGES(3)) third (.clk(clk), .x({branch, entry}), .y(y_made[Y-1:9]));
    ei_delay #(.BITS(9), .STAGES(2)) second (.clk(clk), .x(difference_1), .y(y_made[8:0]));

    // z: an unsigned number limited, and one rounded to fewer bits than any could need.
    wire [3:0] limited;
    wire [2:0] narrow;
    wire [3:0] rounded;
    ei_limit #(.BITS(B), .SIGNED(0), .OUT_BITS(4), .OUT_SIGNED(0), .OVERFLOW(1)) cut (.x(b), .y(limited));
    ei_limit #(.BITS(B), .SIGNED(0), .OUT_BITS(4), .OUT_SIGNED(1), .OVERFLOW(1), .Y_BITS(3)) halve (
        .x(b), .y(narrow));
    ei_round #(.BITS(A), .SIGNED(1), .SHIFT(2), .ROUNDING(6), .OUT(4)) round (.x(a), .y(rounded));
    wire [2:0] truth;  // 5 i + 3 of the lowest three bits i
    ei_truth #(.IN_BITS(3), .OUT_BITS(3), .PLANES(24'hb4_99_55)) look_few (.x(b[2:0]), .y(truth));
    ei_delay #(.BITS(Z), .STAGES(3)) last (.clk(clk), .x({truth, limited, narrow, rounded}), .y(z_made));

    ei_fifo #(.WIDTH(Y), .DEPTH(5)) queue_y (
        .clk(clk), .rst(rst), .credit(credit[0]), .take(alive[0]), .push(alive[LATENCY]), .push_data(y_made),
        .m_valid(y_valid), .m_ready(y_ready), .m_data(y));
    ei_fifo #(.WIDTH(Z), .DEPTH(2)) queue_z (
        .clk(clk), .rst(rst), .credit(credit[1]), .take(alive[0]), .push(alive[LATENCY]), .push_data(z_made),
        .m_valid(z_valid), .m_ready(z_ready), .m_data(z));
    tb_sink #(.WIDTH(Y), .BEATS(BEATS), .SEED(7)) sink_y (
        .clk(clk), .rst(rst), .valid(y_valid), .ready(y_ready), .data(y), .done(done[0]), .wrong(wrong[0]));
    tb_sink #(.WIDTH(Z), .BEATS(BEATS), .SEED(8)) sink_z (
        .clk(clk), .rst(rst), .valid(z_valid), .ready(z_ready), .data(z), .done(done[1]), .wrong(wrong[1]));

    reg [8:0] entries[0:19];
    integer i, xa, xb, d, q, r, t;

    initial begin
        $readmemh("table.mem", entries);
        for (i = 0; i < BEATS; i = i + 1) begin
            xa = i % 20 - 8;
            xb = (i * 37) % 64;
            d  = xa * 4 - xb;
            q  = d < -40 ? -40 : d > 30 ? 30 : d;
            q  = xa >= 0 ? xa * 4 : q;
            r  = xa >>> 2;
            t  = xb * 5 + 3;
            if ((xa & 3) == 3 || ((xa & 3) == 2 && (r & 1))) r = r + 1;
            source_a.mem[i] = xa;
            source_b.mem[i] = xb;
            sink_y.mem[i] = {q[7:0], entries[xa+8][6:0], d[8:0]};
            sink_z.mem[i] = {t[2:0], xb > 15 ? 4'd15 : xb[3:0], xb > 7 ? 3'd7 : xb[2:0], r[3:0]};
        end
    end
endmodule
