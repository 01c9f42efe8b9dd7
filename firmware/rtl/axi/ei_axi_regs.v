// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// What a processor knows of a design and says to it, by AXI4-Lite; docs/board.md lists the registers. A reset by
// software lasts 16 cycles, and clears the counters.
module ei_axi_regs #(
    parameter [63:0] ID        = 0,
    parameter [31:0] CLOCK_KHZ = 0,
    parameter        INPUTS    = 1,
    parameter        OUTPUTS   = 1
) (
    input  wire               clk,
    input  wire               aresetn,
    input  wire [        7:0] s_axi_awaddr,
    input  wire               s_axi_awvalid,
    output wire               s_axi_awready,
    input  wire [       31:0] s_axi_wdata,
    input  wire [        3:0] s_axi_wstrb,
    input  wire               s_axi_wvalid,
    output wire               s_axi_wready,
    output wire [        1:0] s_axi_bresp,
    output reg                s_axi_bvalid,
    input  wire               s_axi_bready,
    input  wire [        7:0] s_axi_araddr,
    input  wire               s_axi_arvalid,
    output wire               s_axi_arready,
    output reg  [       31:0] s_axi_rdata,
    output wire [        1:0] s_axi_rresp,
    output reg                s_axi_rvalid,
    input  wire               s_axi_rready,
    output wire               rst,            // of everything but these registers
    output reg  [       31:0] batch,
    input  wire               begun,          // a beat goes into the design
    input  wire               frame_in,
    input  wire               frame_out,
    input  wire [ INPUTS-1:0] short_packets,
    input  wire [ INPUTS-1:0] long_packets,
    input  wire [OUTPUTS-1:0] packets_out,
    input  wire               misframed
);
    localparam [31:0] VERSION = 1;

    reg [4:0] left;  // of a reset
    reg [31:0] frames_in, frames_out, too_short, too_long, running, cycles;
    reg busy;
    reg [OUTPUTS-1:0] gone;
    wire write = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid;
    wire read = s_axi_arvalid && !s_axi_rvalid;
    wire asked = write && s_axi_awaddr[7:2] == 6'd3 && s_axi_wstrb[0] && s_axi_wdata[0];
    wire packet_ends = &(gone | packets_out);
    wire unused = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};

    assign s_axi_awready = write;
    assign s_axi_wready  = write;
    assign s_axi_arready = read;
    assign s_axi_bresp   = 2'b00;
    assign s_axi_rresp   = 2'b00;
    assign rst = left != 0;

    function [31:0] ones(input [31:0] bits);
        integer k;
        begin
            ones = 0;
            for (k = 0; k < 32; k = k + 1) ones = ones + {31'd0, bits[k]};
        end
    endfunction

    always @(posedge clk) begin
        if (!aresetn) begin
            s_axi_bvalid <= 1'b0;
            s_axi_rvalid <= 1'b0;
            batch <= 1;
            left  <= 5'd16;
        end else begin
            if (asked) left <= 5'd16;
            else if (rst) left <= left - 1'b1;
            if (write) s_axi_bvalid <= 1'b1;
            else if (s_axi_bready) s_axi_bvalid <= 1'b0;
            if (read) s_axi_rvalid <= 1'b1;
            else if (s_axi_rready) s_axi_rvalid <= 1'b0;
            if (write && s_axi_awaddr[7:2] == 6'd4) begin
                if (s_axi_wstrb[0]) batch[7:0] <= s_axi_wdata[7:0];
                if (s_axi_wstrb[1]) batch[15:8] <= s_axi_wdata[15:8];
                if (s_axi_wstrb[2]) batch[23:16] <= s_axi_wdata[23:16];
                if (s_axi_wstrb[3]) batch[31:24] <= s_axi_wdata[31:24];
            end
        end
        if (read) begin
            case (s_axi_araddr[7:2])
                6'd0: s_axi_rdata <= ID[31:0];
                6'd1: s_axi_rdata <= ID[63:32];
                6'd2: s_axi_rdata <= VERSION;
                6'd3: s_axi_rdata <= {31'd0, rst};
                6'd4: s_axi_rdata <= batch;
                6'd5: s_axi_rdata <= frames_in;
                6'd6: s_axi_rdata <= frames_out;
                6'd7: s_axi_rdata <= too_short;
                6'd8: s_axi_rdata <= too_long;
                6'd9: s_axi_rdata <= {30'd0, busy, misframed};
                6'd10: s_axi_rdata <= cycles;
                6'd11: s_axi_rdata <= CLOCK_KHZ;
                default: s_axi_rdata <= 0;
            endcase
        end
    end

    // From the first beat of a packet that the design takes to the last that it gives, both counted.
    always @(posedge clk) begin
        if (rst) begin
            frames_in  <= 0;
            frames_out <= 0;
            too_short  <= 0;
            too_long   <= 0;
            running    <= 0;
            cycles     <= 0;
            busy       <= 1'b0;
            gone       <= 0;
        end else begin
            if (frame_in) frames_in <= frames_in + 1'b1;
            if (frame_out) frames_out <= frames_out + 1'b1;
            too_short <= too_short + ones({{(32 - INPUTS) {1'b0}}, short_packets});
            too_long  <= too_long + ones({{(32 - INPUTS) {1'b0}}, long_packets});
            if (busy && packet_ends) begin
                busy   <= 1'b0;
                gone   <= 0;
                cycles <= running + 1'b1;
            end else begin
                gone <= gone | packets_out;
                if (busy) running <= running + 1'b1;
                else if (begun) begin
                    busy    <= 1'b1;
                    running <= 1;
                end
            end
        end
    end
endmodule
