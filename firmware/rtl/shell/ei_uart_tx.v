// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Bytes onto a serial line, as ei_uart_rx reads them.
module ei_uart_tx #(
    parameter DIVIDER = 25
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       tick,
    input  wire       valid,
    output wire       ready,
    input  wire [7:0] data,
    output wire       line
);
    localparam CW = $clog2(DIVIDER);
    localparam [CW-1:0] WHOLE = DIVIDER[CW-1:0] - 1'b1;

    reg [CW-1:0] count;
    reg [3:0] left;    // bits still to send, the stop bit among them
    reg [9:0] shifted;

    assign ready = left == 0 && tick;
    assign line  = shifted[0];

    always @(posedge clk) begin
        if (rst) begin
            left    <= 0;
            count   <= 0;
            shifted <= 10'h3ff;
        end else if (left == 0) begin
            if (valid && tick) begin
                shifted <= {1'b1, data, 1'b0};
                left    <= 4'd10;
                count   <= WHOLE;
            end
        end else if (tick && count != 0) begin
            count <= count - 1'b1;
        end else if (tick) begin
            count   <= WHOLE;
            left    <= left - 1'b1;
            shifted <= {1'b1, shifted[9:1]};
        end
    end
endmodule
