// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where results go out, by AXI4-Stream: TLAST on the last of BEATS beats, zeros up to whole bytes. The
// queue keeps the way from the outside's ready short.
module ei_egress #(
    parameter WIDTH = 8,
    parameter BYTES = 1,
    parameter BEATS = 4,
    parameter DEPTH = 2
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               s_valid,
    output wire               s_ready,
    input  wire [  WIDTH-1:0] s_data,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire [8*BYTES-1:0] m_axis_tdata,
    output wire               m_axis_tlast
);
    localparam CW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;

    reg [CW-1:0] beat;

    wire step = s_valid && s_ready;
    wire [WIDTH-1:0] data;

    assign m_axis_tdata = {{(8 * BYTES - WIDTH) {1'b0}}, data};

    always @(posedge clk) begin
        if (rst) beat <= 0;
        else if (step) beat <= beat == LAST ? {CW{1'b0}} : beat + 1'b1;
    end

    ei_fifo #(
        .WIDTH(WIDTH + 1),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(step),
        .push_data({beat == LAST, s_data}),
        .m_valid(m_axis_tvalid),
        .m_ready(m_axis_tready),
        .m_data({m_axis_tlast, data})
    );
endmodule
