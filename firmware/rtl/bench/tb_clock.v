// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Clock, reset, and the verdict of a bench: a first run is cut short by a reset in the midst of its
// beats; the second must give every beat, right and in order, and nothing after that.
module tb_clock #(
    parameter NAME    = "",
    parameter CASES   = 1,
    parameter CUT     = 60,      // cycles of the first run
    parameter PATIENCE = 20000   // cycles of the second, which ends sooner when a beat is wrong
) (
    output reg              clk,
    output reg              rst,
    input  wire [CASES-1:0] done,
    input  wire [CASES-1:0] wrong
);
    integer cycle;

    initial begin
        clk = 1'b0;
        rst = 1'b1;
        for (cycle = 0; cycle < 8; cycle = cycle + 1) tick;
        rst = 1'b0;
        for (cycle = 0; cycle < CUT; cycle = cycle + 1) tick;
        rst = 1'b1;
        for (cycle = 0; cycle < 4; cycle = cycle + 1) tick;
        rst = 1'b0;
        for (cycle = 0; cycle < PATIENCE && !(&done) && wrong == 0; cycle = cycle + 1) tick;
        if (!(&done)) begin  // wrong, stuck, or too slow
            $display("FAIL %0s: done %b wrong %b", NAME, done, wrong);
        end else begin
            for (cycle = 0; cycle < 100; cycle = cycle + 1) tick;  // anything too much shows here
            if (wrong != 0) $display("FAIL %0s: wrong %b", NAME, wrong);
            else $display("PASS %0s", NAME);
        end
        $finish;
    end

    task tick;
        begin
            #5 clk = 1'b1;
            #5 clk = 1'b0;
        end
    endtask
endmodule
