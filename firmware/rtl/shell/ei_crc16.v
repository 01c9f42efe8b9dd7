// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The next value of a CRC of 16 bits (polynomial 1021, the highest bit first; begins at FFFF).
module ei_crc16 (
    input  wire [15:0] crc,
    input  wire [ 7:0] data,
    output reg  [15:0] next
);
    integer i;

    always @* begin
        next = crc ^ {data, 8'd0};
        for (i = 0; i < 8; i = i + 1) next = next[15] ? {next[14:0], 1'b0} ^ 16'h1021 : {next[14:0], 1'b0};
    end
endmodule
