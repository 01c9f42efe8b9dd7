// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// y = (x factor) 2^SHIFT + bias, element by element, with factors and biases that repeat after WORDS
// beats; or, with PRELU, y = x 2^SHIFT where x >= 0, else x factor. Kept modulo 2^OUT_BITS.
module ei_affine #(
    parameter LANES    = 1,
    parameter X_BITS   = 8,
    parameter X_SIGNED = 0,
    parameter F_BITS   = 8,
    parameter F_SIGNED = 1,
    parameter SHIFT    = 0,
    parameter PRELU    = 0,
    parameter OUT_BITS = 16,
    parameter WORDS    = 1,
    parameter FACTORS  = "",
    parameter BIASES   = "",
    parameter DEPTH    = 8
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [  LANES*X_BITS-1:0] s_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    localparam P_BITS = X_BITS + F_BITS + (X_SIGNED || F_SIGNED ? 0 : 1);  // signed
    localparam E_BITS = P_BITS > OUT_BITS ? P_BITS : OUT_BITS;
    localparam AW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam [AW-1:0] LAST = WORDS[AW-1:0] - 1'b1;

    reg [LANES*F_BITS-1:0] factors[0:WORDS-1];
    reg [LANES*OUT_BITS-1:0] biases[0:WORDS-1];
    initial $readmemh(FACTORS, factors);
    initial $readmemh(BIASES, biases);

    wire step = s_valid && s_ready;
    reg [AW-1:0] address;

    always @(posedge clk) begin
        if (rst) address <= 0;
        else if (step) address <= address == LAST ? {AW{1'b0}} : address + 1'b1;
    end

    reg [3:0] alive;
    reg [LANES*X_BITS-1:0] x1, x2;
    reg [LANES*F_BITS-1:0] f1, f2;
    reg [LANES*OUT_BITS-1:0] b1, b2, b3;
    wire [LANES*OUT_BITS-1:0] y;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[2:0], step};
    end

    always @(posedge clk) begin
        x1 <= s_data;
        x2 <= x1;
        f1 <= factors[address];
        f2 <= f1;
        b1 <= biases[address];
        b2 <= b1;
        b3 <= b2;
    end

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            wire [X_BITS-1:0] x = x2[k*X_BITS+:X_BITS];
            wire [F_BITS-1:0] f = f2[k*F_BITS+:F_BITS];
            wire sign_x = X_SIGNED != 0 && x[X_BITS-1];
            wire sign_f = F_SIGNED != 0 && f[F_BITS-1];
            wire [P_BITS-1:0] wide_x = {{(P_BITS - X_BITS) {sign_x}}, x};
            wire [P_BITS-1:0] wide_f = {{(P_BITS - F_BITS) {sign_f}}, f};
            reg [P_BITS-1:0] product;
            reg [OUT_BITS-1:0] out;
            wire [E_BITS-1:0] wide = {{(E_BITS - P_BITS) {product[P_BITS-1]}}, product};
            if (PRELU) begin : g_prelu
                reg [OUT_BITS-1:0] kept;
                reg negative;
                wire [E_BITS+X_BITS-1:0] whole = {{E_BITS{sign_x}}, x} << SHIFT;
                wire unused_whole = &{1'b0, whole[E_BITS+X_BITS-1:OUT_BITS]};
                always @(posedge clk) begin
                    kept     <= whole[OUT_BITS-1:0];
                    negative <= sign_x;
                    out      <= negative ? wide[OUT_BITS-1:0] : kept;
                end
                wire unused_bias = &{1'b0, b3[k*OUT_BITS+:OUT_BITS]};
            end else begin : g_affine
                always @(posedge clk) out <= (wide[OUT_BITS-1:0] << SHIFT) + b3[k*OUT_BITS+:OUT_BITS];
            end
            if (E_BITS > OUT_BITS) begin : g_spare
                wire unused = &{1'b0, wide[E_BITS-1:OUT_BITS]};
            end
            always @(posedge clk) product <= $signed(wide_x) * $signed(wide_f);
            assign y[k*OUT_BITS+:OUT_BITS] = out;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(alive[3]),
        .push_data(y),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
