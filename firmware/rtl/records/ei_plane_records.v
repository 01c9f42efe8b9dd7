// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Records of planes, byte by byte: where a hit is, and behind it the frame of each output of the network. The
// hit that only ends a plane stands alone, and its last byte is the plane's last.
module ei_plane_records #(
    parameter STREAMS = 2  // hits, and each output
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 ending,         // the hit that is kept ends a plane
    input  wire [  STREAMS-1:0] valid,
    output wire [  STREAMS-1:0] ready,
    input  wire [8*STREAMS-1:0] data,
    input  wire [  STREAMS-1:0] last,
    output wire [  STREAMS-1:0] clear,          // all bytes of a stream's frame have left
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready,
    output reg  [          7:0] m_axis_tdata,
    output wire                 m_axis_tlast
);
    localparam [STREAMS-1:0] FIRST = 1;

    reg [STREAMS-1:0] turn;  // one bit: whose bytes they are
    wire step = m_axis_tvalid && m_axis_tready;
    wire closing = |(last & turn);
    integer k;

    assign m_axis_tvalid = |(valid & turn);
    assign m_axis_tlast  = closing && turn[0] && ending;
    assign ready = step ? turn : {STREAMS{1'b0}};
    assign clear = step && closing ? turn : {STREAMS{1'b0}};

    always @* begin
        m_axis_tdata = 8'd0;
        for (k = 0; k < STREAMS; k = k + 1) if (turn[k]) m_axis_tdata = data[8*k+:8];
    end

    always @(posedge clk) begin
        if (rst) turn <= FIRST;
        else if (step && closing) turn <= m_axis_tlast || turn[STREAMS-1] ? FIRST : turn << 1;
    end
endmodule
