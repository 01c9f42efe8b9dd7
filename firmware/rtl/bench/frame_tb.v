// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What knows where frames begin: ei_gather, ei_constant, ei_argmax, ei_ingress with ei_egress.
module frame_tb;
    localparam FRAMES = 12;
    wire clk, rst;
    wire [4:0] done, wrong;
    wire [3:0] wrong_data;
    integer f, i, j, best, seed;
    reg signed [6:0] x;
    reg [3:0] order[0:9];
    reg [10:0] values[0:4];

    tb_clock #(.NAME("frame"), .CASES(5)) clock (.clk(clk), .rst(rst), .done(done), .wrong(wrong));
    assign wrong[3:0] = wrong_data;

    wire gv, gr, gmv, gmr;
    wire [13:0] gd, gmd;
    tb_source #(.WIDTH(14), .BEATS(8 * FRAMES), .SEED(91)) g_in (
        .clk(clk), .rst(rst), .valid(gv), .ready(gr), .data(gd));
    ei_gather #(
        .BITS(7), .LANES(2), .IN_BEATS(8), .OUT_BEATS(10), .FILL(7'd77), .ORDER("gather.mem"), .DEPTH(5)
    ) gather (
        .clk(clk), .rst(rst), .s_valid(gv), .s_ready(gr), .s_data(gd), .m_valid(gmv), .m_ready(gmr),
        .m_data(gmd));
    tb_sink #(.WIDTH(14), .BEATS(10 * FRAMES), .SEED(92)) g_out (
        .clk(clk), .rst(rst), .valid(gmv), .ready(gmr), .data(gmd), .done(done[0]), .wrong(wrong_data[0]));

    // A constant goes on for ever: it is cut off where enough was seen.
    wire cmv, cmr;
    wire [10:0] cmd;
    ei_constant #(.WIDTH(11), .WORDS(5), .VALUES("constant.mem"), .DEPTH(4)) constant (
        .clk(clk), .rst(rst), .m_valid(cmv), .m_ready(cmr && !done[1]), .m_data(cmd));
    tb_sink #(.WIDTH(11), .BEATS(5 * FRAMES), .SEED(93)) c_out (
        .clk(clk), .rst(rst), .valid(cmv && !done[1]), .ready(cmr), .data(cmd), .done(done[1]),
        .wrong(wrong_data[1]));

    wire av, ar, amv, amr;
    wire [6:0] ad;
    wire [2:0] amd;
    tb_source #(.WIDTH(7), .BEATS(6 * FRAMES), .SEED(94)) a_in (
        .clk(clk), .rst(rst), .valid(av), .ready(ar), .data(ad));
    ei_argmax #(.BITS(7), .SIGNED(1), .N(6), .OUT_BITS(3), .DEPTH(2)) argmax (
        .clk(clk), .rst(rst), .s_valid(av), .s_ready(ar), .s_data(ad), .m_valid(amv), .m_ready(amr),
        .m_data(amd));
    tb_sink #(.WIDTH(3), .BEATS(FRAMES), .SEED(95)) a_out (
        .clk(clk), .rst(rst), .valid(amv), .ready(amr), .data(amd), .done(done[2]), .wrong(wrong_data[2]));

    // In and out again: TLAST in the top bit on both sides, 11 of 16 bits in use. Another ingress is
    // given frames one beat too long, and must say so.
    wire pv, pr, plast, pmv, pmr, tv, tr, tlast, misframed, misframed_long, long_ready, long_valid;
    wire [15:0] pd, td;
    wire [10:0] pmd, long_data;
    wire [16:0] from_source;
    assign {plast, pd} = from_source;
    tb_source #(.WIDTH(17), .BEATS(5 * FRAMES), .SEED(96)) p_in (
        .clk(clk), .rst(rst), .valid(pv), .ready(pr), .data(from_source));
    ei_ingress #(.WIDTH(11), .BYTES(2), .BEATS(5), .DEPTH(2)) ingress (
        .clk(clk), .rst(rst), .s_axis_tvalid(pv), .s_axis_tready(pr), .s_axis_tdata(pd), .s_axis_tlast(plast),
        .misframed(misframed), .m_valid(pmv), .m_ready(pmr), .m_data(pmd));
    ei_ingress #(.WIDTH(11), .BYTES(2), .BEATS(4), .DEPTH(2)) too_long (
        .clk(clk), .rst(rst), .s_axis_tvalid(pv && pr), .s_axis_tready(long_ready), .s_axis_tdata(pd),
        .s_axis_tlast(plast), .misframed(misframed_long), .m_valid(long_valid), .m_ready(1'b1),
        .m_data(long_data));
    ei_egress #(.WIDTH(11), .BYTES(2), .BEATS(5)) egress (
        .clk(clk), .rst(rst), .s_valid(pmv), .s_ready(pmr), .s_data(pmd), .m_axis_tvalid(tv),
        .m_axis_tready(tr), .m_axis_tdata(td), .m_axis_tlast(tlast));
    tb_sink #(.WIDTH(17), .BEATS(5 * FRAMES), .SEED(97)) p_out (
        .clk(clk), .rst(rst), .valid(tv), .ready(tr), .data({tlast, td}), .done(done[3]),
        .wrong(wrong_data[3]));
    assign done[4]  = done[3];
    assign wrong[4] = done[3] && (misframed || !misframed_long);

    initial begin
        $readmemh("gather.mem", order);
        $readmemh("constant.mem", values);
        seed = 9;
        for (f = 0; f < FRAMES; f = f + 1) begin
            for (i = 0; i < 8; i = i + 1) g_in.mem[f*8+i] = $random(seed);
            for (j = 0; j < 10; j = j + 1)
                g_out.mem[f*10+j] = order[j][3] ? {7'd77, 7'd77} : g_in.mem[f*8+order[j][2:0]];
            for (i = 0; i < 5; i = i + 1) begin
                c_out.mem[f*5+i] = values[i];
                p_in.mem[f*5+i]  = {i == 4, 5'h15, values[i] ^ f[10:0]};
                p_out.mem[f*5+i] = {i == 4, 5'h00, values[i] ^ f[10:0]};
            end
            best = 0;
            for (i = 0; i < 6; i = i + 1) begin
                x = f == 0 ? -64 : $random(seed);
                if (f % 4 == 1) x = x % 2;  // ties
                a_in.mem[f*6+i] = x;
                if (x > $signed(a_in.mem[f*6+best])) best = i;
            end
            a_out.mem[f] = best;
        end
    end
endmodule
