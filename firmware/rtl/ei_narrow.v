// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Fewer lanes: a beat of RATIO x LANES elements leaves as RATIO beats, the first elements first.
module ei_narrow #(
    parameter BITS  = 8,
    parameter LANES = 1,
    parameter RATIO = 2,
    parameter DEPTH = 4
) (
    input  wire                        clk,
    input  wire                        rst,
    input  wire                        s_valid,
    output wire                        s_ready,
    input  wire [RATIO*LANES*BITS-1:0] s_data,
    output wire                        m_valid,
    input  wire                        m_ready,
    output wire [      LANES*BITS-1:0] m_data
);
    localparam WIDTH = LANES * BITS;
    localparam QW = RATIO > 1 ? $clog2(RATIO) : 1;
    localparam [QW-1:0] LAST = RATIO[QW-1:0] - 1'b1;

    reg  [QW-1:0] part;
    wire          credit;
    wire          step = s_valid && credit;

    assign s_ready = credit && part == LAST;

    wire [WIDTH-1:0] chosen;
    ei_choose #(
        .WIDTH(WIDTH),
        .WORDS(RATIO),
        .NUMBER_BITS(QW)
    ) choose (
        .words(s_data),
        .number(part),
        .word(chosen)
    );

    always @(posedge clk) begin
        if (rst) part <= 0;
        else if (step) part <= part == LAST ? {QW{1'b0}} : part + 1'b1;
    end

    // Registered: the way out of the queue before it and through the choice is long enough.
    reg alive;
    reg [WIDTH-1:0] out;

    always @(posedge clk) alive <= step && !rst;
    always @(posedge clk) out <= chosen;

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(alive),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
