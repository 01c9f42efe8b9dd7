// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The end of every block: a queue that promises places before it is given beats.
//
// A block takes a place when it starts on a beat and pushes the beat when its pipeline has made it.
// The pipeline in between never waits, so it needs neither clock enables nor a way back for ready.
// A beat pushed in one cycle can leave in the next.
module ei_fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 4
) (
    input  wire             clk,
    input  wire             rst,
    output reg              credit,     // there is a place to take
    input  wire             take,       // only while there is credit
    input  wire             push,       // once for every place that was taken, in order
    input  wire [WIDTH-1:0] push_data,
    output reg              m_valid,
    input  wire             m_ready,
    output wire [WIDTH-1:0] m_data
);
    localparam AW = DEPTH > 1 ? $clog2(DEPTH) : 1;
    localparam CW = $clog2(DEPTH + 1);
    localparam [AW-1:0] LAST = DEPTH[AW-1:0] - 1'b1;

    reg [WIDTH-1:0] beats[0:DEPTH-1];
    reg [AW-1:0] read;
    reg [AW-1:0] write;
    reg [CW-1:0] stored;
    reg [CW-1:0] free;

    wire pop = m_valid && m_ready;

    assign m_data = beats[read];

    always @(posedge clk) if (push) beats[write] <= push_data;

    always @(posedge clk) begin
        if (rst) begin
            read    <= 0;
            write   <= 0;
            stored  <= 0;
            free    <= DEPTH[CW-1:0];
            credit  <= 1'b1;
            m_valid <= 1'b0;
        end else begin
            if (pop) read <= read == LAST ? {AW{1'b0}} : read + 1'b1;
            if (push) write <= write == LAST ? {AW{1'b0}} : write + 1'b1;
            // Both flags are registers, so that a neighbour's logic starts with the clock.
            if (push && !pop) begin
                stored  <= stored + 1'b1;
                m_valid <= 1'b1;
            end
            if (pop && !push) begin
                stored  <= stored - 1'b1;
                m_valid <= stored != 1;
            end
            if (take && !pop) begin
                free   <= free - 1'b1;
                credit <= free != 1;
            end
            if (pop && !take) begin
                free   <= free + 1'b1;
                credit <= 1'b1;
            end
        end
    end
endmodule
