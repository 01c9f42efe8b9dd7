// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The shell of a board from pin to pin: messages go in bit by bit, and answers come out. In the place of a
// design two FIFOs: what the one input gives goes to the one output, and so for the other. Good frames, a
// wrong CRC, a wrong length, another design's number, nonsense between messages, half a message.
module shell_tb;
    localparam DIVIDER = 5;
    localparam TIMEOUT = 400;
    localparam PAYLOAD = 3 * 4 + 1 * 3;  // four beats of three bytes, three of one

    reg clk, button, rx, failed;
    wire rst, tx, in_valid, out_valid, out_ready, begun, store, done, busy, finished;
    wire [7:0] in_byte, out_byte;
    wire [15:0] position;
    wire [1:0] status;
    wire [2:0] full, saved, taken, last;
    wire [23:0] bytes;
    wire a_valid, a_ready, a_last, b_valid, b_ready, b_last, c_valid, c_ready, c_last, d_valid, d_ready, d_last;
    wire [23:0] a, c;
    wire [7:0] b, d;
    wire a_credit, b_credit;

    ei_shell_reset reset (.clk(clk), .button(button), .rst(rst));
    ei_uart_rx #(.DIVIDER(DIVIDER)) uart_rx (.clk(clk), .rst(rst), .tick(1'b1), .line(rx), .valid(in_valid), .data(in_byte));
    ei_uart_tx #(.DIVIDER(DIVIDER)) uart_tx (
        .clk(clk), .rst(rst), .tick(1'b1), .valid(out_valid), .ready(out_ready), .data(out_byte), .line(tx));
    ei_shell_rx #(.ID(16'hC0DE), .PAYLOAD(PAYLOAD), .TIMEOUT(TIMEOUT)) shell_rx (
        .clk(clk), .rst(rst), .hold(busy || done), .valid(in_valid), .data(in_byte), .begun(begun), .store(store),
        .position(position), .done(done), .status(status));
    ei_shell_tx #(.OUTPUTS(3)) shell_tx (
        .clk(clk), .rst(rst), .start(done), .status(status), .payload(PAYLOAD[15:0] + 16'd4), .busy(busy),
        .finished(finished), .full(full),
        .valid(saved), .ready(taken), .data(bytes), .last(last), .byte_valid(out_valid), .byte_ready(out_ready),
        .byte_data(out_byte));
    ei_shell_load #(.BYTES(3), .BEATS(4), .FIRST(0)) load_a (
        .clk(clk), .rst(rst), .begun(begun), .store(store), .position(position), .data(in_byte),
        .go(done && status == 0), .m_axis_tvalid(a_valid), .m_axis_tready(a_credit), .m_axis_tdata(a),
        .m_axis_tlast(a_last));
    ei_shell_load #(.BYTES(1), .BEATS(3), .FIRST(12)) load_b (
        .clk(clk), .rst(rst), .begun(begun), .store(store), .position(position), .data(in_byte),
        .go(done && status == 0), .m_axis_tvalid(b_valid), .m_axis_tready(b_credit), .m_axis_tdata(b),
        .m_axis_tlast(b_last));
    ei_fifo #(.WIDTH(25), .DEPTH(2)) design_a (
        .clk(clk), .rst(rst), .credit(a_credit), .take(a_valid && a_credit), .push(a_valid && a_credit),
        .push_data({a_last, ~a}), .m_valid(c_valid), .m_ready(c_ready), .m_data({c_last, c}));
    ei_fifo #(.WIDTH(9), .DEPTH(2)) design_b (
        .clk(clk), .rst(rst), .credit(b_credit), .take(b_valid && b_credit), .push(b_valid && b_credit),
        .push_data({b_last, ~b}), .m_valid(d_valid), .m_ready(d_ready), .m_data({d_last, d}));
    ei_shell_save #(.BYTES(3), .BEATS(4)) save_c (
        .clk(clk), .rst(rst), .clear(finished), .s_axis_tvalid(c_valid), .s_axis_tready(c_ready), .s_axis_tdata(c),
        .s_axis_tlast(c_last), .full(full[0]), .valid(saved[0]), .ready(taken[0]), .data(bytes[7:0]),
        .last(last[0]));
    ei_shell_save #(.BYTES(1), .BEATS(3)) save_d (
        .clk(clk), .rst(rst), .clear(finished), .s_axis_tvalid(d_valid), .s_axis_tready(d_ready), .s_axis_tdata(d),
        .s_axis_tlast(d_last), .full(full[1]), .valid(saved[1]), .ready(taken[1]), .data(bytes[15:8]),
        .last(last[1]));

    ei_shell_count counter (
        .clk(clk), .rst(rst), .clear(finished), .start(beat_in), .stop(&full[1:0]), .full(full[2]),
        .valid(saved[2]), .ready(taken[2]), .data(bytes[23:16]), .last(last[2]));

    // From the first beat in to the last beat out, counted by the bench itself.
    integer now, first_in, last_out;
    wire beat_in = a_valid && a_credit || b_valid && b_credit;
    initial now = 0;
    always @(posedge clk) begin
        now <= now + 1;
        if (begun) first_in <= -1;
        else if (beat_in && first_in < 0) first_in <= now;
        if (c_valid && c_ready || d_valid && d_ready) last_out <= now;
    end

    // Bits in and out, with a CRC written out bit by bit.
    reg [15:0] crc, sum;
    reg [7:0] got, value, payload[0:PAYLOAD-1];
    reg [7:0] answers[0:4095];
    integer i, j, k, seed, waited, received, read;

    initial clk = 1'b0;
    always #5 clk = !clk;

    initial begin
        received = 0;
        forever begin
            @(negedge tx);
            repeat (DIVIDER / 2) @(negedge clk);
            for (j = 0; j < 8; j = j + 1) begin
                repeat (DIVIDER) @(negedge clk);
                value[j] = tx;
            end
            repeat (DIVIDER) @(negedge clk);
            answers[received] = tx ? value : 8'hxx;
            received = received + 1;
        end
    end

    task wrong(input integer what);
        begin
            if (!failed) $display("FAIL shell: case %0d, byte %0d", what, read);
            failed = 1'b1;
        end
    endtask

    task count_in(input [7:0] data);
        for (k = 7; k >= 0; k = k - 1)
            crc = {crc[14:0], 1'b0} ^ (crc[15] ^ data[k] ? 16'h1021 : 16'h0000);
    endtask

    task send(input [7:0] data);
        begin
            count_in(data);
            rx = 1'b0;
            repeat (DIVIDER) @(negedge clk);
            for (k = 0; k < 8; k = k + 1) begin
                rx = data[k];
                repeat (DIVIDER) @(negedge clk);
            end
            rx = 1'b1;
            repeat (DIVIDER + ($random(seed) & 7)) @(negedge clk);
        end
    endtask

    task head(input [15:0] id, input [15:0] length);
        begin
            send(8'hA5);
            crc = 16'hFFFF;
            send(id[7:0]);
            send(id[15:8]);
            send(length[7:0]);
            send(length[15:8]);
        end
    endtask

    task body(input integer count);  // a start byte in the midst is a byte like any other
        for (i = 0; i < count; i = i + 1) begin
            payload[i%PAYLOAD] = i == 2 ? 8'hA5 : $random(seed);
            send(payload[i%PAYLOAD]);
        end
    endtask

    task check(input [15:0] change);
        begin
            sum = crc ^ change;
            send(sum[7:0]);
            send(sum[15:8]);
        end
    endtask

    task receive;
        begin
            waited = 0;
            while (received <= read && waited < 4000) begin
                @(negedge clk);
                waited = waited + 1;
            end
            got  = received > read ? answers[read] : 8'hxx;
            read = read + 1;
            count_in(got);
        end
    endtask

    task answer(input [7:0] state, input [15:0] length, input integer what);
        begin
            receive;
            if (got !== 8'h5A) wrong(what);
            crc = 16'hFFFF;
            receive;
            if (got !== state) wrong(what);
            receive;
            if (got !== length[7:0]) wrong(what);
            receive;
            if (got !== length[15:8]) wrong(what);
            for (i = 0; i + 4 < length; i = i + 1) begin
                receive;
                if (got !== ~payload[i]) wrong(what);
            end
            for (i = 0; i < 4 && length != 0; i = i + 1) begin
                receive;
                if (got !== ((last_out - first_in + 1) >> 8 * i & 8'hFF)) wrong(what);
            end
            sum = crc;
            receive;
            if (got !== sum[7:0]) wrong(what);
            receive;
            if (got !== sum[15:8]) wrong(what);
        end
    endtask

    task good(input integer what);
        begin
            head(16'hC0DE, PAYLOAD);
            body(PAYLOAD);
            check(0);
            answer(0, PAYLOAD + 4, what);
        end
    endtask

    initial begin
        failed = 1'b0;
        seed   = 3;
        read   = 0;
        rx     = 1'b1;
        button = 1'b0;
        repeat (40) @(negedge clk);
        good(1);
        good(2);
        head(16'hC0DE, PAYLOAD);
        body(PAYLOAD);
        check(16'h0100);
        answer(1, 0, 3);
        good(4);
        head(16'hC0DE, PAYLOAD + 3);
        body(PAYLOAD + 3);
        check(0);
        answer(2, 0, 5);
        head(16'hC0DE, 0);
        check(0);
        answer(2, 0, 6);
        good(7);
        head(16'hC0DF, PAYLOAD);
        body(PAYLOAD);
        check(0);
        answer(3, 0, 8);
        send(8'h5A);
        send(8'h00);
        good(9);
        head(16'hC0DE, PAYLOAD);
        body(5);
        repeat (2 * TIMEOUT) @(negedge clk);
        good(10);
        head(16'hC0DE, PAYLOAD);
        body(7);
        button = 1'b1;
        repeat (30) @(negedge clk);
        button = 1'b0;
        repeat (30) @(negedge clk);
        good(11);
        good(12);
        good(13);
        repeat (4000) @(negedge clk);
        if (received != read) wrong(0);
        if (!failed) $display("PASS shell");
        $finish;
    end
endmodule
