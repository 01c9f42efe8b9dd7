// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// y = entry[x - FIRST], one memory for each lane. The index is proved to stay inside the table.
module ei_table #(
    parameter LANES     = 1,
    parameter IN_BITS   = 8,
    parameter IN_SIGNED = 0,
    parameter signed [63:0] FIRST = 0,
    parameter ENTRIES   = 256,
    parameter OUT_BITS  = 8,
    parameter TABLE     = "",
    parameter DEPTH     = 8
) (
    input  wire                      clk,
    input  wire                      rst,
    input  wire                      s_valid,
    output wire                      s_ready,
    input  wire [ LANES*IN_BITS-1:0] s_data,
    output wire                      m_valid,
    input  wire                      m_ready,
    output wire [LANES*OUT_BITS-1:0] m_data
);
    localparam AW = ENTRIES > 1 ? $clog2(ENTRIES) : 1;
    localparam WIDE = IN_BITS + 1 > AW ? IN_BITS + 1 : AW;

    wire step = s_valid && s_ready;
    reg [2:0] alive;
    wire [LANES*OUT_BITS-1:0] y;

    always @(posedge clk) begin
        if (rst) alive <= 0;
        else alive <= {alive[1:0], step};
    end

    genvar k;
    generate
        for (k = 0; k < LANES; k = k + 1) begin : g_lane
            reg [OUT_BITS-1:0] entries[0:ENTRIES-1];
            initial $readmemh(TABLE, entries);
            wire [IN_BITS-1:0] x = s_data[k*IN_BITS+:IN_BITS];
            wire sign = IN_SIGNED != 0 && x[IN_BITS-1];
            wire [WIDE-1:0] index = {{(WIDE - IN_BITS) {sign}}, x} - FIRST[WIDE-1:0];
            reg [AW-1:0] address;
            reg [OUT_BITS-1:0] entry, out;
            always @(posedge clk) begin
                address <= index[AW-1:0];
                entry   <= entries[address];
                out     <= entry;
            end
            if (WIDE > AW) begin : g_spare
                wire unused = &{1'b0, index[WIDE-1:AW]};
            end
            assign y[k*OUT_BITS+:OUT_BITS] = out;
        end
    endgenerate

    ei_fifo #(
        .WIDTH(LANES * OUT_BITS),
        .DEPTH(DEPTH)
    ) queue (
        .clk(clk),
        .rst(rst),
        .credit(s_ready),
        .take(step),
        .push(alive[2]),
        .push_data(y),
        .m_valid(m_valid),
        .m_ready(m_ready),
        .m_data(m_data)
    );
endmodule
