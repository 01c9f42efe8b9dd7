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
    localparam FIRST_ROW = PAD_TOP;
    localparam END_ROW = PAD_TOP + HEIGHT - 1;
    localparam FIRST_COLUMN = PAD_LEFT;
    localparam END_COLUMN = PAD_LEFT + WIDTH - 1;
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

    wire below_top, above_bottom, right_of_left, left_of_right;
    generate
        if (PAD_TOP > 0) begin : g_below_top
            assign below_top = row >= FIRST_ROW[RW-1:0];
        end else begin : g_any_below_top
            assign below_top = 1'b1;
        end
        if (PAD_BOTTOM > 0) begin : g_above_bottom
            assign above_bottom = row <= END_ROW[RW-1:0];
        end else begin : g_any_above_bottom
            assign above_bottom = 1'b1;
        end
        if (PAD_LEFT > 0) begin : g_right_of_left
            assign right_of_left = column >= FIRST_COLUMN[CW-1:0];
        end else begin : g_any_right_of_left
            assign right_of_left = 1'b1;
        end
        if (PAD_RIGHT > 0) begin : g_left_of_right
            assign left_of_right = column <= END_COLUMN[CW-1:0];
        end else begin : g_any_left_of_right
            assign left_of_right = 1'b1;
        end
    endgenerate

    wire credit;
    wire in_image = below_top && above_bottom && right_of_left && left_of_right;
    wire fresh = chunk == 0;
    wire read = fresh && in_image;
    wire emit = rows_to_go == 0 && columns_to_go == 0;
    wire can = !emit || credit;
    wire step = can && (!read || s_valid);
    wire leave = step && (!emit || chunk == LAST_CHUNK);
    wire shift = step && fresh;

    assign s_ready = read && can;

    always @(posedge clk) begin
        if (rst) begin
            row           <= 0;
            column        <= 0;
            chunk         <= 0;
            rows_to_go    <= WAIT_H;
            columns_to_go <= WAIT_W;
        end else begin
            if (step && emit) chunk <= chunk == LAST_CHUNK ? {QW{1'b0}} : chunk + 1'b1;
            if (leave) begin
                if (column == LAST_COLUMN) begin
                    column        <= 0;
                    columns_to_go <= WAIT_W;
                    if (row == LAST_ROW) begin
                        row        <= 0;
                        rows_to_go <= WAIT_H;
                    end else begin
                        row        <= row + 1'b1;
                        rows_to_go <= rows_to_go == 0 ? AGAIN_H : rows_to_go - 1'b1;
                    end
                end else begin
                    column        <= column + 1'b1;
                    columns_to_go <= columns_to_go == 0 ? AGAIN_W : columns_to_go - 1'b1;
                end
            end
        end
    end

    wire [PIXEL-1:0] pixel = read ? s_data : {CHANNELS{FILL}};
    wire [REACH_H*PIXEL-1:0] above;  // the new column, the newest row lowest

    generate
        if (REACH_H > 1) begin : g_rows
            reg  [(REACH_H-1)*PIXEL-1:0] lines[0:COLUMNS-1];
            wire [(REACH_H-1)*PIXEL-1:0] old = lines[column];
            assign above = {old, pixel};
            always @(posedge clk) if (shift) lines[column] <= above[(REACH_H-1)*PIXEL-1:0];
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

    // The window moves at the end of the step; a chunk is chosen a cycle later, and pushed after that.
    reg chosen, ready_to_push;
    reg [QW-1:0] which;
    reg [CHUNK*BITS-1:0] out;

    always @(posedge clk) begin
        if (rst) begin
            chosen        <= 1'b0;
            ready_to_push <= 1'b0;
        end else begin
            chosen        <= step && emit;
            ready_to_push <= chosen;
        end
    end

    always @(posedge clk) begin
        which <= chunk;
        out   <= taps[which*CHUNK*BITS+:CHUNK*BITS];
    end

    ei_fifo #(
        .WIDTH(CHUNK * BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && emit),
        .push(ready_to_push),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
