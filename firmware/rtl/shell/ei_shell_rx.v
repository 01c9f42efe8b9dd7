// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Messages out of bytes: A5, the design's number, the payload's length, the payload, a CRC over all but the
// first; numbers have the low byte first. A message that ends is `done` with its status: 0 good, 1 a wrong
// CRC, 2 a wrong length, 3 for another design. A message that stops for TIMEOUT cycles is forgotten.
module ei_shell_rx #(
    parameter [15:0] ID      = 0,
    parameter [15:0] PAYLOAD = 1,
    parameter        TIMEOUT = 1000
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        hold,      // an answer is on its way: what comes in is ignored
    input  wire        valid,
    input  wire [ 7:0] data,
    output wire        begun,     // for one cycle each
    output wire        store,
    output reg  [15:0] position,  // of the byte to store, in the payload
    output reg         done,
    output reg  [ 1:0] status
);
    localparam [2:0] IDLE = 0, NUMBER = 1, LENGTH = 2, BODY = 3, CHECK = 4;
    localparam TW = $clog2(TIMEOUT + 1);

    reg [2:0] state;
    reg second;          // of the two bytes of a number
    reg [7:0] low;
    reg [15:0] length;
    reg [15:0] crc;
    reg [TW-1:0] waited;  // cycles since a byte came; counted up, because no start is loaded then
    reg other;           // for another design
    wire [15:0] next;
    wire [15:0] number = {data, low};
    wire late = waited == TIMEOUT[TW-1:0];
    wire last = position + 1'b1 == length;

    assign begun = valid && !hold && state == IDLE && data == 8'hA5;
    assign store = valid && state == BODY && length == PAYLOAD;

    ei_crc16 check (
        .crc(crc),
        .data(data),
        .next(next)
    );

    always @(posedge clk) begin
        done <= 1'b0;
        if (rst) begin
            state    <= IDLE;
            second   <= 1'b0;
            waited   <= 0;
            status   <= 0;
        end else begin
            if (valid) waited <= 0;
            else if (!late) waited <= waited + 1'b1;
            if (state != IDLE && !valid && late) state <= IDLE;
            if (valid) begin
                if (state != IDLE && state != BODY) second <= !second;
                case (state)
                    IDLE:
                    if (begun) begin
                        state  <= NUMBER;
                        second <= 1'b0;
                    end
                    NUMBER: if (second) state <= LENGTH;
                    LENGTH: if (second) state <= number == 0 ? CHECK : BODY;
                    BODY: if (last) state <= CHECK;
                    default:
                    if (second) begin
                        state  <= IDLE;
                        done   <= 1'b1;
                        status <= number != crc ? 2'd1 : other ? 2'd3 : length != PAYLOAD ? 2'd2 : 2'd0;
                    end
                endcase
            end
        end
    end

    always @(posedge clk) begin
        if (valid) begin
            low <= data;
            if (state == IDLE) crc <= 16'hFFFF;
            else if (state != CHECK) crc <= next;
            if (state == NUMBER && second) other <= number != ID;
            if (state == LENGTH) begin
                length   <= number;
                position <= 0;
            end else if (state == BODY) position <= position + 1'b1;
        end
    end
endmodule
