// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The maximum or the sum over the taps of a whole window, channel by channel: a beat of TAPS x LANES
// elements, tap by tap, becomes one of LANES. 2^LEVELS >= TAPS.
module ei_reduce #(
    parameter BITS     = 8,
    parameter SIGNED   = 0,
    parameter LANES    = 1,
    parameter TAPS     = 4,
    parameter LEVELS   = 2,
    parameter SUM      = 0,
    parameter OUT_BITS = 8,
    parameter DEPTH    = 8
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       s_valid,
    output wire                       s_ready,
    input  wire [TAPS*LANES*BITS-1:0] s_data,
    output wire                       m_valid,
    input  wire                       m_ready,
    output wire [ LANES*OUT_BITS-1:0] m_data
);
    localparam E_BITS = BITS + 1;  // signed, whatever came in
    localparam GROWN = SUM ? E_BITS + LEVELS : E_BITS;
    localparam T_BITS = GROWN > OUT_BITS ? GROWN : OUT_BITS;

    wire step = s_valid && s_ready;
    reg [LEVELS:0] alive;
    wire [LANES*OUT_BITS-1:0] reduced;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[LEVELS-1:0], step};
    end

    reg [TAPS*LANES*BITS-1:0] held;
    always @(posedge clk) held <= s_data;

    genvar k, t;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            wire [TAPS*E_BITS-1:0] taps;
            wire [ T_BITS-1:0] y;
            for (t = 0; t < TAPS; t = t + 1) begin : g_tap
                wire [BITS-1:0] x = held[(t*LANES+k)*BITS+:BITS];
                assign taps[t*E_BITS+:E_BITS] = {SIGNED != 0 && x[BITS-1], x};
            end
            ei_tree #(
                .N(TAPS),
                .BITS(E_BITS),
                .OUT(T_BITS),
                .LEVELS(LEVELS),
                .MAX(SUM ? 0 : 1)
            ) tree (
                .clk(clk),
                .x(taps),
                .y(y)
            );
            assign reduced[k*OUT_BITS+:OUT_BITS] = y[OUT_BITS-1:0];
            if (T_BITS > OUT_BITS) begin : g_spare
                wire unused = &{1'b0, y[T_BITS-1:OUT_BITS]};
            end
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
        .push(alive[LEVELS]),
        .push_data(reduced),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
