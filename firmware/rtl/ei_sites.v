// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where frames become tokens: of an image that comes row by row, PIXELS with all their channels to a beat,
// the first MOST lit pixels leave with their features, and beside them the list of their places. A pixel is
// lit if one of the channels in LOOK lies above THRESHOLD. A place is {end, row, column}; after the last of
// a frame comes one whose `end` is set, in the list alone. A beat takes as many cycles as it has lit pixels,
// and at least one. PIXELS divide a row, or are whole rows.
//
// `dropped` counts the lit pixels beyond MOST since the last reset, and stays at its end.
module ei_sites #(
    parameter BITS     = 8,
    parameter SIGNED   = 0,
    parameter CHANNELS = 1,
    parameter PIXELS   = 4,
    parameter HEIGHT   = 8,
    parameter WIDTH    = 8,
    parameter MOST     = 4,
    parameter [BITS:0] THRESHOLD = 0,      // signed
    parameter [CHANNELS-1:0] LOOK = 1,
    parameter DEPTH    = 4,
    parameter DEPTH_B  = 4,
    parameter RW       = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW       = WIDTH > 1 ? $clog2(WIDTH) : 1
) (
    input  wire                            clk,
    input  wire                            rst,
    input  wire                            s_valid,
    output wire                            s_ready,
    input  wire [PIXELS*CHANNELS*BITS-1:0] s_data,
    output wire                            m_valid,
    input  wire                            m_ready,
    output wire [       CHANNELS*BITS-1:0] m_data,
    output wire                            b_valid,
    input  wire                            b_ready,
    output wire [               RW+CW : 0] b_data,
    output reg  [                    31:0] dropped
);
    localparam PIXEL = CHANNELS * BITS;
    localparam PARTS = WIDTH > PIXELS ? WIDTH / PIXELS : 1;  // beats of a row
    localparam ROWS = PIXELS > WIDTH ? PIXELS / WIDTH : 1;   // of a beat
    localparam BEATS = HEIGHT * WIDTH / PIXELS;
    localparam NW = BEATS > 1 ? $clog2(BEATS) : 1;
    localparam MW = $clog2(MOST + 1);
    localparam SW = $clog2(PIXELS + 1);
    localparam [NW-1:0] LAST = BEATS[NW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_PART = WIDTH[CW-1:0] - PIXELS[CW-1:0];
    localparam [CW-1:0] STRIDE = PARTS > 1 ? PIXELS[CW-1:0] : {CW{1'b0}};
    localparam [RW-1:0] DOWN = ROWS[RW-1:0];
    localparam [MW-1:0] ALL = MOST[MW-1:0];

    // Which pixels of the beat to come are lit, and where each lies from the first.
    wire [PIXELS-1:0] lit;
    wire [PIXELS*RW-1:0] below_of;
    wire [PIXELS*CW-1:0] along_of;
    genvar p, c;
    generate
        for (p = 0; p < PIXELS; p = p + 1) begin : g_pixel
            wire [CHANNELS-1:0] above;
            for (c = 0; c < CHANNELS; c = c + 1) begin : g_channel
                wire [BITS-1:0] x = s_data[p*PIXEL+c*BITS+:BITS];
                wire signed [BITS:0] wide = {SIGNED != 0 && x[BITS-1], x};
                assign above[c] = LOOK[c] && wide > $signed(THRESHOLD);
            end
            localparam Y = p / WIDTH;
            localparam X = p % WIDTH;
            assign lit[p] = |above;
            assign below_of[p*RW+:RW] = Y[RW-1:0];
            assign along_of[p*CW+:CW] = X[CW-1:0];
        end
    endgenerate

    // The beat at hand, and its lit pixels that have not left yet.
    reg [PIXELS*PIXEL-1:0] held;
    reg [PIXELS-1:0] waiting;
    reg [RW-1:0] row;       // of its first pixel
    reg [CW-1:0] column;
    reg [NW-1:0] beat;      // to come
    reg ending;             // the list's end is to leave after it
    reg [MW-1:0] left;      // pixels that may still leave
    reg [RW-1:0] next_row;
    reg [CW-1:0] next_column;

    wire credit_m, credit_b;
    wire [PIXELS-1:0] first = waiting & (~waiting + 1'b1);
    wire [PIXELS-1:0] rest = waiting & ~first;
    wire some = |waiting;
    wire spill = some && left == 0;
    wire leave = some && left != 0 && credit_m && credit_b;
    wire done = !some || spill || (leave && rest == 0);  // with this beat, in this cycle
    wire finish = ending && !some && credit_b;
    wire take = s_valid && s_ready;

    assign s_ready = done && !ending;

    always @(posedge clk) begin
        if (rst) begin
            waiting     <= 0;
            beat        <= 0;
            ending      <= 1'b0;
            left        <= ALL;
            next_row    <= 0;
            next_column <= 0;
        end else begin
            if (take) waiting <= lit;
            else if (spill) waiting <= 0;
            else if (leave) waiting <= rest;
            if (leave) left <= left - 1'b1;
            if (take) begin
                beat <= beat == LAST ? {NW{1'b0}} : beat + 1'b1;
                if (beat == LAST) begin
                    ending      <= 1'b1;
                    next_row    <= 0;
                    next_column <= 0;
                end else if (next_column == LAST_PART || PARTS == 1) begin
                    next_row    <= next_row + DOWN;
                    next_column <= 0;
                end else next_column <= next_column + STRIDE;
            end
            if (finish) begin
                ending <= 1'b0;
                left   <= ALL;
            end
        end
    end

    always @(posedge clk) if (take) begin
        held   <= s_data;
        row    <= next_row;
        column <= next_column;
    end

    // What leaves, chosen by comparison and registered.
    reg [PIXEL-1:0] chosen, features;
    reg [RW-1:0] below;
    reg [CW-1:0] along;
    reg [SW-1:0] count, spilled;
    reg [RW+CW:0] place;
    reg push_m, push_b, spilling;
    wire [32:0] total = {1'b0, dropped} + {{(33 - SW) {1'b0}}, spilled};
    integer k;
    always @* begin
        chosen = {PIXEL{1'b0}};
        below  = {RW{1'b0}};
        along  = {CW{1'b0}};
        count  = {SW{1'b0}};
        for (k = 0; k < PIXELS; k = k + 1) begin
            chosen = chosen | (held[k*PIXEL+:PIXEL] & {PIXEL{first[k]}});
            below  = below | (below_of[k*RW+:RW] & {RW{first[k]}});
            along  = along | (along_of[k*CW+:CW] & {CW{first[k]}});
            count = count + {{(SW - 1) {1'b0}}, waiting[k]};
        end
    end

    always @(posedge clk) begin
        features <= chosen;
        place    <= {!leave, row + below, column + along};
        spilled  <= count;
        if (rst) begin
            push_m   <= 1'b0;
            push_b   <= 1'b0;
            spilling <= 1'b0;
            dropped  <= 0;
        end else begin
            push_m   <= leave;
            push_b   <= leave || finish;
            spilling <= spill;
            if (spilling) dropped <= total[32] ? ~32'd0 : total[31:0];
        end
    end

    ei_fifo #(
        .WIDTH(PIXEL),
        .DEPTH(DEPTH)
    ) queue_m (
        .clk(clk),
        .rst(rst),
        .credit(credit_m),
        .take(leave),
        .push(push_m),
        .push_data(features),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );

    ei_fifo #(
        .WIDTH(RW + CW + 1),
        .DEPTH(DEPTH_B)
    ) queue_b (
        .clk(clk),
        .rst(rst),
        .credit(credit_b),
        .take(leave || finish),
        .push(push_b),
        .push_data(place),
        .m_valid(b_valid),
        .m_ready(b_ready),
        .m_data(b_data)
    );
endmodule
