// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What only routes beats: ei_queue, ei_fork, ei_narrow, ei_widen, and narrow after widen.
module flow_tb;
    localparam N = 240;
    wire clk, rst;
    wire [5:0] done, wrong;
    integer i;

    tb_clock #(.NAME("flow"), .CASES(6)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));

    wire qv, qr, qmv, qmr;
    wire [7:0] qd, qmd;
    tb_source #(.WIDTH(8), .BEATS(N), .SEED(1)) q_in (.clk(clk), .rst(rst), .valid(qv), .ready(qr), .data(qd));
    ei_queue #(.WIDTH(8), .DEPTH(3)) queue (.clk(clk), .rst(rst), .s_valid(qv), .s_ready(qr), .s_data(qd),
        .m_valid(qmv), .m_ready(qmr), .m_data(qmd));
    tb_sink #(.WIDTH(8), .BEATS(N), .SEED(2)) q_out (.clk(clk), .rst(rst), .valid(qmv), .ready(qmr), .data(qmd),
        .done(done[0]), .wrong(wrong[0]));

    wire fv, fr, fav, far, fbv, fbr;
    wire [7:0] fd, fad, fbd;
    tb_source #(.WIDTH(8), .BEATS(N), .SEED(3)) f_in (.clk(clk), .rst(rst), .valid(fv), .ready(fr), .data(fd));
    ei_fork #(.WIDTH(8), .DEPTH(7), .DEPTH_B(2)) split (.clk(clk), .rst(rst), .s_valid(fv), .s_ready(fr),
        .s_data(fd), .m_valid(fav), .m_ready(far), .m_data(fad), .b_valid(fbv), .b_ready(fbr), .b_data(fbd));
    tb_sink #(.WIDTH(8), .BEATS(N), .SEED(4)) f_a (.clk(clk), .rst(rst), .valid(fav), .ready(far), .data(fad),
        .done(done[1]), .wrong(wrong[1]));
    tb_sink #(.WIDTH(8), .BEATS(N), .SEED(5)) f_b (.clk(clk), .rst(rst), .valid(fbv), .ready(fbr), .data(fbd),
        .done(done[2]), .wrong(wrong[2]));

    wire nv, nr, nmv, nmr;
    wire [29:0] nd;
    wire [9:0] nmd;
    tb_source #(.WIDTH(30), .BEATS(N/6), .SEED(6)) n_in (.clk(clk), .rst(rst), .valid(nv), .ready(nr), .data(nd));
    ei_narrow #(.BITS(5), .LANES(2), .RATIO(3), .DEPTH(2)) narrow (.clk(clk), .rst(rst), .s_valid(nv),
        .s_ready(nr), .s_data(nd), .m_valid(nmv), .m_ready(nmr), .m_data(nmd));
    tb_sink #(.WIDTH(10), .BEATS(N/2), .SEED(7)) n_out (.clk(clk), .rst(rst), .valid(nmv), .ready(nmr),
        .data(nmd), .done(done[3]), .wrong(wrong[3]));

    wire wv, wr, wmv, wmr;
    wire [9:0] wd;
    wire [29:0] wmd;
    tb_source #(.WIDTH(10), .BEATS(N/2), .SEED(8)) w_in (.clk(clk), .rst(rst), .valid(wv), .ready(wr), .data(wd));
    ei_widen #(.BITS(5), .LANES(2), .RATIO(3), .DEPTH(2)) widen (.clk(clk), .rst(rst), .s_valid(wv),
        .s_ready(wr), .s_data(wd), .m_valid(wmv), .m_ready(wmr), .m_data(wmd));
    tb_sink #(.WIDTH(30), .BEATS(N/6), .SEED(9)) w_out (.clk(clk), .rst(rst), .valid(wmv), .ready(wmr),
        .data(wmd), .done(done[4]), .wrong(wrong[4]));

    wire bv, br, bmv, bmr, bnv, bnr;
    wire [4:0] bd, bnd;
    wire [19:0] bmd;
    tb_source #(.WIDTH(5), .BEATS(N), .SEED(10)) b_in (.clk(clk), .rst(rst), .valid(bv), .ready(br), .data(bd));
    ei_widen #(.BITS(5), .LANES(1), .RATIO(4), .DEPTH(1)) there (.clk(clk), .rst(rst), .s_valid(bv),
        .s_ready(br), .s_data(bd), .m_valid(bmv), .m_ready(bmr), .m_data(bmd));
    ei_narrow #(.BITS(5), .LANES(1), .RATIO(4), .DEPTH(1)) back (.clk(clk), .rst(rst), .s_valid(bmv),
        .s_ready(bmr), .s_data(bmd), .m_valid(bnv), .m_ready(bnr), .m_data(bnd));
    tb_sink #(.WIDTH(5), .BEATS(N), .SEED(11)) b_out (.clk(clk), .rst(rst), .valid(bnv), .ready(bnr),
        .data(bnd), .done(done[5]), .wrong(wrong[5]));

    initial
        for (i = 0; i < N; i = i + 1) begin
            q_in.mem[i]  = i * 7;
            q_out.mem[i] = i * 7;
            f_in.mem[i]  = i * 11;
            f_a.mem[i]   = i * 11;
            f_b.mem[i]   = i * 11;
            b_in.mem[i]  = i * 3;
            b_out.mem[i] = i * 3;
            n_in.mem[i/6][5*(i%6)+:5]  = i * 5;  // element i: the first in the lowest bits
            n_out.mem[i/2][5*(i%2)+:5] = i * 5;
            w_in.mem[i/2][5*(i%2)+:5]  = i * 9;
            w_out.mem[i/6][5*(i%6)+:5] = i * 9;
        end
endmodule
