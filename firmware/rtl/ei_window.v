// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A window that slides over an image: a beat of the input is one pixel with all its channels, in
// rows; for every position of the window its taps leave in chunks of CHUNK elements, tap by tap,
// channels innermost. FILL lies around the image. One dimension is an image of one row.
//
// The rows above the newest pixel are kept in a memory as wide as the padded image; the columns left
// of it are kept in registers.
module ei_window #(
    parameter BITS       = 8,
    parameter CHANNELS   = 1,
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
    localparam PIXEL = CHANNELS * BITS;
    localparam ROWS = HEIGHT + PAD_TOP + PAD_BOTTOM;
    localparam COLUMNS = WIDTH + PAD_LEFT + PAD_RIGHT;
    localparam REACH_H = (KERNEL_H - 1) * DILATE_H + 1;
    localparam REACH_W = (KERNEL_W - 1) * DILATE_W + 1;
    localparam CHUNKS = KERNEL_H * KERNEL_W * CHANNELS / CHUNK;
    localparam RW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam CW = COLUMNS > 1 ? $clog2(COLUMNS) : 1;
    localparam QW = CHUNKS > 1 ? $clog2(CHUNKS) : 1;
    localparam MOST_H = REACH_H > STRIDE_H ? REACH_H : STRIDE_H;
    localparam MOST_W = REACH_W > STRIDE_W ? REACH_W : STRIDE_W;
    localparam HW = $clog2(MOST_H + 1);
    localparam VW = $clog2(MOST_W + 1);
    localparam END_ROW = PAD_TOP + HEIGHT;
    localparam END_COLUMN = PAD_LEFT + WIDTH;
    localparam [RW-1:0] LAST_ROW = ROWS[RW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_COLUMN = COLUMNS[CW-1:0] - 1'b1;
    localparam [QW-1:0] LAST_CHUNK = CHUNKS[QW-1:0] - 1'b1;
    localparam [HW-1:0] WAIT_H = REACH_H[HW-1:0] - 1'b1;
    localparam [HW-1:0] AGAIN_H = STRIDE_H[HW-1:0] - 1'b1;
    localparam [VW-1:0] WAIT_W = REACH_W[VW-1:0] - 1'b1;
    localparam [VW-1:0] AGAIN_W = STRIDE_W[VW-1:0] - 1'b1;

    // Where we are: the pixel to come, the chunk to leave, and how many rows and columns are still
    // to come before the window lies at a position that counts.
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
    wire leave = step && (!emit || chunk == LAST_CHUNK);
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
            if (leave) begin
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

    // A step's pixel (and its place) is kept for the cycle in which the window moves.
    reg shift;
    reg [PIXEL-1:0] pixel;

    always @(posedge clk) begin
        if (rst) shift <= 1'b0;
        else shift <= step && fresh;
    end

    always @(posedge clk) pixel <= read ? s_data : {CHANNELS{FILL}};

    wire [REACH_H*PIXEL-1:0] above;  // the new column, the newest row lowest

    generate
        if (REACH_H > 1) begin : g_rows
            reg [CW-1:0] place;
            reg [(REACH_H-1)*PIXEL-1:0] lines[0:COLUMNS-1];
            wire [(REACH_H-1)*PIXEL-1:0] old = lines[place];
            assign above = {old, pixel};
            always @(posedge clk) place <= column;
            always @(posedge clk) if (shift) lines[place] <= above[(REACH_H-1)*PIXEL-1:0];
        end else begin : g_row
            assign above = pixel;
        end
    endgenerate

    wire [KERNEL_H*KERNEL_W*PIXEL-1:0] taps;

    genvar i, j;
    generate
        for (i = 0; i < KERNEL_H; i = i + 1) begin : g_tap_row
            wire [PIXEL-1:0] newest = above[(KERNEL_H-1-i)*DILATE_H*PIXEL+:PIXEL];
            reg [REACH_W*PIXEL-1:0] columns;  // the oldest lowest
            if (REACH_W > 1) begin : g_shift
                always @(posedge clk) if (shift) columns <= {newest, columns[REACH_W*PIXEL-1:PIXEL]};
            end else begin : g_hold
                always @(posedge clk) if (shift) columns <= newest;
            end
            for (j = 0; j < KERNEL_W; j = j + 1) begin : g_tap
                assign taps[(i*KERNEL_W+j)*PIXEL+:PIXEL] = columns[j*DILATE_W*PIXEL+:PIXEL];
            end
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

    // Chosen by comparison: an index times a width would be a multiplication in hardware.
    generate
        if (CHUNKS == 1) begin : g_whole
            wire unused = &{1'b0, chunk_2};
            always @(posedge clk) out <= taps;
        end else begin : g_chunks
            integer c;
            always @(posedge clk)
                for (c = 0; c < CHUNKS; c = c + 1)
                    if (chunk_2 == c[QW-1:0]) out <= taps[c*CHUNK*BITS+:CHUNK*BITS];
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
