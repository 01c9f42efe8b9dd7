// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Two streams one after the other: BEATS_A of the first, BEATS_B of the second, and again. Each is
// brought to the finer grid by SHIFT_A and SHIFT_B bits, and OUT_BITS holds both.
module ei_concat #(
    parameter LANES    = 1,
    parameter A_BITS   = 8,
    parameter A_SIGNED = 0,
    parameter SHIFT_A  = 0,
    parameter BEATS_A  = 1,
    parameter B_BITS   = 8,
    parameter B_SIGNED = 0,
    parameter SHIFT_B  = 0,
    parameter BEATS_B  = 1,
    parameter OUT_BITS = 9,
    parameter DEPTH    = 4
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [  LANES*A_BITS-1:0] s_data,
    input  wire                      b_valid,
    output wire                      b_ready,
    input  wire [  LANES*B_BITS-1:0] b_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    localparam BEATS = BEATS_A + BEATS_B;
    localparam CW = $clog2(BEATS);
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_A = BEATS_A[CW-1:0] - 1'b1;
    localparam TALL_A = A_BITS + SHIFT_A > OUT_BITS ? A_BITS + SHIFT_A : OUT_BITS;
    localparam TALL_B = B_BITS + SHIFT_B > OUT_BITS ? B_BITS + SHIFT_B : OUT_BITS;

    reg [CW-1:0] beat;
    wire from_a = beat <= LAST_A;
    wire credit;
    wire step = credit && (from_a ? s_valid : b_valid);
    wire [LANES*OUT_BITS-1:0] chosen;

    assign s_ready = credit && from_a;
    assign b_ready = credit && !from_a;

    always @(posedge clk) begin
        if (rst) beat <= 0;
        else if (step) beat <= beat == LAST ? {CW{1'b0}} : beat + 1'b1;
    end

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            wire [A_BITS-1:0] a = s_data[k*A_BITS+:A_BITS];
            wire [B_BITS-1:0] b = b_data[k*B_BITS+:B_BITS];
            wire [TALL_A-1:0] wide_a = {{(TALL_A - A_BITS) {A_SIGNED != 0 && a[A_BITS-1]}}, a} << SHIFT_A;
            wire [TALL_B-1:0] wide_b = {{(TALL_B - B_BITS) {B_SIGNED != 0 && b[B_BITS-1]}}, b} << SHIFT_B;
            assign chosen[k*OUT_BITS+:OUT_BITS] = from_a ? wide_a[OUT_BITS-1:0] : wide_b[OUT_BITS-1:0];
            if (TALL_A > OUT_BITS) begin : g_spare_a
                wire unused = &{1'b0, wide_a[TALL_A-1:OUT_BITS]};
            end
            if (TALL_B > OUT_BITS) begin : g_spare_b
                wire unused = &{1'b0, wide_b[TALL_B-1:OUT_BITS]};
            end
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(step),
        .push_data(chosen),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
