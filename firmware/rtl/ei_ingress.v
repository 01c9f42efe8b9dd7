// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where frames come in, by AXI4-Stream: WIDTH bits of TDATA count, the rest is padding to whole bytes.
// A TLAST that is not on the last of BEATS beats sets `misframed`, which only a reset clears.
module ei_ingress #(
    parameter WIDTH = 8,
    parameter BYTES = 1,
    parameter BEATS = 4,
    parameter DEPTH = 2
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    input  wire [8*BYTES-1:0] s_axis_tdata,
    input  wire               s_axis_tlast,
    output reg                misframed,
    output wire               m_valid,
    input  wire               m_ready,
    output wire [  WIDTH-1:0] m_data
);
    localparam CW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;

    reg [CW-1:0] beat;
    wire step = s_axis_tvalid && s_axis_tready;
    wire last = beat == LAST;

    always @(posedge clk) begin
        if (rst) begin
            beat      <= 0;
            misframed <= 1'b0;
        end else if (step) begin
            beat <= last ? {CW{1'b0}} : beat + 1'b1;
            if (s_axis_tlast != last) misframed <= 1'b1;
        end
    end

    generate
        if (8 * BYTES > WIDTH) begin : g_padding
            wire unused = &{1'b0, s_axis_tdata[8*BYTES-1:WIDTH]};
        end
    endgenerate

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_axis_tready),
        .take(step),
        .push(step),
        .push_data(s_axis_tdata[WIDTH-1:0]),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
