// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// Of every BEATS beats, KEPT from number FIRST on; the others are let go of.
module ei_keep #(
    parameter WIDTH = 8,
    parameter BEATS = 2,
    parameter FIRST = 1,
    parameter KEPT  = 1,
    parameter DEPTH = 4
) (
    input  wire             clk,
    input  wire             rst,
    input  wire             s_valid,
    output wire             s_ready,
    input  wire [WIDTH-1:0] s_data,
    output wire             m_valid,
    input  wire             m_ready,
    output wire [WIDTH-1:0] m_data
);
    localparam CW = $clog2(BEATS);
    localparam [CW-1:0] LAST = BEATS[CW-1:0] - 1'b1;
    localparam [CW-1:0] FROM = FIRST[CW-1:0];
    localparam [CW-1:0] UNTIL = FIRST[CW-1:0] + KEPT[CW-1:0] - 1'b1;

    reg [CW-1:0] beat;
    reg kept;  // whether this beat stays
    wire credit;
    wire step = s_valid && s_ready;

    assign s_ready = credit || !kept;

    always @(posedge clk) begin
        if (rst) begin
            beat <= 0;
            kept <= FIRST == 0;
        end else if (step) begin
            beat <= beat == LAST ? {CW{1'b0}} : beat + 1'b1;
            if (beat == LAST) kept <= FIRST == 0;
            else if (beat + 1'b1 == FROM) kept <= 1'b1;
            else if (beat == UNTIL) kept <= 1'b0;
        end
    end

    ei_fifo #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && kept),
        .push(step && kept),
        .push_data(s_data),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
