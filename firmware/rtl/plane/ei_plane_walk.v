// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// All places of the patch around a hit, one a cycle, line by line of places. Those that differ from a
// place without charge go on, as the difference, with the address of their weights; the last place of
// a patch always does, as the end of the hit. What lies beyond the plane is a place without charge.
module ei_plane_walk #(
    parameter BITS        = 8,    // of a channel
    parameter CHANNELS    = 8,
    parameter X_BITS      = 9,    // of a difference
    parameter SIGNED      = 0,    // channels are
    parameter PLACES      = 1,    // that lie side by side in a beat
    parameter ROWS        = 11,   // of a patch, along the line
    parameter ROW_STEP    = 4,
    parameter COLUMNS     = 11,   // lines of places
    parameter COLUMN_STEP = 4,
    parameter OFFSET      = -17,  // from a hit's wire to its first place
    parameter LINE        = 487,  // beats of a line
    parameter ALL_LINES   = 1008,
    parameter RING        = 44,
    parameter PASSES      = 4,    // words of weights of a place
    parameter AW          = 15,
    parameter BW          = 1,
    parameter RB          = 11,   // bits of a row of places, signed
    parameter CB          = 11,   // bits of a place in a line, signed
    parameter XB          = 9,
    parameter KB          = 9,    // bits of an address of weights
    parameter [CHANNELS*BITS-1:0] EMPTY = 0,
    parameter DEPTH       = 32    // of the queue of differences
) (
    input  wire                         clk,
    input  wire                         rst,
    input  wire                         hit_valid,
    output wire                         hit_ready,
    input  wire [               XB-1:0] hit_wire,
    input  wire [               RB-1:0] row,
    input  wire [               AW-1:0] base,
    output wire                         walking,
    output reg  [               AW-1:0] address,
    output reg  [               BW-1:0] bank,
    input  wire [    CHANNELS*BITS-1:0] word,     // three cycles after its address
    output wire                         m_valid,
    input  wire                         m_ready,
    output wire [CHANNELS*X_BITS+KB+1:0] m_data   // first and last of a hit on top
);
    localparam SPAN = LINE * RING;
    localparam LEAP = COLUMN_STEP * LINE;
    localparam BACK = LEAP - SPAN;
    localparam WIDTH = LINE * PLACES;
    localparam LP = PLACES > 1 ? $clog2(PLACES) : 0;
    localparam IW = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam JW = COLUMNS > 1 ? $clog2(COLUMNS) : 1;
    localparam QW = $clog2(DEPTH + 1);
    localparam PW = $clog2(DEPTH);
    localparam IN_FLIGHT = 8;
    localparam OUT = CHANNELS * X_BITS + KB + 2;
    localparam [IW-1:0] LAST_I = ROWS[IW-1:0] - 1'b1;
    localparam [JW-1:0] LAST_J = COLUMNS[JW-1:0] - 1'b1;
    localparam [QW-1:0] FULL = DEPTH[QW-1:0] - IN_FLIGHT[QW-1:0];

    // Where the walk is.
    reg busy, room;
    reg [IW-1:0] i;
    reg [JW-1:0] j;
    reg i_last, j_last;
    reg signed [CB-1:0] place, first_place;
    reg signed [RB-1:0] line;
    reg line_there;
    reg [AW-1:0] line_base;
    reg [KB-1:0] k;

    wire start = hit_valid && (!busy || (i_last && j_last && room));
    wire step = busy && room;
    wire [AW-1:0] next_base = line_base + LEAP[AW-1:0];
    wire [AW:0] wrapped_base = {1'b0, line_base} + BACK[AW:0];  // negative: there is no need to wrap
    wire signed [RB-1:0] next_line = line + COLUMN_STEP[RB-1:0];
    wire signed [RB-1:0] hit_row = row;
    wire signed [CB-1:0] hit_place = $signed({{(CB - XB) {1'b0}}, hit_wire}) + OFFSET[CB-1:0];

    assign hit_ready = start;
    assign walking   = busy;

    always @(posedge clk) begin
        if (rst) busy <= 1'b0;
        else if (start) busy <= 1'b1;
        else if (step && i_last && j_last) busy <= 1'b0;
        if (start) begin
            i           <= 0;
            j           <= 0;
            i_last      <= ROWS == 1;
            j_last      <= COLUMNS == 1;
            place       <= hit_place;
            first_place <= hit_place;
            line        <= hit_row;
            line_there  <= hit_row >= 0 && hit_row < $signed(ALL_LINES[RB-1:0]);
            line_base   <= base;
            k           <= 0;
        end else if (step) begin
            k <= k + PASSES[KB-1:0];
            if (!i_last) begin
                i      <= i + 1'b1;
                i_last <= i + 1'b1 == LAST_I;
                place  <= place + $signed(ROW_STEP[CB-1:0]);
            end else begin
                i          <= 0;
                i_last     <= ROWS == 1;
                place      <= first_place;
                j          <= j + 1'b1;
                j_last     <= j + 1'b1 == LAST_J;
                line       <= next_line;
                line_there <= next_line >= 0 && next_line < $signed(ALL_LINES[RB-1:0]);
                line_base  <= wrapped_base[AW] ? next_base : wrapped_base[AW-1:0];
            end
        end
    end

    // One cycle to the address, three to the word, one to the difference, one to the queue.
    wire signed [CB-1:0] beat = place >>> LP;
    reg [5:1] alive, there, last;
    reg [KB-1:0] k_1, k_2, k_3, k_4, k_5;
    reg differs;
    reg [CHANNELS*X_BITS-1:0] x;
    reg opened;
    wire push = alive[5] && (last[5] || (there[5] && differs));

    // A line's places lie one after the other: beats that are not in it are not asked for.
    wire [AW-1:0] beat_address;
    generate
        if (AW > CB) begin : g_wide
            assign beat_address = {{(AW - CB) {beat[CB-1]}}, beat};
        end else begin : g_narrow
            assign beat_address = beat[AW-1:0];
        end
        if (PLACES > 1) begin : g_banks
            always @(posedge clk) bank <= place[BW-1:0];
        end else begin : g_bank
            always @(posedge clk) bank <= {BW{1'b0}};
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[4:1], step};
        there   <= {there[4:1], line_there && place >= 0 && place < $signed(WIDTH[CB-1:0])};
        last    <= {last[4:1], i_last && j_last};
        address <= line_base + beat_address;
        k_1     <= k;
        k_2     <= k_1;
        k_3     <= k_2;
        k_4     <= k_3;
        k_5     <= k_4;
        differs <= word != EMPTY;
    end

    genvar c;
    generate
        for (c = 0; c < CHANNELS; c = c + 1) begin : g_channel
            wire [BITS-1:0] value = word[c*BITS+:BITS];
            if (X_BITS == BITS) begin : g_same  // a place without charge has zeros
                always @(posedge clk) x[c*X_BITS+:X_BITS] <= there[4] ? value : {X_BITS{1'b0}};
            end else begin : g_difference
                wire [BITS-1:0] none = EMPTY[c*BITS+:BITS];
                wire [X_BITS-1:0] wide = {{(X_BITS - BITS) {SIGNED != 0 && value[BITS-1]}}, value};
                wire [X_BITS-1:0] zero = {{(X_BITS - BITS) {SIGNED != 0 && none[BITS-1]}}, none};
                always @(posedge clk) x[c*X_BITS+:X_BITS] <= there[4] ? wide - zero : {X_BITS{1'b0}};
            end
        end
    endgenerate

    always @(posedge clk) begin
        if (rst) opened <= 1'b0;
        else if (push) opened <= !last[5];
    end

    // A queue with a flag that is early enough for all places that are on their way.
    reg [OUT-1:0] queue[0:DEPTH-1];
    reg [PW-1:0] write, read;
    reg [QW-1:0] stored;
    reg some;
    wire pop = some && m_ready;

    assign m_valid = some;
    assign m_data  = queue[read];

    always @(posedge clk) if (push) queue[write] <= {!opened, last[5], k_5, x};

    always @(posedge clk) begin
        if (rst) begin
            write  <= 0;
            read   <= 0;
            stored <= 0;
            some   <= 1'b0;
            room   <= 1'b1;
        end else begin
            room <= stored < FULL;
            if (push) write <= write == DEPTH[PW-1:0] - 1'b1 ? {PW{1'b0}} : write + 1'b1;
            if (pop) read <= read == DEPTH[PW-1:0] - 1'b1 ? {PW{1'b0}} : read + 1'b1;
            if (push && !pop) begin
                stored <= stored + 1'b1;
                some   <= 1'b1;
            end
            if (pop && !push) begin
                stored <= stored - 1'b1;
                some   <= stored != 1;
            end
        end
    end
endmodule
