// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Packets from a DMA to frames of a design. A packet is `batch` frames of BEATS beats, each beat WORDS words of
// WIDE bytes, of which BYTES count; TLAST is on its last word. Where TLAST comes too early, the rest of the
// packet is made of zeros; where it is missing, what comes is dropped up to the next TLAST. Both are told by a
// pulse, and the next packet is taken as it should be.
module ei_axis_in #(
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
    input  wire [ 8*WIDE-1:0] s_axis_tdata,
    input  wire               s_axis_tlast,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire [8*BYTES-1:0] m_axis_tdata,
    output wire               m_axis_tlast,
    output wire               frame,         // each for one cycle: a frame has gone in
    output reg                short_packet,
    output reg                long_packet
);
    localparam CW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam PW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;
    localparam [PW-1:0] LAST_PART = WORDS[PW-1:0] - 1'b1;
    localparam [1:0] FEED = 0, PAD = 1, DROP = 2;

    reg [1:0] state;
    reg [PW-1:0] part;
    reg [CW-1:0] beat;
    reg [31:0] count;  // frames of this packet that have gone in
    wire part_ends = part == LAST_PART;
    wire frame_ends = beat == LAST;
    wire packet_ends = frame_ends && count + 1'b1 == batch;
    wire step = m_axis_tvalid && m_axis_tready;
    wire take = s_axis_tvalid && s_axis_tready;
    wire [8*WIDE*WORDS-1:0] word;

    assign s_axis_tready = state == DROP || state == FEED && (!part_ends || m_axis_tready);
    assign m_axis_tvalid = state == PAD || state == FEED && part_ends && s_axis_tvalid;
    assign m_axis_tdata  = state == PAD ? {8 * BYTES{1'b0}} : word[8*BYTES-1:0];
    assign m_axis_tlast  = frame_ends;
    assign frame = step && frame_ends;

    generate
        if (WORDS > 1) begin : g_words
            reg [8*WIDE*(WORDS-1)-1:0] held;  // the newest on top
            assign word = {s_axis_tdata, held};
            always @(posedge clk) if (take) held <= word[8*WIDE*WORDS-1:8*WIDE];
        end else begin : g_word
            assign word = s_axis_tdata;
        end
        if (8 * WIDE * WORDS > 8 * BYTES) begin : g_padding
            wire unused = &{1'b0, word[8*WIDE*WORDS-1:8*BYTES]};
        end
    endgenerate

    always @(posedge clk) begin
        short_packet <= 1'b0;
        long_packet  <= 1'b0;
        if (rst) begin
            state <= FEED;
            part  <= 0;
            beat  <= 0;
            count <= 0;
        end else begin
            if (state == FEED && take) part <= part_ends || s_axis_tlast ? {PW{1'b0}} : part + 1'b1;
            if (step) begin
                beat <= frame_ends ? {CW{1'b0}} : beat + 1'b1;
                if (frame_ends) count <= packet_ends ? 32'd0 : count + 1'b1;
            end
            case (state)
                FEED:
                if (take) begin
                    if (part_ends && packet_ends) begin
                        if (!s_axis_tlast) begin
                            state       <= DROP;
                            long_packet <= 1'b1;
                        end
                    end else if (s_axis_tlast) begin
                        state        <= PAD;
                        short_packet <= 1'b1;
                    end
                end
                PAD: if (step && packet_ends) state <= FEED;
                default: if (take && s_axis_tlast) state <= FEED;
            endcase
        end
    end
endmodule
