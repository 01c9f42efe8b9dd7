// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The last RING lines of places, in a circle. PLACES are written at once, each into a bank of its own;
// one is read: its word is there two cycles after its address.
module ei_plane_map #(
    parameter BITS   = 64,   // of a place
    parameter PLACES = 1,
    parameter LINE   = 487,  // beats of a line
    parameter RING   = 44,
    parameter AW     = 15,   // 2^AW >= LINE x RING
    parameter BW     = 1     // 2^BW >= PLACES
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

    wire [PLACES*BITS-1:0] words;
    reg [BW-1:0] bank_1;
    always @(posedge clk) bank_1 <= bank;

    genvar p;
    generate
        for (p = 0; p < PLACES; p = p + 1) begin : g_bank
            (* no_rw_check *)
            reg [BITS-1:0] places[0:WORDS-1];
            reg [BITS-1:0] read;
            always @(posedge clk) if (valid) places[write] <= data[p*BITS+:BITS];
            always @(posedge clk) read <= places[address];
            assign words[p*BITS+:BITS] = read;
        end
    endgenerate

    integer k;
    always @(posedge clk)
        for (k = 0; k < PLACES; k = k + 1) if (PLACES == 1 || bank_1 == k[BW-1:0]) word <= words[k*BITS+:BITS];
endmodule
