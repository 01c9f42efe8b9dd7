// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Bytes from a serial line: a start bit, 8 bits with the lowest first, a stop bit, each DIVIDER ticks long
// and looked at in its middle. A byte without its stop bit is dropped. Where the clock is the line's measure, each
// cycle is a tick.
module ei_uart_rx #(
    parameter DIVIDER = 25
) (
    input  wire       clk,
    input  wire       rst,
    input  wire       tick,
    input  wire       line,
    output reg        valid,  // for one cycle
    output wire [7:0] data
);
    localparam CW = $clog2(DIVIDER);
    localparam [CW-1:0] WHOLE = DIVIDER[CW-1:0] - 1'b1;
    localparam [CW-1:0] HALF = WHOLE >> 1;

    reg [1:0] synced;  // the line belongs to no clock
    reg [CW-1:0] count;
    reg [3:0] place;   // 0 the start bit, 1 to 8 the data, 9 the stop bit
    reg [7:0] held;
    reg busy;

    assign data = held;

    always @(posedge clk) synced <= rst ? 2'b11 : {synced[0], line};

    always @(posedge clk) begin
        valid <= 1'b0;
        if (rst) begin
            busy  <= 1'b0;
            count <= 0;
            place <= 0;
        end else if (!busy) begin
            busy  <= !synced[1];
            count <= HALF;
            place <= 0;
        end else if (tick && count != 0) begin
            count <= count - 1'b1;
        end else if (tick) begin
            count <= WHOLE;
            place <= place + 1'b1;
            if (place == 0 && synced[1]) busy <= 1'b0;
            if (place == 9) begin
                busy  <= 1'b0;
                valid <= synced[1];
            end
        end
    end

    wire taken = tick && busy && count == 0 && place != 0 && place != 9;

    always @(posedge clk) if (taken) held <= {synced[1], held[7:1]};
endmodule
