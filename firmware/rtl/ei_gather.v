// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Elements of a frame in another order: transposition, slicing, repetition, padding. A frame of
// IN_BEATS is written to one of two banks while the other is read; ORDER lists, for each of OUT_BEATS,
// the beat of the frame that leaves, or (its uppermost bit set) that FILL does.
module ei_gather #(
    parameter BITS      = 8,
    parameter LANES     = 1,
    parameter IN_BEATS  = 4,
    parameter OUT_BEATS = 4,
    parameter [BITS-1:0] FILL = 0,
    parameter ORDER     = "",
    parameter DEPTH     = 8
) (
    input  wire                  clk,
    input  wire                  rst,
    input  wire                  s_valid,
    output wire                  s_ready,
    input  wire [LANES*BITS-1:0] s_data,
    output wire                  m_valid,
    input  wire                  m_ready,
    output wire [LANES*BITS-1:0] m_data
);
    localparam WIDTH = LANES * BITS;
    localparam IW = IN_BEATS > 1 ? $clog2(IN_BEATS) : 1;
    localparam OW = OUT_BEATS > 1 ? $clog2(OUT_BEATS) : 1;
    localparam [IW-1:0] LAST_IN = IN_BEATS[IW-1:0] - 1'b1;
    localparam [OW-1:0] LAST_OUT = OUT_BEATS[OW-1:0] - 1'b1;

    reg [WIDTH-1:0] bank_0[0:IN_BEATS-1];
    reg [WIDTH-1:0] bank_1[0:IN_BEATS-1];
    reg [IW:0] order[0:OUT_BEATS-1];
    initial $readmemh(ORDER, order);

    reg [1:0] full;  // by bank
    reg write_bank, read_bank;
    reg [IW-1:0] write;
    reg [OW-1:0] read;
    wire credit;
    wire take_in = s_valid && s_ready;
    wire step = full[read_bank] && credit;
    wire filled = take_in && write == LAST_IN;
    wire emptied = step && read == LAST_OUT;
    reg released, released_bank;  // a bank is free when its last beat has been fetched

    assign s_ready = !full[write_bank];

    always @(posedge clk) begin
        if (rst) begin
            full          <= 2'b00;
            write_bank    <= 1'b0;
            read_bank     <= 1'b0;
            write         <= 0;
            read          <= 0;
            released      <= 1'b0;
            released_bank <= 1'b0;
        end else begin
            released      <= emptied;
            released_bank <= read_bank;
            if (take_in) write <= filled ? {IW{1'b0}} : write + 1'b1;
            if (step) read <= emptied ? {OW{1'b0}} : read + 1'b1;
            if (filled) begin
                full[write_bank] <= 1'b1;
                write_bank       <= !write_bank;
            end
            if (emptied) read_bank <= !read_bank;
            if (released) full[released_bank] <= 1'b0;
        end
    end

    reg [2:0] alive;
    reg [IW:0] place;
    reg bank, bank_out, fill;
    reg [WIDTH-1:0] from_0, from_1, out;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[1:0], step};
    end

    always @(posedge clk) begin
        if (take_in && !write_bank) bank_0[write] <= s_data;
        if (take_in && write_bank) bank_1[write] <= s_data;
    end

    always @(posedge clk) begin
        place    <= order[read];
        bank     <= read_bank;
        from_0   <= bank_0[place[IW-1:0]];
        from_1   <= bank_1[place[IW-1:0]];
        bank_out <= bank;
        fill     <= place[IW];
        out      <= fill ? {LANES{FILL}} : bank_out ? from_1 : from_0;
    end

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(alive[2]),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
