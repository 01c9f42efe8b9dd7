// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Folded multiply-accumulate: y = (sum of x weight) 2^SHIFT + bias for PE x NF outputs, from SIMD x SF
// inputs. Each beat of SIMD inputs is held for NF cycles, in which it meets the weights of all outputs,
// PE at a time; the sums of all outputs are kept. So a vector takes SF x NF cycles, inputs are never
// stored, and the outputs leave, PE at a time, in the last NF of these cycles.
//
// Channels may be in groups, each of which has inputs and outputs of its own: GROUPS of them are computed at
// once, and ROUNDS times as many there are (a depthwise convolution has as many as channels). A beat holds
// SIMD inputs for each of its groups: CHANNELS of the first group, of the second, and so on, and then these
// groups' next CHANNELS, as a window's taps come. So a vector takes ROUNDS x SF x NF cycles.
//
// WEIGHTS: ROUNDS x SF x NF words in the order of use, outputs innermost; in a word, lane by lane of PE,
// group by group, its SIMD weights, the first lowest. BIASES: ROUNDS x NF words of PE. Sums are kept modulo
// 2^ACC_BITS, which is exact wherever the result is proved to fit.
module ei_mac #(
    parameter X_BITS   = 8,
    parameter X_SIGNED = 0,
    parameter W_BITS   = 8,
    parameter W_SIGNED = 1,
    parameter ACC_BITS = 16,
    parameter SHIFT    = 0,
    parameter SIMD     = 1,
    parameter PE       = 1,
    parameter GROUPS   = 1,
    parameter CHANNELS = 1,
    parameter ROUNDS   = 1,
    parameter SF       = 1,
    parameter NF       = 1,
    parameter LEVELS   = 0,   // of the adder tree: 2^LEVELS >= SIMD
    parameter WEIGHTS  = "",
    parameter BIASES   = "",
    parameter DEPTH    = 4
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          s_valid,
    output wire                          s_ready,
    input  wire [GROUPS*SIMD*X_BITS-1:0] s_data,
    output wire                          m_valid,
    input  wire                          m_ready,
    output wire [       PE*ACC_BITS-1:0] m_data
);
    localparam WORDS = ROUNDS * SF * NF;
    localparam STARTS = ROUNDS * NF;
    localparam WORD = PE * SIMD * W_BITS;
    localparam P_BITS = X_BITS + W_BITS + (X_SIGNED || W_SIGNED ? 0 : 1);  // signed
    localparam DIGITS = (W_BITS + (W_SIGNED ? 0 : 1) + 1) / 2;  // of a constant weight
    localparam S_BITS = P_BITS + LEVELS < ACC_BITS ? P_BITS + LEVELS : ACC_BITS;
    localparam STAGES = 4 + LEVELS;  // from the step to the sum
    localparam NW = NF > 1 ? $clog2(NF) : 1;
    localparam FW = SF > 1 ? $clog2(SF) : 1;
    localparam AW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam [NW-1:0] LAST_N = NF[NW-1:0] - 1'b1;
    localparam [FW-1:0] LAST_F = SF[FW-1:0] - 1'b1;
    localparam [AW-1:0] LAST_A = WORDS[AW-1:0] - 1'b1;

    reg [WORD-1:0] weights[0:WORDS-1];
    reg [PE*ACC_BITS-1:0] biases[0:STARTS-1];
    initial $readmemh(WEIGHTS, weights);
    initial $readmemh(BIASES, biases);

    // Issue: one word of weights a cycle.
    reg [NW-1:0] n;
    reg [FW-1:0] f;
    reg [AW-1:0] address;
    wire credit;
    reg emit;    // f is at its end
    reg n_last;  // n is
    wire can = !emit || credit;
    wire step = s_valid && can;
    wire [NW-1:0] next_n = n_last ? {NW{1'b0}} : n + 1'b1;
    wire [FW-1:0] next_f = emit ? {FW{1'b0}} : f + 1'b1;

    assign s_ready = can && n_last;

    always @(posedge clk) begin
        if (rst) begin
            n       <= 0;
            f       <= 0;
            address <= 0;
            emit    <= SF == 1;
            n_last  <= NF == 1;
        end else if (step) begin
            n       <= next_n;
            n_last  <= next_n == LAST_N;
            address <= address == LAST_A ? {AW{1'b0}} : address + 1'b1;
            if (n_last) begin
                f    <= next_f;
                emit <= next_f == LAST_F;
            end
        end
    end

    // Three registers from the memory to the products (or two, and one within constant products), one for the
    // products, one for each level of the tree.
    reg [GROUPS*SIMD*X_BITS-1:0] x1, x2;
    reg [WORD-1:0] w1, w2;
    reg [STAGES-1:0] alive;

    always @(posedge clk) begin
        x1 <= s_data;
        x2 <= x1;
        w1 <= weights[address];
        w2 <= w1;
    end

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[STAGES-2:0], step};
    end

    // Accumulate: counts what arrives, in the order in which it was issued.
    reg [NW-1:0] n_acc;
    reg [FW-1:0] f_acc;
    reg opening, closing;  // f_acc is at its beginning, at its end
    reg push;
    reg [PE*ACC_BITS-1:0] result;
    reg [PE*ACC_BITS-1:0] sums[0:NF-1];
    wire arrive = alive[STAGES-1];
    wire [FW-1:0] next_f_acc = closing ? {FW{1'b0}} : f_acc + 1'b1;
    wire [PE*ACC_BITS-1:0] bias;
    wire [PE*ACC_BITS-1:0] base = opening ? bias : sums[n_acc];
    wire [PE*ACC_BITS-1:0] total;

    always @(posedge clk) begin
        if (rst) begin
            n_acc   <= 0;
            f_acc   <= 0;
            opening <= 1'b1;
            closing <= SF == 1;
            push    <= 1'b0;
        end else begin
            push <= arrive && closing;
            if (arrive) begin
                n_acc <= n_acc == LAST_N ? {NW{1'b0}} : n_acc + 1'b1;
                if (n_acc == LAST_N) begin
                    f_acc   <= next_f_acc;
                    opening <= closing;
                    closing <= next_f_acc == LAST_F;
                end
            end
        end
    end

    always @(posedge clk) begin
        if (arrive) sums[n_acc] <= total;
        result <= total;
    end

    generate
        if (ROUNDS > 1) begin : g_rounds  // a bias is read a cycle ahead, as there are as many as channels
            localparam BW = $clog2(STARTS);
            localparam [BW-1:0] LAST_B = STARTS[BW-1:0] - 1'b1;
            reg [BW-1:0] b_acc;
            reg [PE*ACC_BITS-1:0] ahead;
            wire [BW-1:0] following_b = b_acc == LAST_B ? {BW{1'b0}} : b_acc + 1'b1;
            wire [BW-1:0] next_b = arrive && opening ? following_b : b_acc;
            assign bias = ahead;
            always @(posedge clk) ahead <= biases[next_b];
            always @(posedge clk)
                if (rst) b_acc <= 0;
                else b_acc <= next_b;
        end else begin : g_round
            assign bias = biases[n_acc];
        end
    endgenerate

    genvar p, s;
    generate
        for (p = 0; p < PE; p = p + 1) begin : g_pe
            localparam GROUP = p * GROUPS / PE;
            wire [SIMD*P_BITS-1:0] products;
            wire [SIMD*X_BITS-1:0] x3;  // of its group
            // Each lane has inputs of its own, so that they can lie beside its multipliers: what all lanes
            // read from one register is a long way from most. Kept, or synthesis would merge them again.
            wire [SIMD*X_BITS-1:0] inputs;
            wire [SIMD*W_BITS-1:0] factors;
            if (WORDS > 1) begin : g_own
                reg [SIMD*X_BITS-1:0] own;
                reg [SIMD*W_BITS-1:0] near;  // a memory is slow: what takes its output lies beside it
                (* keep *) always @(posedge clk) own <= x3;
                always @(posedge clk) near <= w2[p*SIMD*W_BITS+:SIMD*W_BITS];
                assign inputs  = own;
                assign factors = near;
            end else begin : g_common
                assign inputs  = x3;
                assign factors = w2[p*SIMD*W_BITS+:SIMD*W_BITS];
            end
            for (s = 0; s < SIMD; s = s + 1) begin : g_product
                localparam PLACE = ((s / CHANNELS) * GROUPS + GROUP) * CHANNELS + s % CHANNELS;
                assign x3[s*X_BITS+:X_BITS] = x2[PLACE*X_BITS+:X_BITS];
                wire [X_BITS-1:0] x = inputs[s*X_BITS+:X_BITS];
                wire [W_BITS-1:0] w = factors[s*W_BITS+:W_BITS];
                wire sign_x = X_SIGNED != 0 && x[X_BITS-1];
                wire [P_BITS-1:0] wide_x = {{(P_BITS - X_BITS) {sign_x}}, x};
                reg [P_BITS-1:0] product;
                if (WORDS == 1) begin : g_constant
                    // A weight that never changes wants no DSP block: it is a sum of a few shifted inputs,
                    // one for each pair of its bits, added or subtracted (Booth's digits: -2 to 2). What
                    // is added and what is subtracted is added up first, and joined a cycle later.
                    wire [2*DIGITS:0] recoded = {
                        {(2 * DIGITS - W_BITS) {W_SIGNED != 0 && w[W_BITS-1]}}, w, 1'b0
                    };
                    reg [P_BITS-1:0] up, down, added, subtracted;
                    integer d;
                    always @* begin
                        up   = {P_BITS{1'b0}};
                        down = {P_BITS{1'b0}};
                        for (d = 0; d < DIGITS; d = d + 1)
                            case (recoded[2*d+:3])
                                3'd1, 3'd2: up = up + (wide_x << (2 * d));
                                3'd3:       up = up + (wide_x << (2 * d + 1));
                                3'd4:       down = down + (wide_x << (2 * d + 1));
                                3'd5, 3'd6: down = down + (wide_x << (2 * d));
                                default:    up = up;
                            endcase
                    end
                    always @(posedge clk) begin
                        added      <= up;
                        subtracted <= down;
                        product    <= added - subtracted;
                    end
                end else begin : g_variable
                    wire [P_BITS-1:0] wide_w = {{(P_BITS - W_BITS) {W_SIGNED != 0 && w[W_BITS-1]}}, w};
                    always @(posedge clk) product <= $signed(wide_x) * $signed(wide_w);
                end
                assign products[s*P_BITS+:P_BITS] = product;
            end
            wire [S_BITS-1:0] sum;
            ei_tree #(
                .N(SIMD),
                .BITS(P_BITS),
                .OUT(S_BITS),
                .LEVELS(LEVELS)
            ) tree (
                .clk(clk),
                .x(products),
                .y(sum)
            );
            wire [ACC_BITS-1:0] wide_sum = {{(ACC_BITS - S_BITS) {sum[S_BITS-1]}}, sum};
            assign total[p*ACC_BITS+:ACC_BITS] = base[p*ACC_BITS+:ACC_BITS] + (wide_sum << SHIFT);
        end
    endgenerate

    ei_fifo #(
        .WIDTH(PE * ACC_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && emit),
        .push(push),
        .push_data(result),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
