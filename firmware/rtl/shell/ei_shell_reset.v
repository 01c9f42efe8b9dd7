// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The edgeinfer authors

// A reset of 16 cycles when the device has been configured, and for as long as a button is pressed.
module ei_shell_reset (
    input  wire clk,
    input  wire button,
    output wire rst
);
    reg [4:0] count;
    reg [1:0] synced;

    initial begin
        count  = 0;
        synced = 0;
    end

    assign rst = !count[4];

    always @(posedge clk) begin
        synced <= {synced[0], button};
        if (synced[1]) count <= 0;
        else if (rst) count <= count + 1'b1;
    end
endmodule
