// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Of every BEATS bits, the first MOST that are set stay set. `dropped` counts the others since the last reset, and
// stays at its end.
module ei_first #(
    parameter BEATS = 4,
    parameter MOST  = 1,
    parameter DEPTH = 4
) (
    input  wire clk,
    input  wire rst,
    input  wire s_valid,
    output wire s_ready,
    input  wire s_data,
    output wire m_valid,
    input  wire m_ready,
    output wire m_data,
    output reg [31:0] dropped
);
    localparam BW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam CW = $clog2(MOST + 1);
    localparam [BW-1:0] LAST = BEATS[BW-1:0] - 1'b1;
    localparam [CW-1:0] ALL = MOST[CW-1:0];

    reg [BW-1:0] beat;
    reg [CW-1:0] left;  // bits that may still stay set
    wire step = s_valid && s_ready;
    wire stays = s_data && left != 0;

    always @(posedge clk) begin
        if (rst) begin
            beat <= 0;
            left <= ALL;
            dropped <= 0;
        end else if (step) begin
            beat <= beat == LAST ? {BW{1'b0}} : beat + 1'b1;
            left <= beat == LAST ? ALL : stays ? left - 1'b1 : left;
            if (s_data && !stays && ~&dropped) dropped <= dropped + 1'b1;
        end
    end

    ei_fifo #(
        .WIDTH(1),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(step),
        .push_data(stays),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
