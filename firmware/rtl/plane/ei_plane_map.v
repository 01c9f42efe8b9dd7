// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The last RING lines of places, in a circle. PLACES are written at once, each into a bank of its own;
// one is read: its word is there three cycles after its address. A bank consists of memories of 2^CHUNK
// words, each with a register behind it, so that the way from a memory is short.
module ei_plane_map #(
    parameter BITS   = 64,   // of a place
    parameter PLACES = 1,
    parameter LINE   = 487,  // beats of a line
    parameter RING   = 44,
    parameter AW     = 15,   // 2^AW >= LINE x RING
    parameter BW     = 1,    // 2^BW >= PLACES
    parameter CHUNK  = 13
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire                   s_valid,
    input  wire [PLACES*BITS-1:0] s_data,
    output reg                    line_written,  // all of a line can be read
    input  wire [         AW-1:0] address,
    input  wire [         BW-1:0] bank,
    output reg  [       BITS-1:0] word
);
    localparam WORDS = LINE * RING;
    localparam CHUNKS = (WORDS + (1 << CHUNK) - 1) >> CHUNK;
    localparam NW = CHUNKS > 1 ? $clog2(CHUNKS) : 1;
    localparam CW = LINE > 1 ? $clog2(LINE) : 1;
    localparam [CW-1:0] LAST_COLUMN = LINE[CW-1:0] - 1'b1;
    localparam [AW-1:0] LAST = WORDS[AW-1:0] - 1'b1;

    reg valid, at_end;
    reg [PLACES*BITS-1:0] data;
    reg [CW-1:0] column;
    reg [AW-1:0] write;

    always @(posedge clk) data <= s_data;

    always @(posedge clk) begin
        if (rst) begin
            valid        <= 1'b0;
            at_end       <= 1'b0;
            line_written <= 1'b0;
            column       <= 0;
            write        <= 0;
        end else begin
            valid        <= s_valid;
            at_end       <= valid && column == LAST_COLUMN;
            line_written <= at_end;
            if (valid) begin
                column <= column == LAST_COLUMN ? {CW{1'b0}} : column + 1'b1;
                write  <= write == LAST ? {AW{1'b0}} : write + 1'b1;
            end
        end
    end

    wire [CHUNKS*PLACES*BITS-1:0] words;
    wire [NW-1:0] write_chunk, read_chunk;
    reg [NW-1:0] chunk_1;
    reg [BW-1:0] bank_1;

    generate
        if (CHUNKS > 1) begin : g_chunks
            assign write_chunk = write[CHUNK+:NW];
            assign read_chunk  = address[CHUNK+:NW];
        end else begin : g_whole
            assign write_chunk = {NW{1'b0}};
            assign read_chunk  = {NW{1'b0}};
        end
    endgenerate

    always @(posedge clk) begin
        chunk_1 <= read_chunk;
        bank_1  <= bank;
    end

    genvar n, p;
    generate
        for (n = 0; n < CHUNKS; n = n + 1) begin : g_chunk
            localparam LEFT = WORDS - (n << CHUNK);
            localparam HELD = LEFT < (1 << CHUNK) ? LEFT : (1 << CHUNK);
            localparam HW = HELD > 1 ? $clog2(HELD) : 1;
            for (p = 0; p < PLACES; p = p + 1) begin : g_bank
                (* no_rw_check *)
                reg [BITS-1:0] places[0:HELD-1];
                reg [BITS-1:0] read, held;
                always @(posedge clk)
                    if (valid && write_chunk == n) places[write[HW-1:0]] <= data[p*BITS+:BITS];
                always @(posedge clk) read <= places[address[HW-1:0]];
                always @(posedge clk) held <= read;
                assign words[(n*PLACES+p)*BITS+:BITS] = held;
            end
        end
    endgenerate

    // One of them by a bit for each, which is less logic than by number.
    reg [CHUNKS*PLACES-1:0] chosen;
    reg [BITS-1:0] any;
    integer k, m, b;
    always @(posedge clk)
        for (m = 0; m < CHUNKS; m = m + 1)
            for (k = 0; k < PLACES; k = k + 1) chosen[m*PLACES+k] <= chunk_1 == m[NW-1:0] && bank_1 == k[BW-1:0];
    always @* begin
        any = {BITS{1'b0}};
        for (b = 0; b < CHUNKS * PLACES; b = b + 1) any = any | (words[b*BITS+:BITS] & {BITS{chosen[b]}});
    end
    always @(posedge clk) word <= any;
endmodule
