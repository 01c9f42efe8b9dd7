// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A frame of one output: BEATS beats are taken and kept; when they are all there, their bytes can be read,
// one after the other, until `clear`.
module ei_shell_save #(
    parameter BYTES = 1,
    parameter BEATS = 4
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               clear,
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    input  wire [8*BYTES-1:0] s_axis_tdata,
    input  wire               s_axis_tlast,
    output reg                full,
    output wire               valid,
    input  wire               ready,
    output wire [        7:0] data,
    output wire               last
);
    localparam AW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam BW = BYTES > 1 ? $clog2(BYTES) : 1;
    localparam [AW-1:0] LAST = BEATS[AW-1:0] - 1'b1;
    localparam [BW-1:0] LAST_BYTE = BYTES[BW-1:0] - 1'b1;

    reg [8*BYTES-1:0] frame[0:BEATS-1];
    reg [8*BYTES-1:0] out;
    reg [AW-1:0] write, read;
    reg [BW-1:0] part;
    reg fetched;
    wire step = s_axis_tvalid && s_axis_tready;
    wire unused = &{1'b0, s_axis_tlast};

    assign s_axis_tready = !full;
    assign valid = fetched;
    assign data  = out[7:0];
    assign last  = read == LAST && part == LAST_BYTE;

    always @(posedge clk) begin
        if (rst || clear) begin
            write   <= 0;
            full    <= 1'b0;
            read    <= 0;
            part    <= 0;
            fetched <= 1'b0;
        end else begin
            if (step) begin
                write <= write + 1'b1;
                full  <= write == LAST;
            end
            if (full && !fetched) fetched <= 1'b1;
            if (valid && ready) begin
                part <= part == LAST_BYTE ? {BW{1'b0}} : part + 1'b1;
                if (part == LAST_BYTE) begin
                    read    <= read + 1'b1;
                    fetched <= 1'b0;
                end
            end
        end
    end

    always @(posedge clk) begin
        if (step) frame[write] <= s_axis_tdata;
        if (full && !fetched) out <= frame[read];
        else if (valid && ready) out <= out >> 8;
    end
endmodule
