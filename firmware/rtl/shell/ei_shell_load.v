// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A frame for one input: those bytes of a payload that are its own are kept, and given as BEATS beats of
// BYTES bytes by AXI4-Stream, a beat in each cycle, when all of the message was good.
module ei_shell_load #(
    parameter        BYTES = 1,
    parameter        BEATS = 4,
    parameter [15:0] FIRST = 0  // its first byte in the payload
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               begun,
    input  wire               store,
    input  wire [       15:0] position,
    input  wire [        7:0] data,
    input  wire               go,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready,
    output wire [8*BYTES-1:0] m_axis_tdata,
    output wire               m_axis_tlast
);
    localparam AW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam BW = BYTES > 1 ? $clog2(BYTES) : 1;
    localparam COUNT = BYTES * BEATS;
    localparam [AW-1:0] LAST = BEATS[AW-1:0] - 1'b1;
    localparam [BW-1:0] LAST_BYTE = BYTES[BW-1:0] - 1'b1;

    reg [8*BYTES-1:0] frame[0:BEATS-1];
    reg [8*BYTES-1:0] out;
    reg [AW-1:0] write, read;
    reg [BW-1:0] part;
    reg fetching, offering, at_last;
    wire advance = fetching && (!offering || m_axis_tready);
    wire [15:0] place = position - FIRST;
    wire own = store && place < COUNT[15:0];  // what lies before FIRST is far beyond
    wire full = own && part == LAST_BYTE;
    wire [8*BYTES-1:0] word;

    assign m_axis_tvalid = offering;
    assign m_axis_tdata  = out;
    assign m_axis_tlast  = at_last;

    generate
        if (BYTES > 1) begin : g_bytes
            reg [8*BYTES-9:0] held;  // the newest on top
            assign word = {data, held};
            always @(posedge clk) if (own) held <= word[8*BYTES-1:8];
        end else begin : g_byte
            assign word = data;
        end
    endgenerate

    always @(posedge clk) begin
        if (rst || begun) begin
            write <= 0;
            part  <= 0;
        end else if (own) begin
            part <= full ? {BW{1'b0}} : part + 1'b1;
            if (full) write <= write + 1'b1;
        end
    end

    always @(posedge clk) begin
        if (rst) begin
            read     <= 0;
            fetching <= 1'b0;
            offering <= 1'b0;
        end else if (go) begin
            read     <= 0;
            fetching <= 1'b1;
        end else begin
            if (advance) begin
                offering <= 1'b1;
                at_last  <= read == LAST;
                fetching <= read != LAST;
                read     <= read + 1'b1;
            end else if (m_axis_tready) offering <= 1'b0;
        end
    end

    always @(posedge clk) begin
        if (full) frame[write] <= word;
        if (advance) out <= frame[read];
    end
endmodule
