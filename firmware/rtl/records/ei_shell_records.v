// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The records of a plane: up to BYTES bytes are kept; when the plane's last one has come, they can be read, one
// after the other, until `clear`. What comes beyond is let go of; the mark of the plane's end is then missing.
module ei_shell_records #(
    parameter BYTES = 1024
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        clear,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    input  wire [ 7:0] s_axis_tdata,
    input  wire        s_axis_tlast,
    output reg         full,
    output reg  [15:0] count,  // of the bytes that are kept
    output wire        valid,
    input  wire        ready,
    output wire [ 7:0] data,
    output wire        last
);
    localparam AW = BYTES > 1 ? $clog2(BYTES) : 1;

    reg [7:0] kept[0:BYTES-1];
    reg [7:0] out;
    reg [15:0] read;
    reg fetched;
    wire step = s_axis_tvalid && s_axis_tready;
    wire room = count != BYTES[15:0];

    assign s_axis_tready = !full;
    assign valid = fetched;
    assign data  = out;
    assign last  = read + 1'b1 == count;

    always @(posedge clk) begin
        if (rst || clear) begin
            count   <= 0;
            full    <= 1'b0;
            read    <= 0;
            fetched <= 1'b0;
        end else begin
            if (step) begin
                full <= s_axis_tlast;
                if (room) count <= count + 1'b1;
            end
            if (full && !fetched) fetched <= 1'b1;
            if (valid && ready) begin
                read    <= read + 1'b1;
                fetched <= 1'b0;
            end
        end
    end

    always @(posedge clk) begin
        if (step && room) kept[count[AW-1:0]] <= s_axis_tdata;
        out <= kept[read[AW-1:0]];
    end
endmodule
