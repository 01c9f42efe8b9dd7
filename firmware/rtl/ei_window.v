// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A window that slides over an image: a beat of the input is CHANNELS of a pixel, and ROUNDS beats are
// one, in rows. For every position of the window and every round, the taps of these channels leave in
// chunks of CHUNK elements, tap by tap, channels innermost. FILL lies around the image. One dimension is
// an image of one row. Channels that meet all come in one round; those of a convolution in groups do not.
//
// The rows above the newest pixel are kept in a memory as wide as the padded image. The columns left of it
// are kept in registers; of several rounds in a memory, so that only one round's window is chosen from.
module ei_window #(
    parameter BITS       = 8,
    parameter CHANNELS   = 1,
    parameter ROUNDS     = 1,
    parameter HEIGHT     = 4,
    parameter WIDTH      = 4,
    parameter KERNEL_H   = 3,
    parameter KERNEL_W   = 3,
    parameter STRIDE_H   = 1,
    parameter STRIDE_W   = 1,
    parameter DILATE_H   = 1,
    parameter DILATE_W   = 1,
    parameter PAD_TOP    = 0,
    parameter PAD_BOTTOM = 0,
    parameter PAD_LEFT   = 0,
    parameter PAD_RIGHT  = 0,
    parameter [BITS-1:0] FILL = 0,
    parameter CHUNK      = 1,
    parameter DEPTH      = 4
) (
    input  wire                     clk,
    input  wire                     rst,
    input  wire                     s_valid,
    output wire                     s_ready,
    input  wire [CHANNELS*BITS-1:0] s_data,
    output wire                     m_valid,
    input  wire                     m_ready,
    output wire [   CHUNK*BITS-1:0] m_data
);
    localparam BEAT = CHANNELS * BITS;
    localparam ROWS = HEIGHT + PAD_TOP + PAD_BOTTOM;
    localparam COLUMNS = WIDTH + PAD_LEFT + PAD_RIGHT;
    localparam PLACES = COLUMNS * ROUNDS;
    localparam REACH_H = (KERNEL_H - 1) * DILATE_H + 1;
    localparam REACH_W = (KERNEL_W - 1) * DILATE_W + 1;
    localparam CHUNKS = KERNEL_H * KERNEL_W * CHANNELS / CHUNK;
    localparam NW = ROUNDS > 1 ? $clog2(ROUNDS) : 1;
    localparam RW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam CW = COLUMNS > 1 ? $clog2(COLUMNS) : 1;
    localparam PW = PLACES > 1 ? $clog2(PLACES) : 1;
    localparam QW = CHUNKS > 1 ? $clog2(CHUNKS) : 1;
    localparam MOST_H = REACH_H > STRIDE_H ? REACH_H : STRIDE_H;
    localparam MOST_W = REACH_W > STRIDE_W ? REACH_W : STRIDE_W;
    localparam HW = $clog2(MOST_H + 1);
    localparam VW = $clog2(MOST_W + 1);
    localparam END_ROW = PAD_TOP + HEIGHT;
    localparam END_COLUMN = PAD_LEFT + WIDTH;
    localparam [NW-1:0] LAST_ROUND = ROUNDS[NW-1:0] - 1'b1;
    localparam [RW-1:0] LAST_ROW = ROWS[RW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_COLUMN = COLUMNS[CW-1:0] - 1'b1;
    localparam [QW-1:0] LAST_CHUNK = CHUNKS[QW-1:0] - 1'b1;
    localparam [HW-1:0] WAIT_H = REACH_H[HW-1:0] - 1'b1;
    localparam [HW-1:0] AGAIN_H = STRIDE_H[HW-1:0] - 1'b1;
    localparam [VW-1:0] WAIT_W = REACH_W[VW-1:0] - 1'b1;
    localparam [VW-1:0] AGAIN_W = STRIDE_W[VW-1:0] - 1'b1;

    // Where we are: the beat to come, the chunk to leave, and how many rows and columns are still to come
    // before the window lies at a position that counts.
    wire [NW-1:0] round;
    reg [RW-1:0] row;
    reg [CW-1:0] column;
    reg [QW-1:0] chunk;
    reg [HW-1:0] rows_to_go;
    reg [VW-1:0] columns_to_go;

    // The same as flags, made a step ahead: inside the image, and at a position that counts.
    reg row_inside, column_inside, row_counts, column_counts;

    wire credit;
    wire fresh = chunk == 0;
    wire read = fresh && row_inside && column_inside;
    wire emit = row_counts && column_counts;
    wire can = !emit || credit;
    wire step = can && (!read || s_valid);
    wire leave = step && (!emit || chunk == LAST_CHUNK);  // the beat
    wire pass = leave && round == LAST_ROUND;  // the pixel
    wire [RW:0] next_row = row + 1'b1;
    wire [CW:0] next_column = column + 1'b1;

    assign s_ready = read && can;

    always @(posedge clk) begin
        if (rst) begin
            row           <= 0;
            column        <= 0;
            chunk         <= 0;
            rows_to_go    <= WAIT_H;
            columns_to_go <= WAIT_W;
            row_inside    <= PAD_TOP == 0;
            column_inside <= PAD_LEFT == 0;
            row_counts    <= REACH_H == 1;
            column_counts <= REACH_W == 1;
        end else begin
            if (step && emit) chunk <= chunk == LAST_CHUNK ? {QW{1'b0}} : chunk + 1'b1;
            if (pass) begin
                if (column == LAST_COLUMN) begin
                    column        <= 0;
                    columns_to_go <= WAIT_W;
                    column_inside <= PAD_LEFT == 0;
                    column_counts <= REACH_W == 1;
                    if (row == LAST_ROW) begin
                        row        <= 0;
                        rows_to_go <= WAIT_H;
                        row_inside <= PAD_TOP == 0;
                        row_counts <= REACH_H == 1;
                    end else begin
                        row        <= next_row[RW-1:0];
                        rows_to_go <= row_counts ? AGAIN_H : rows_to_go - 1'b1;
                        if (next_row == PAD_TOP[RW:0]) row_inside <= 1'b1;
                        if (next_row == END_ROW[RW:0]) row_inside <= 1'b0;
                        row_counts <= row_counts ? STRIDE_H == 1 : rows_to_go == 1;
                    end
                end else begin
                    column        <= next_column[CW-1:0];
                    columns_to_go <= column_counts ? AGAIN_W : columns_to_go - 1'b1;
                    if (next_column == PAD_LEFT[CW:0]) column_inside <= 1'b1;
                    if (next_column == END_COLUMN[CW:0]) column_inside <= 1'b0;
                    column_counts <= column_counts ? STRIDE_W == 1 : columns_to_go == 1;
                end
            end
        end
    end

    generate
        if (ROUNDS > 1) begin : g_rounds
            reg [NW-1:0] count;
            assign round = count;
            always @(posedge clk)
                if (rst) count <= 0;
                else if (leave) count <= count == LAST_ROUND ? {NW{1'b0}} : count + 1'b1;
        end else begin : g_round
            assign round = 1'b0;
        end
    endgenerate

    // A step's beat (and its place) is kept for the cycle in which the window moves.
    reg shift;
    reg [BEAT-1:0] beat;

    always @(posedge clk) begin
        if (rst) shift <= 1'b0;
        else shift <= step && fresh;
    end

    always @(posedge clk) beat <= read ? s_data : {CHANNELS{FILL}};

    wire [REACH_H*BEAT-1:0] above;  // the new column, the newest row lowest

    generate
        if (REACH_H > 1) begin : g_rows
            wire [PW-1:0] place;  // of the beat in the memory
            reg [PW-1:0] place_1;
            reg [(REACH_H-1)*BEAT-1:0] lines[0:PLACES-1];
            wire [(REACH_H-1)*BEAT-1:0] old = lines[place_1];
            assign above = {old, beat};
            always @(posedge clk) place_1 <= place;
            always @(posedge clk) if (shift) lines[place_1] <= above[(REACH_H-1)*BEAT-1:0];
            if (ROUNDS > 1) begin : g_place
                reg [PW-1:0] count;
                assign place = count;
                always @(posedge clk)
                    if (rst) count <= 0;
                    else if (leave) count <= pass && column == LAST_COLUMN ? {PW{1'b0}} : count + 1'b1;
            end else begin : g_column
                assign place = column;
            end
        end else begin : g_row
            assign above = beat;
        end
    endgenerate

    // A column is KERNEL_H taps of the round's channels, the topmost lowest; the oldest column lowest.
    localparam COLUMN = KERNEL_H * BEAT;
    wire [COLUMN-1:0] newest;
    wire [REACH_W*COLUMN-1:0] moved;  // the columns of the window that lies at the new position
    reg [REACH_W*COLUMN-1:0] columns;
    wire [KERNEL_H*KERNEL_W*BEAT-1:0] taps;

    always @(posedge clk) if (shift) columns <= moved;

    genvar i, j;
    generate
        for (i = 0; i < KERNEL_H; i = i + 1) begin : g_tap_row
            assign newest[i*BEAT+:BEAT] = above[(KERNEL_H-1-i)*DILATE_H*BEAT+:BEAT];
            for (j = 0; j < KERNEL_W; j = j + 1) begin : g_tap
                assign taps[(i*KERNEL_W+j)*BEAT+:BEAT] = columns[j*DILATE_W*COLUMN+i*BEAT+:BEAT];
            end
        end
        if (REACH_W == 1) begin : g_hold
            assign moved = newest;
        end else if (ROUNDS == 1) begin : g_shift
            assign moved = {newest, columns[REACH_W*COLUMN-1:COLUMN]};
        end else begin : g_left
            reg [NW-1:0] round_1;
            reg [(REACH_W-1)*COLUMN-1:0] left[0:ROUNDS-1];
            wire [(REACH_W-1)*COLUMN-1:0] old = left[round_1];
            assign moved = {newest, old};
            always @(posedge clk) round_1 <= round;
            always @(posedge clk) if (shift) left[round_1] <= moved[REACH_W*COLUMN-1:COLUMN];
        end
    endgenerate

    // The window moves in the cycle after the step; a chunk is chosen in the next, and then pushed.
    reg [2:0] alive;
    reg [QW-1:0] chunk_1, chunk_2;
    reg [CHUNK*BITS-1:0] out;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[1:0], step && emit};
    end

    always @(posedge clk) begin
        chunk_1 <= chunk;
        chunk_2 <= chunk_1;
    end

    generate
        if (CHUNKS == 1) begin : g_whole
            wire unused = &{1'b0, chunk_2};
            always @(posedge clk) out <= taps;
        end else begin : g_chunks
            wire [CHUNK*BITS-1:0] chosen;
            ei_choose #(
                .WIDTH(CHUNK * BITS),
                .WORDS(CHUNKS),
                .NUMBER_BITS(QW)
            ) choose (
                .words(taps),
                .number(chunk_2),
                .word(chosen)
            );
            always @(posedge clk) out <= chosen;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(CHUNK * BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && emit),
        .push(alive[2]),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
