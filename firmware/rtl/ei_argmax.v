// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The place of the largest of N numbers, one a beat; of equals, the first.
module ei_argmax #(
    parameter BITS     = 8,
    parameter SIGNED   = 1,
    parameter N        = 4,
    parameter OUT_BITS = 2,
    parameter DEPTH    = 2
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                s_valid,
    output wire                s_ready,
    input  wire [    BITS-1:0] s_data,
    output wire                m_valid,
    input  wire                m_ready,
    output wire [OUT_BITS-1:0] m_data
);
    localparam [OUT_BITS-1:0] LAST = N[OUT_BITS-1:0] - 1'b1;

    reg [OUT_BITS-1:0] count, place;
    reg signed [BITS:0] best;
    wire signed [BITS:0] x = {SIGNED != 0 && s_data[BITS-1], s_data};
    wire emit = count == LAST;
    wire better = count == 0 || x > best;
    wire [OUT_BITS-1:0] winner = better ? count : place;
    wire credit;
    wire step = s_valid && s_ready;

    assign s_ready = !emit || credit;

    always @(posedge clk) begin
        if (rst) count <= 0;
        else if (step) count <= emit ? {OUT_BITS{1'b0}} : count + 1'b1;
    end

    always @(posedge clk) begin
        if (step) begin
            place <= winner;
            if (better) best <= x;
        end
    end

    ei_fifo #(
        .WIDTH(OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && emit),
        .push(step && emit),
        .push_data(winner),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
