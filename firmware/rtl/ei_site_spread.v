// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Where tokens become a frame again: a beat for every pixel, row by row, which is zero where the list of
// sites (b) has no place.
module ei_site_spread #(
    parameter PIXEL  = 8,  // bits of a pixel with its channels
    parameter HEIGHT = 4,
    parameter WIDTH  = 4,
    parameter DEPTH  = 4,
    parameter RW     = HEIGHT > 1 ? $clog2(HEIGHT) : 1,
    parameter CW     = WIDTH > 1 ? $clog2(WIDTH) : 1
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             s_valid,
    output wire             s_ready,
    input  wire [PIXEL-1:0] s_data,
    input  wire             b_valid,
    output wire             b_ready,
    input  wire [ RW+CW:0]  b_data,
    output wire             m_valid,
    input  wire             m_ready,
    output wire [PIXEL-1:0] m_data
);
    localparam [RW-1:0] LAST_ROW = HEIGHT[RW-1:0] - 1'b1;
    localparam [CW-1:0] LAST_COLUMN = WIDTH[CW-1:0] - 1'b1;

    reg [RW-1:0] row;
    reg [CW-1:0] column;
    reg whole;  // all pixels have left; the list's end is still to come
    wire credit;
    wire over = b_data[RW+CW];
    wire here = !over && b_data[RW+CW-1:0] == {row, column};
    wire step = !whole && b_valid && (!here || s_valid) && credit;
    wire last = row == LAST_ROW && column == LAST_COLUMN;
    wire ending = b_valid && over && (whole || (step && last));

    assign s_ready = step && here;
    assign b_ready = s_ready || ending;

    always @(posedge clk) begin
        if (rst) begin
            row    <= 0;
            column <= 0;
            whole  <= 1'b0;
        end else begin
            if (step) begin
                column <= column == LAST_COLUMN ? {CW{1'b0}} : column + 1'b1;
                if (column == LAST_COLUMN) row <= last ? {RW{1'b0}} : row + 1'b1;
            end
            whole <= (whole || (step && last)) && !ending;
        end
    end

    ei_fifo #(
        .WIDTH(PIXEL),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step),
        .push(step),
        .push_data(here ? s_data : {PIXEL{1'b0}}),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
