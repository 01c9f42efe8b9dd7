// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Cycles that a design takes for a frame: from the first beat that it takes (`start`) to the last that it
// gives, both counted; `stop` rises in the cycle after that. They are read as four bytes, the lowest first.
module ei_shell_count (
    input  wire       clk,
    input  wire       rst,
    input  wire       clear,
    input  wire       start,
    input  wire       stop,
    output wire       full,
    output wire       valid,
    input  wire       ready,
    output wire [7:0] data,
    output wire       last
);
    reg running;
    reg [31:0] count;
    reg [1:0] part;

    assign full  = stop;
    assign valid = stop;
    assign data  = count[7:0];
    assign last  = part == 2'd3;

    always @(posedge clk) begin
        if (rst || clear) begin
            running <= 1'b0;
            count   <= 0;
            part    <= 0;
        end else if (valid && ready) begin
            count <= count >> 8;
            part  <= part + 1'b1;
        end else if (start && !running) begin
            running <= 1'b1;
            count   <= 1;
        end else if (running && !stop) begin
            count <= count + 1'b1;
        end
    end
endmodule
