// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A serial line between designs whose clocks have nothing in common but a crystal: each takes the bits' length
// from that, so that bytes come through in both directions, however fast the clocks are.
module tick_tb;
    localparam DIVIDER = 12;
    localparam BYTES = 40;

    reg crystal = 1'b0, fast = 1'b0, slow = 1'b0, rst = 1'b1;
    always #41.667 crystal = !crystal;
    always #4.3 fast = !fast;
    always #13.1 slow = !slow;

    wire fast_tick, slow_tick, there, back, ready, echoed, idle, valid;
    wire [7:0] echo, data;
    reg [7:0] next = 8'h5A;
    reg [7:0] expected = 8'h5A;
    integer found = 0, wrong = 0;

    ei_shell_tick tick_a (.crystal(crystal), .clk(fast), .tick(fast_tick));
    ei_shell_tick tick_b (.crystal(crystal), .clk(slow), .tick(slow_tick));
    ei_uart_tx #(.DIVIDER(DIVIDER)) send (
        .clk(fast), .rst(rst), .tick(fast_tick), .valid(1'b1), .ready(ready), .data(next), .line(there));
    ei_uart_rx #(.DIVIDER(DIVIDER)) hear (
        .clk(slow), .rst(rst), .tick(slow_tick), .line(there), .valid(echoed), .data(echo));
    reg waiting = 1'b0;
    reg [7:0] held;
    ei_uart_tx #(.DIVIDER(DIVIDER)) answer (
        .clk(slow), .rst(rst), .tick(slow_tick), .valid(waiting), .ready(idle), .data(held), .line(back));
    ei_uart_rx #(.DIVIDER(DIVIDER)) listen (
        .clk(fast), .rst(rst), .tick(fast_tick), .line(back), .valid(valid), .data(data));

    always @(posedge fast) if (!rst && ready) next <= next * 8'd29 + 8'd7;
    always @(posedge slow) begin
        if (echoed) begin
            held    <= echo;
            waiting <= 1'b1;
        end else if (idle) waiting <= 1'b0;
    end
    always @(posedge fast) begin
        if (valid) begin
            found    <= found + 1;
            expected <= expected * 8'd29 + 8'd7;
            if (data !== expected) wrong <= wrong + 1;
        end
    end

    initial begin
        #2000 rst = 1'b0;
        #(BYTES * 11 * 1000);
        if (wrong != 0 || found < BYTES - 4) $display("FAIL tick: %0d bytes, %0d wrong", found, wrong);
        else $display("PASS tick");
        $finish;
    end
endmodule
