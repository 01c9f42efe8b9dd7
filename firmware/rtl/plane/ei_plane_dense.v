// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A dense layer over the places of a patch, from those that differ from a place without charge. Each
// takes PASSES cycles, in which it meets the weights of all outputs, PE at a time. STARTS hold what a
// patch without charge yields. With its last place a hit's outputs leave, PE at a time.
//
// WEIGHTS: PASSES words for each place; in a word, lane by lane of PE, its weights of all channels, the
// first lowest. STARTS: PASSES words of PE. Sums are kept modulo 2^ACC_BITS, which is exact as the
// result is proved to fit.
module ei_plane_dense #(
    parameter X_BITS   = 8,
    parameter X_SIGNED = 0,
    parameter W_BITS   = 8,
    parameter W_SIGNED = 1,
    parameter ACC_BITS = 24,
    parameter SHIFT    = 0,
    parameter CHANNELS = 8,
    parameter PE       = 8,
    parameter PASSES   = 4,
    parameter PLACES   = 121,
    parameter LEVELS   = 3,    // of the adder tree: 2^LEVELS >= CHANNELS
    parameter DSP_PE   = 8,    // lanes of PE that multiply by DSP blocks, the others by adders
    parameter KB       = 9,    // 2^KB >= PASSES x PLACES
    parameter WEIGHTS  = "",
    parameter STARTS   = "",
    parameter DEPTH    = 8
) (
    input  wire                         clk,
    input  wire                         rst,
    input  wire                         s_valid,
    output wire                         s_ready,
    input  wire [CHANNELS*X_BITS+KB+1:0] s_data,
    output wire                         m_valid,
    input  wire                         m_ready,
    output wire [      PE*ACC_BITS-1:0] m_data
);
    localparam WORDS = PLACES * PASSES;
    localparam WORD = PE * CHANNELS * W_BITS;
    localparam XS = X_BITS + (X_SIGNED ? 0 : 1);
    localparam WS = W_BITS + (W_SIGNED ? 0 : 1);
    localparam P_BITS = XS + WS;
    localparam PAIRS = (WS + 1) / 2;  // of a weight's bits
    localparam LOWER = (PAIRS + 1) / 2;
    localparam S_BITS = P_BITS + LEVELS < ACC_BITS ? P_BITS + LEVELS : ACC_BITS;
    localparam STAGES = 6 + LEVELS;  // from the step to the sum
    localparam NW = PASSES > 1 ? $clog2(PASSES) : 1;
    localparam TOP = CHANNELS * X_BITS + KB;
    localparam [NW-1:0] LAST = PASSES[NW-1:0] - 1'b1;

    reg [WORD-1:0] weights[0:WORDS-1];
    reg [PE*ACC_BITS-1:0] starts[0:PASSES-1];
    initial $readmemh(WEIGHTS, weights);
    initial $readmemh(STARTS, starts);

    // A place is taken over and held while its passes are issued.
    reg held, held_first, held_last;
    reg [CHANNELS*X_BITS-1:0] held_x;
    reg [KB-1:0] address;
    reg [NW-1:0] pass;
    reg pass_last;
    wire credit;
    wire step = held && (!held_last || credit);
    wire free = !held || (step && pass_last);

    assign s_ready = free;

    always @(posedge clk) begin
        if (rst) begin
            held      <= 1'b0;
            pass      <= 0;
            pass_last <= PASSES == 1;
        end else begin
            if (free) held <= s_valid;
            if (step) begin
                pass      <= pass_last ? {NW{1'b0}} : pass + 1'b1;
                pass_last <= PASSES == 1 || (!pass_last && pass + 1'b1 == LAST);
            end
        end
        if (free) begin
            held_x     <= s_data[CHANNELS*X_BITS-1:0];
            held_first <= s_data[TOP+1];
            held_last  <= s_data[TOP];
            address    <= s_data[CHANNELS*X_BITS+:KB];
        end else if (step) address <= address + 1'b1;
    end

    // A memory's output has a register beside it, and one more beside the multipliers.
    reg [CHANNELS*X_BITS-1:0] x1, x2;
    reg [WORD-1:0] w1, w2;
    reg [STAGES:1] alive, first, last;
    always @(posedge clk) begin
        w1    <= weights[address];
        w2    <= w1;
        x1    <= held_x;
        x2    <= x1;
        first <= {first[STAGES-1:1], held_first};
        last  <= {last[STAGES-1:1], held_last};
        if (rst) alive <= 0;
        else alive <= {alive[STAGES-1:1], step};
    end

    // What arrives is counted in the order in which it was issued.
    wire arrive = alive[STAGES];
    reg [NW-1:0] n, next_n;
    reg [PE*ACC_BITS-1:0] start;
    always @* begin
        next_n = n;
        if (arrive) next_n = n == LAST ? {NW{1'b0}} : n + 1'b1;
    end
    always @(posedge clk) begin
        n     <= rst ? {NW{1'b0}} : next_n;
        start <= starts[rst?{NW{1'b0}} : next_n];
    end

    reg push;
    reg [PE*ACC_BITS-1:0] result;
    always @(posedge clk) push <= !rst && arrive && last[STAGES];

    genvar p, c;
    generate
        for (p = 0; p < PE; p = p + 1) begin : g_pe
            wire [CHANNELS*P_BITS-1:0] products;
            reg [CHANNELS*X_BITS-1:0] own;
            reg [CHANNELS*W_BITS-1:0] near;
            (* keep *) always @(posedge clk) own <= x2;
            always @(posedge clk) near <= w2[p*CHANNELS*W_BITS+:CHANNELS*W_BITS];
            for (c = 0; c < CHANNELS; c = c + 1) begin : g_product
                wire [X_BITS-1:0] x = own[c*X_BITS+:X_BITS];
                wire [W_BITS-1:0] w = near[c*W_BITS+:W_BITS];
                wire signed [XS-1:0] factor_x;
                wire signed [WS-1:0] factor_w;
                if (X_SIGNED) begin : g_x
                    assign factor_x = x;
                end else begin : g_unsigned_x
                    assign factor_x = {1'b0, x};
                end
                if (W_SIGNED) begin : g_w
                    assign factor_w = w;
                end else begin : g_unsigned_w
                    assign factor_w = {1'b0, w};
                end
                reg [P_BITS-1:0] product;
                if (p < DSP_PE) begin : g_dsp
                    reg signed [P_BITS-1:0] beside, beyond;  // one beside the DSP block, one on the way
                    always @(posedge clk) begin
                        beside  <= factor_x * factor_w;
                        beyond  <= beside;
                        product <= beyond;
                    end
                end else begin : g_adders
                    // Two bits of a weight are one addition. The sums of the lower half of all pairs, and of
                    // the upper half, are added up in the next cycle, and joined in the third.
                    wire [2*PAIRS-1:0] bits = {{(2 * PAIRS - WS) {factor_w[WS-1]}}, factor_w};
                    wire signed [P_BITS-1:0] wide_x = {{(P_BITS - XS) {factor_x[XS-1]}}, factor_x};
                    reg [PAIRS*P_BITS-1:0] pairs;
                    reg [P_BITS-1:0] lower, upper, lower_sum, upper_sum;
                    integer d;
                    always @(posedge clk)
                        for (d = 0; d < PAIRS; d = d + 1)
                            if (d == PAIRS - 1)  // the uppermost bit counts negative
                                pairs[d*P_BITS+:P_BITS] <= (bits[2*d] ? wide_x : {P_BITS{1'b0}})
                                    - (bits[2*d+1] ? wide_x <<< 1 : {P_BITS{1'b0}});
                            else
                                pairs[d*P_BITS+:P_BITS] <= (bits[2*d] ? wide_x : {P_BITS{1'b0}})
                                    + (bits[2*d+1] ? wide_x <<< 1 : {P_BITS{1'b0}});
                    always @* begin
                        lower = {P_BITS{1'b0}};
                        upper = {P_BITS{1'b0}};
                        for (d = 0; d < PAIRS; d = d + 1)
                            if (d < LOWER) lower = lower + (pairs[d*P_BITS+:P_BITS] << (2 * d));
                            else upper = upper + (pairs[d*P_BITS+:P_BITS] << (2 * d));
                    end
                    always @(posedge clk) begin
                        lower_sum <= lower;
                        upper_sum <= upper;
                        product   <= lower_sum + upper_sum;
                    end
                end
                assign products[c*P_BITS+:P_BITS] = product;
            end
            wire [S_BITS-1:0] sum;
            ei_tree #(
                .N(CHANNELS),
                .BITS(P_BITS),
                .OUT(S_BITS),
                .LEVELS(LEVELS)
            ) tree (
                .clk(clk),
                .x(products),
                .y(sum)
            );
            // The sums of all passes go round: the oldest is the one that is added to.
            reg [PASSES*ACC_BITS-1:0] sums;  // the oldest lowest
            wire [ACC_BITS-1:0] wide_sum = {{(ACC_BITS - S_BITS) {sum[S_BITS-1]}}, sum};
            wire [ACC_BITS-1:0] earlier = first[STAGES] ? start[p*ACC_BITS+:ACC_BITS] : sums[ACC_BITS-1:0];
            wire [ACC_BITS-1:0] total = earlier + (wide_sum << SHIFT);
            if (PASSES > 1) begin : g_round
                always @(posedge clk) if (arrive) sums <= {total, sums[PASSES*ACC_BITS-1:ACC_BITS]};
            end else begin : g_one
                always @(posedge clk) if (arrive) sums <= total;
            end
            always @(posedge clk) result[p*ACC_BITS+:ACC_BITS] <= total;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(PE * ACC_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && held_last),
        .push(push),
        .push_data(result),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
