// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Frames of a design to packets for a DMA: `batch` frames of BEATS beats, each WORDS words of WIDE bytes of which
// the lowest BYTES count; TLAST is on the packet's last word. Where BEATS is 0, a frame is as long as it likes, and
// its own TLAST ends it.
module ei_axis_out #(
    parameter WIDE  = 1,
    parameter WORDS = 1,
    parameter BYTES = 1,
    parameter BEATS = 4
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [       31:0] batch,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    input  wire [8*BYTES-1:0] s_axis_tdata,
    input  wire               s_axis_tlast,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire [ 8*WIDE-1:0] m_axis_tdata,
    output wire [   WIDE-1:0] m_axis_tkeep,
    output wire               m_axis_tlast,
    output wire               frame,         // each for one cycle: a frame, a packet has gone out
    output wire               packet
);
    localparam PW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam CW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam [PW-1:0] LAST_PART = WORDS[PW-1:0] - 1'b1;
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;

    reg [PW-1:0] part;
    reg [CW-1:0] beat;
    reg [31:0] count;
    wire part_ends = part == LAST_PART;
    wire frame_ends = BEATS == 0 ? s_axis_tlast : beat == LAST;  // the others are counted
    wire packet_ends = frame_ends && count + 1'b1 == batch;
    wire step = s_axis_tvalid && s_axis_tready;
    wire [8*WIDE*WORDS-1:0] word;
    wire unused = &{1'b0, s_axis_tlast, beat};

    generate
        if (8 * WIDE * WORDS > 8 * BYTES) begin : g_padding
            assign word = {{(8 * WIDE * WORDS - 8 * BYTES) {1'b0}}, s_axis_tdata};
        end else begin : g_whole
            assign word = s_axis_tdata;
        end
    endgenerate

    assign s_axis_tready = m_axis_tready && part_ends;
    assign m_axis_tvalid = s_axis_tvalid;
    assign m_axis_tdata  = word[8*WIDE*part+:8*WIDE];
    assign m_axis_tkeep  = {WIDE{1'b1}};
    assign m_axis_tlast  = part_ends && packet_ends;
    assign frame  = step && frame_ends;
    assign packet = step && packet_ends;

    always @(posedge clk) begin
        if (rst) begin
            part  <= 0;
            beat  <= 0;
            count <= 0;
        end else begin
            if (m_axis_tvalid && m_axis_tready) part <= part_ends ? {PW{1'b0}} : part + 1'b1;
            if (step) begin
                beat <= frame_ends ? {CW{1'b0}} : beat + 1'b1;
                if (frame_ends) count <= packet_ends ? 32'd0 : count + 1'b1;
            end
        end
    end
endmodule
