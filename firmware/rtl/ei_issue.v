// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// The beginning of a pipeline that never waits: a step is taken when every input offers a beat and every
// output's queue has a place; alive[k] says, k cycles later, that what is in stage k is of a step.
module ei_issue #(
    parameter INPUTS  = 1,
    parameter OUTPUTS = 1,
    parameter LATENCY = 4
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [ INPUTS-1:0] s_valid,
    output wire [ INPUTS-1:0] s_ready,
    input  wire [OUTPUTS-1:0] credit,
    output wire [  LATENCY:0] alive
);
    wire step = &s_valid && &credit;

    assign s_ready  = {INPUTS{step}};
    assign alive[0] = step;

    generate
        if (LATENCY > 0) begin : g_stages
            reg [LATENCY-1:0] stages;
            assign alive[LATENCY:1] = stages;
            always @(posedge clk) begin
                if (rst) stages <= 0;
                else stages <= alive[LATENCY-1:0];
            end
        end else begin : g_none
            wire unused = &{1'b0, clk, rst};
        end
    endgenerate
endmodule
