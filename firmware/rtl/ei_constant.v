// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The same WORDS beats for ever: what depends on no input.
module ei_constant #(
    parameter WIDTH  = 8,
    parameter WORDS  = 1,
    parameter VALUES = "",
    parameter DEPTH  = 4
) (
    input  wire             clk,
    input  wire             rst,
    output wire             m_valid,
    input  wire             m_ready,
    output wire [WIDTH-1:0] m_data
);
    localparam AW = WORDS > 1 ? $clog2(WORDS) : 1;
    localparam [AW-1:0] LAST = WORDS[AW-1:0] - 1'b1;

    reg [WIDTH-1:0] values[0:WORDS-1];
    initial $readmemh(VALUES, values);

    wire step;  // whenever there is a place
    reg [AW-1:0] address;
    reg [1:0] alive;
    reg [WIDTH-1:0] fetched, out;

    always @(posedge clk) begin
        if (rst) begin
            address <= 0;
            alive   <= 0;
        end else begin
            alive <= {alive[0], step};
            if (step) address <= address == LAST ? {AW{1'b0}} : address + 1'b1;
        end
    end

    always @(posedge clk) begin
        fetched <= values[address];
        out     <= fetched;
    end

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(step),
        .take(step),
        .push(alive[1]),
        .push_data(out),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
