// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where results go out, by AXI4-Stream: TLAST on the last of BEATS beats, zeros up to whole bytes.
module ei_egress #(
    parameter WIDTH = 8,
    parameter BYTES = 1,
    parameter BEATS = 4
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

    assign m_axis_tvalid = s_valid;
    assign s_ready       = m_axis_tready;
    assign m_axis_tdata  = {{(8 * BYTES - WIDTH) {1'b0}}, s_data};
    assign m_axis_tlast  = beat == LAST;

    always @(posedge clk) begin
        if (rst) beat <= 0;
        else if (s_valid && m_axis_tready) beat <= m_axis_tlast ? {CW{1'b0}} : beat + 1'b1;
    end
endmodule
