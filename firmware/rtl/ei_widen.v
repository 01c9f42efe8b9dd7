// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// More lanes: RATIO beats of LANES elements leave as one, the first elements in the lowest lanes.
module ei_widen #(
    parameter BITS  = 8,
    parameter LANES = 1,
    parameter RATIO = 2,
    parameter DEPTH = 4
) (
    input  wire                        clk,
    input  wire                        rst,
    input  wire                        s_valid,
    output wire                        s_ready,
    input  wire [      LANES*BITS-1:0] s_data,
    output wire                        m_valid,
    input  wire                        m_ready,
    output wire [RATIO*LANES*BITS-1:0] m_data
);
    localparam WIDTH = LANES * BITS;
    localparam QW = RATIO > 1 ? $clog2(RATIO) : 1;
    localparam [QW-1:0] LAST = RATIO[QW-1:0] - 1'b1;

    reg [QW-1:0] part;
    reg [(RATIO-1)*WIDTH-1:0] held;  // the latest beats, the newest on top
    wire credit;
    wire full = part == LAST;
    wire step = s_valid && s_ready;
    wire [RATIO*WIDTH-1:0] joined = {s_data, held};

    assign s_ready = !full || credit;

    always @(posedge clk) begin
        if (rst) part <= 0;
        else if (step) part <= full ? {QW{1'b0}} : part + 1'b1;
    end

    always @(posedge clk) if (step) held <= joined[RATIO*WIDTH-1:WIDTH];

    ei_fifo #(
        .WIDTH(RATIO * WIDTH),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(credit),
        .take(step && full),
        .push(step && full),
        .push_data(joined),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
