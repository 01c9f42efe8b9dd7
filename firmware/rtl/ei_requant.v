// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Numbers brought to another type: rounded to its grid, then wrapped or saturated to its range. Modes
// are those of ei_round and ei_limit. SHIFT: fractional bits that are lost (negative: gained).
module ei_requant #(
    parameter LANES      = 1,
    parameter IN_BITS    = 16,
    parameter IN_SIGNED  = 1,
    parameter SHIFT      = 4,
    parameter ROUNDING   = 6,
    parameter OVERFLOW   = 1,
    parameter OUT_BITS   = 8,
    parameter OUT_SIGNED = 0,
    parameter DEPTH      = 4
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [ LANES*IN_BITS-1:0] s_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    localparam KEPT = SHIFT < IN_BITS ? IN_BITS + 1 - SHIFT : 1;  // bits of the floor
    localparam R_BITS = SHIFT > 0 ? KEPT + 1 : IN_BITS + 1 - SHIFT;

    wire step = s_valid && s_ready;
    reg [1:0] alive;
    reg [LANES*IN_BITS-1:0] held;  // a queue's memory and a rounding are too much for one cycle
    reg [LANES*R_BITS-1:0] rounded;
    wire [LANES*R_BITS-1:0] on_grid;
    wire [LANES*OUT_BITS-1:0] limited;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[0], step};
    end

    always @(posedge clk) begin
        held    <= s_data;
        rounded <= on_grid;
    end

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            ei_round #(
                .BITS(IN_BITS),
                .SIGNED(IN_SIGNED),
                .SHIFT(SHIFT),
                .ROUNDING(ROUNDING),
                .OUT(R_BITS)
            ) round (
                .x(held[k*IN_BITS+:IN_BITS]),
                .y(on_grid[k*R_BITS+:R_BITS])
            );
            ei_limit #(
                .BITS(R_BITS),
                .OUT_BITS(OUT_BITS),
                .OUT_SIGNED(OUT_SIGNED),
                .OVERFLOW(OVERFLOW)
            ) limit (
                .x(rounded[k*R_BITS+:R_BITS]),
                .y(limited[k*OUT_BITS+:OUT_BITS])
            );
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
        .push(alive[1]),
        .push_data(limited),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
