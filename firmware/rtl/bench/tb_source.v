// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Gives the beats of `mem` in order, with gaps in a third of the cycles. What is offered stays until it
// is taken; while nothing is offered the data are nonsense.
module tb_source #(
    parameter WIDTH = 8,
    parameter BEATS = 16,
    parameter SEED  = 1
) (
    input  wire             clk,
    input  wire             rst,
    output reg              valid,
    input  wire             ready,
    output reg  [WIDTH-1:0] data
);
    reg [WIDTH-1:0] mem[0:BEATS-1];
    integer next, seed;

    initial begin
        seed  = SEED;
        valid = 1'b0;
        next  = 0;
    end

    always @(posedge clk) begin
        if (rst) begin
            valid <= 1'b0;
            next  <= 0;
        end else if (!valid || ready) begin
            if (next < BEATS && $random(seed) % 3 != 0) begin
                valid <= 1'b1;
                data  <= mem[next];
                next  <= next + 1;
            end else begin
                valid <= 1'b0;
                data  <= {(WIDTH + 31) / 32{$random(seed)}};
            end
        end
    end
endmodule
