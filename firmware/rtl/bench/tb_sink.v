// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Takes beats, standing still in a third of the cycles, and compares each with `mem`. A beat that was
// offered and not taken must still be there, unchanged.
module tb_sink #(
    parameter WIDTH = 8,
    parameter BEATS = 16,
    parameter SEED  = 2
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             valid,
    output reg              ready,
    input  wire [WIDTH-1:0] data,
    output wire             done,
    output reg              wrong
);
    reg [WIDTH-1:0] mem[0:BEATS-1];
    reg waited;
    reg [WIDTH-1:0] offered;
    integer next, seed;

    assign done = next == BEATS;

    initial begin
        seed   = SEED;
        ready  = 1'b0;
        wrong  = 1'b0;
        waited = 1'b0;
        next   = 0;
    end

    always @(posedge clk) begin
        ready <= $random(seed) % 3 != 0;
        if (rst) begin
            next   <= 0;
            waited <= 1'b0;
        end else begin
            waited  <= valid && !ready;
            offered <= data;
            if (waited && (!valid || data !== offered)) begin
                wrong <= 1'b1;
                $display("%m: an offered beat was withdrawn");
            end
            if (valid && ready) begin
                next <= next + 1;
                if (next >= BEATS) begin
                    wrong <= 1'b1;
                    if (!wrong) $display("%m: a beat too many");
                end else if (data !== mem[next]) begin
                    wrong <= 1'b1;
                    if (!wrong) $display("%m: beat %0d is %h, not %h", next, data, mem[next]);
                end
            end
        end
    end
endmodule
