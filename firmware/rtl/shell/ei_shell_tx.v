// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Answers: 5A, the status, the payload's length, the payload, a CRC over all but the first. Where the status
// is not 0 there is no payload; else the bytes of all outputs, in order, when all of them are there.
module ei_shell_tx #(
    parameter OUTPUTS = 1
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 start,
    input  wire [          1:0] status,
    input  wire [         15:0] payload,   // bytes of all outputs, known when they are there
    output reg                  busy,
    output wire                 finished,  // for one cycle
    input  wire [  OUTPUTS-1:0] full,
    input  wire [  OUTPUTS-1:0] valid,
    output wire [  OUTPUTS-1:0] ready,
    input  wire [8*OUTPUTS-1:0] data,
    input  wire [  OUTPUTS-1:0] last,
    output reg                  byte_valid,
    input  wire                 byte_ready,
    output reg  [          7:0] byte_data
);
    localparam [OUTPUTS-1:0] FIRST = 1;
    localparam [2:0] WAIT = 0, HEAD = 1, BODY = 2, CHECK = 3, DRAIN = 4;

    reg [2:0] state;
    reg [1:0] place;            // in the head, or in the check
    reg [OUTPUTS-1:0] turn;     // one bit: whose bytes they are
    reg [15:0] crc;
    reg counted;                // the byte that is offered is one of the CRC's
    wire [15:0] next;
    wire good = status == 2'd0;
    wire [15:0] length = good ? payload : 16'd0;
    wire settled = state == CHECK && !byte_valid;  // every byte has left, and is in the CRC
    wire free = !byte_valid || byte_ready;
    wire offered = |(valid & turn);
    wire take = state == BODY && free && offered;
    reg [7:0] chosen;
    integer k;

    assign ready    = take ? turn : {OUTPUTS{1'b0}};
    assign finished = busy && state == DRAIN && !byte_valid;

    ei_crc16 check (
        .crc(crc),
        .data(byte_data),
        .next(next)
    );

    always @* begin
        chosen = 8'd0;
        for (k = 0; k < OUTPUTS; k = k + 1) if (turn[k]) chosen = data[8*k+:8];
    end

    always @(posedge clk) begin
        if (rst) begin
            busy       <= 1'b0;
            state      <= WAIT;
            byte_valid <= 1'b0;
            place      <= 0;
        end else begin
            if (byte_valid && byte_ready) byte_valid <= 1'b0;
            if (start) begin
                busy  <= 1'b1;
                state <= WAIT;
            end else if (busy) begin
                case (state)
                    WAIT:
                    if (!good || &full) begin
                        state <= HEAD;
                        place <= 0;
                    end
                    HEAD:
                    if (free) begin
                        byte_valid <= 1'b1;
                        place      <= place + 1'b1;
                        if (place == 3) state <= good ? BODY : CHECK;
                    end
                    BODY:
                    if (take) begin
                        byte_valid <= 1'b1;
                        if (|(last & turn) && turn[OUTPUTS-1]) state <= CHECK;
                    end
                    CHECK:
                    if (settled) begin
                        byte_valid <= 1'b1;
                        place      <= place + 1'b1;
                        if (place == 1) state <= DRAIN;
                    end
                    default: if (finished) busy <= 1'b0;
                endcase
            end
        end
    end

    always @(posedge clk) begin
        if (start) begin
            crc  <= 16'hFFFF;
            turn <= FIRST;
        end else if (byte_valid && byte_ready && counted) crc <= next;
        if (take && |(last & turn)) turn <= turn << 1;
        if (state == HEAD && free) begin
            byte_data <= place == 0 ? 8'h5A : place == 1 ? {6'd0, status} : place == 2 ? length[7:0] : length[15:8];
            counted   <= place != 0;
        end
        if (take) begin
            byte_data <= chosen;
            counted   <= 1'b1;
        end
        if (settled) begin
            byte_data <= place == 0 ? crc[7:0] : crc[15:8];
            counted   <= 1'b0;
        end
    end
endmodule
