// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A window that slides over tokens: for each place in the list of outputs (o), the features around it, zero
// where the list of inputs (b) has no place. The window leaves column by column: with one bank a column a
// beat, with more banks, of which there are at least as many as columns, all in one beat; in a column row by
// row, channels innermost. Places of both lists are {end, row, column}.
//
// Tokens lie in ROWS memories, a row of the image in each, whose columns go around in BANKS. What a window
// has left behind is cleared again, so that nothing but tokens of this frame is ever found. A reset clears
// all, in WIDTH / BANKS cycles.
//
// With SAME, windows leave at each place of the inputs' own list, and the list of outputs is not looked at:
// each place waits beside its token, which lies in the memories until no window is left that sees it.
module ei_site_window #(
    parameter BITS       = 8,
    parameter CHANNELS   = 1,
    parameter HEIGHT     = 8,
    parameter WIDTH      = 8,
    parameter OUT_HEIGHT = 8,
    parameter OUT_WIDTH  = 8,
    parameter KERNEL_H   = 3,
    parameter KERNEL_W   = 3,
    parameter STRIDE_H   = 1,
    parameter STRIDE_W   = 1,
    parameter DILATE_H   = 1,
    parameter DILATE_W   = 1,   // 1 with several banks
    parameter PAD_TOP    = 1,
    parameter PAD_LEFT   = 1,
    parameter SITES      = 4,   // that lie in the memories, at most
    parameter SAME       = 0,   // with strides of 1
    parameter BANKS      = 1,   // a power of two
    parameter DEPTH      = 4,
    parameter RW         = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW         = WIDTH > 1 ? $clog2(WIDTH) : 1,
    parameter QW         = OUT_HEIGHT > 1 ? $clog2(OUT_HEIGHT) : 1,
    parameter PW         = OUT_WIDTH > 1 ? $clog2(OUT_WIDTH) : 1,
    parameter TAPS       = KERNEL_H * (BANKS > 1 ? KERNEL_W : 1)  // of a beat
) (
    input  wire                          clk,
    input  wire                          rst,
    input  wire                          s_valid,
    output wire                          s_ready,
    input  wire [     CHANNELS*BITS-1:0] s_data,
    input  wire                          b_valid,
    output wire                          b_ready,
    input  wire [               RW+CW:0] b_data,
    input  wire                          o_valid,
    output wire                          o_ready,
    input  wire [               QW+PW:0] o_data,
    output wire                          m_valid,
    input  wire                          m_ready,
    output wire [TAPS*CHANNELS*BITS-1:0] m_data
);
    localparam PIXEL = CHANNELS * BITS;
    localparam REACH_H = (KERNEL_H - 1) * DILATE_H + 1;
    localparam REACH_W = (KERNEL_W - 1) * DILATE_W + 1;
    localparam LR = REACH_H > 1 ? $clog2(REACH_H) : 1;
    localparam ROWS = 1 << LR;
    localparam LB = $clog2(BANKS);
    localparam LAST_BANK = LB > 0 ? LB - 1 : 0;
    localparam WORDS = (WIDTH + BANKS - 1) / BANKS;
    localparam AW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam STEPS = BANKS > 1 ? 1 : KERNEL_W;  // beats of a window
    localparam ACROSS = BANKS > 1 ? KERNEL_W : 1;  // columns of a beat
    localparam TW = STEPS > 1 ? $clog2(STEPS) : 1;
    localparam RING = 1 << (SITES > 1 ? $clog2(SITES) : 1);
    localparam GW = SITES > 1 ? $clog2(SITES) : 1;
    // Rows and columns of windows, with a sign: they begin above and left of the image.
    localparam HB = $clog2(HEIGHT + OUT_HEIGHT * STRIDE_H + REACH_H + PAD_TOP + ROWS) + 2;
    localparam VB = $clog2(WIDTH + OUT_WIDTH * STRIDE_W + REACH_W + PAD_LEFT + BANKS) + 2;
    localparam [TW-1:0] LAST_STEP = STEPS[TW-1:0] - 1'b1;
    localparam [AW-1:0] LAST_WORD = WORDS[AW-1:0] - 1'b1;
    localparam [HB-1:0] TOP = PAD_TOP[HB-1:0];
    localparam [VB-1:0] LEFT = PAD_LEFT[VB-1:0];
    localparam [HB-1:0] DOWN = STRIDE_H[HB-1:0];
    localparam [VB-1:0] ALONG = STRIDE_W[VB-1:0];
    localparam [HB-1:0] REST = REACH_H[HB-1:0] - 1'b1;
    localparam [HB-1:0] ALL_ROWS = ROWS[HB-1:0];
    localparam [VB-1:0] COLUMNS = WIDTH[VB-1:0];

    // What comes.
    wire b_end = b_data[RW+CW];
    wire [RW-1:0] b_row = b_data[RW+CW-1:CW];
    wire [CW-1:0] b_column = b_data[CW-1:0];
    wire [HB-1:0] row_to_come = {{(HB - RW) {1'b0}}, b_row};

    // Tokens that lie in the memories, oldest first.
    reg [RW+CW-1:0] ring[0:RING-1];
    reg [GW-1:0] ring_write, ring_read;
    reg [GW:0] stored;
    wire [RW-1:0] old_row = ring[ring_read][RW+CW-1:CW];
    wire [CW-1:0] old_column = ring[ring_read][CW-1:0];
    wire [HB-1:0] oldest = {{(HB - RW) {1'b0}}, old_row};

    reg sweeping;              // after a reset
    reg [AW-1:0] sweep;
    reg over;                  // the frame's inputs have all come
    reg closing;               // and its outputs have all left
    reg seen;                  // an input of the frame has come
    reg [HB-1:0] newest;       // its row
    reg busy;                  // a window is at hand
    reg [HB-1:0] top;
    reg [VB-1:0] left;
    reg [TW-1:0] number;       // of its beats, that is to leave

    // A token is taken when the row that its memory held is cleared.
    wire some = stored != 0;
    wire free = !some || row_to_come < oldest + ALL_ROWS;
    wire write = b_valid && !b_end && s_valid && free && !over && !sweeping;
    wire end_inputs = b_valid && b_end && !over && !sweeping;
    wire behind;  // the oldest token, of all windows to come, when none is at hand
    wire passed = closing || (busy ? $signed(oldest) < $signed(top) : behind);
    wire erase = some && passed && !write && !sweeping;

    // The next window's place: of the list of outputs, or that of the oldest token without a window.
    wire o_here, o_end, fetch;
    wire [QW+PW-1:0] o_place;
    generate
        if (SAME != 0) begin : g_same
            reg [GW-1:0] ring_next;
            reg [GW:0] left_over;  // tokens without a window
            wire unused_list = &{1'b0, o_valid, o_data};
            always @(posedge clk) begin
                if (rst) begin
                    ring_next <= 0;
                    left_over <= 0;
                end else begin
                    if (fetch) ring_next <= ring_next + 1'b1;
                    if (write && !fetch) left_over <= left_over + 1'b1;
                    else if (fetch && !write) left_over <= left_over - 1'b1;
                end
            end
            assign o_end = left_over == 0;
            assign o_here = !o_end || over;
            assign o_place = ring[ring_next];
            // The next window is then that of the token to come, which may wait for the oldest one's row.
            wire [HB-1:0] next_top = row_to_come - TOP;
            assign behind = o_end && (over || (b_valid && !b_end && $signed(oldest) < $signed(next_top)));
        end else begin : g_list
            assign o_here = o_valid;
            assign o_end = o_data[QW+PW];
            assign o_place = o_data[QW+PW-1:0];
            assign behind = o_valid && o_end;
        end
    endgenerate
    wire [HB-1:0] o_top = {{(HB - QW) {1'b0}}, o_place[QW+PW-1:PW]} * DOWN - TOP;
    wire [VB-1:0] o_left = {{(VB - PW) {1'b0}}, o_place[PW-1:0]} * ALONG - LEFT;

    assign s_ready = write;
    assign b_ready = write || end_inputs;

    // A window leaves when no token can come that it sees.
    wire [HB-1:0] bottom = top + REST;
    wire complete = over || (seen && $signed(newest) > $signed(bottom)) ||
        (b_valid && !b_end && !sweeping && $signed(row_to_come) > $signed(bottom));
    wire credit;
    wire step = busy && complete && credit;
    wire last = number == LAST_STEP;
    assign fetch = o_here && !o_end && !closing && (!busy || (step && last));
    wire end_outputs = o_here && o_end && over && !busy && !closing;

    assign o_ready = fetch || end_outputs;

    always @(posedge clk) begin
        if (rst) begin
            sweeping   <= 1'b1;
            sweep      <= 0;
            ring_write <= 0;
            ring_read  <= 0;
            stored     <= 0;
            over       <= 1'b0;
            closing    <= 1'b0;
            seen       <= 1'b0;
            busy       <= 1'b0;
            number     <= 0;
        end else begin
            if (sweeping) begin
                sweep <= sweep + 1'b1;
                if (sweep == LAST_WORD) sweeping <= 1'b0;
            end
            if (write) ring_write <= ring_write + 1'b1;
            if (erase) ring_read <= ring_read + 1'b1;
            if (write) stored <= stored + 1'b1;
            else if (erase) stored <= stored - 1'b1;
            if (write) seen <= 1'b1;
            if (end_inputs) over <= 1'b1;
            if (end_outputs) closing <= 1'b1;
            if (closing && !some) begin
                closing <= 1'b0;
                over    <= 1'b0;
                seen    <= 1'b0;
            end
            busy <= fetch || (busy && !(step && last));
            if (step) number <= last ? {TW{1'b0}} : number + 1'b1;
        end
    end

    always @(posedge clk) begin
        if (write) begin
            ring[ring_write] <= {b_row, b_column};
            newest <= row_to_come;
        end
        if (fetch) begin
            top  <= o_top;
            left <= o_left;
        end
    end

    // Columns of this beat, and for each bank the word in which its column lies.
    wire [VB-1:0] first = BANKS > 1 ? left : left + {{(VB - TW) {1'b0}}, number} * DILATE_W[VB-1:0];
    wire [VB-1:0] at_column = {{(VB - CW) {1'b0}}, write ? b_column : old_column};
    wire [HB-1:0] at_row = write ? row_to_come : oldest;
    wire [AW-1:0] at_word = sweeping ? sweep : at_column[LB+AW-1:LB];
    wire [PIXEL-1:0] at_data = write ? s_data : {PIXEL{1'b0}};

    wire unused = &{1'b0, at_row, at_column};

    wire [ROWS*BANKS*PIXEL-1:0] words;  // a cycle later
    reg [ROWS*HB-1:0] rows_held;        // the row of the image that lies in each
    genvar r, k, t;
    generate
        for (r = 0; r < ROWS; r = r + 1) begin : g_row
            wire here = write && at_row[LR-1:0] == r[LR-1:0];
            always @(posedge clk) begin
                if (rst) rows_held[r*HB+:HB] <= {HB{1'b1}};
                else if (here) rows_held[r*HB+:HB] <= row_to_come;
            end
            for (k = 0; k < BANKS; k = k + 1) begin : g_bank
                reg [PIXEL-1:0] memory[0:WORDS-1];
                reg [PIXEL-1:0] word;
                wire mine = BANKS == 1 || at_column[LAST_BANK:0] == k[LAST_BANK:0];
                wire put = sweeping || ((write || erase) && at_row[LR-1:0] == r[LR-1:0] && mine);
                // The column of the window that lies in this bank.
                wire [LAST_BANK:0] ahead = k[LAST_BANK:0] - first[LAST_BANK:0];
                wire [VB-1:0] column = BANKS > 1 ? first + {{(VB - LAST_BANK - 1) {1'b0}}, ahead} : first;
                wire unused_bits = &{1'b0, ahead, column};
                always @(posedge clk) begin
                    if (put) memory[at_word] <= at_data;
                    word <= memory[column[LB+AW-1:LB]];
                end
                assign words[(r*BANKS+k)*PIXEL+:PIXEL] = word;
            end
        end
    endgenerate

    // For each row of the window the memory that holds it, and for each column its bank; zero outside the
    // image and in rows without tokens. Chosen by comparison: an index times a width would be a product.
    reg [1:0] alive;
    wire [KERNEL_H*BANKS*PIXEL-1:0] lines;
    wire [TAPS*PIXEL-1:0] chosen;
    reg [TAPS*PIXEL-1:0] out;
    generate
        for (r = 0; r < KERNEL_H; r = r + 1) begin : g_line
            localparam Y = r * DILATE_H;
            wire [HB-1:0] row = top + Y[HB-1:0];
            reg [ROWS-1:0] from;
            for (t = 0; t < ROWS; t = t + 1) begin : g_from
                always @(posedge clk) from[t] <= row[LR-1:0] == t[LR-1:0] && rows_held[t*HB+:HB] == row;
            end
            for (k = 0; k < BANKS; k = k + 1) begin : g_word
                reg [PIXEL-1:0] line;
                integer i;
                always @* begin
                    line = {PIXEL{1'b0}};
                    for (i = 0; i < ROWS; i = i + 1)
                        line = line | (words[(i*BANKS+k)*PIXEL+:PIXEL] & {PIXEL{from[i]}});
                end
                assign lines[(r*BANKS+k)*PIXEL+:PIXEL] = line;
            end
        end
        for (t = 0; t < ACROSS; t = t + 1) begin : g_column
            localparam X = t;
            wire [VB-1:0] column = first + X[VB-1:0];
            reg [BANKS-1:0] from;
            for (k = 0; k < BANKS; k = k + 1) begin : g_from
                wire mine = BANKS == 1 || column[LAST_BANK:0] == k[LAST_BANK:0];
                always @(posedge clk) from[k] <= mine && column < COLUMNS;  // which no negative one is
            end
            for (r = 0; r < KERNEL_H; r = r + 1) begin : g_tap
                reg [PIXEL-1:0] tap;
                integer i;
                always @* begin
                    tap = {PIXEL{1'b0}};
                    for (i = 0; i < BANKS; i = i + 1)
                        tap = tap | (lines[(r*BANKS+i)*PIXEL+:PIXEL] & {PIXEL{from[i]}});
                end
                assign chosen[(t*KERNEL_H+r)*PIXEL+:PIXEL] = tap;
            end
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[0], step};
    end
    always @(posedge clk) out <= chosen;

    ei_fifo #(
        .WIDTH(TAPS * PIXEL),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(alive[1]),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
