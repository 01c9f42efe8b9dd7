# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
# Place and route what C synthesis made of an hls4ml project, by itself (out of context): a network
# is a part of a design, and its ports are not the pins of a device. Vivado starts it in the
# project's folder, whose project.tcl states the part and the clock period in nanoseconds.
source project.tcl

set constraints [open vivado_route.xdc w]
puts $constraints "create_clock -name ap_clk -period $clock_period \[get_ports ap_clk\]"
close $constraints

add_files ${project_name}_prj/solution1/syn/verilog
read_xdc -mode out_of_context vivado_route.xdc
synth_design -top ${project_name} -part $part -mode out_of_context
opt_design
place_design
phys_opt_design
route_design
report_utilization -hierarchical -file vivado_route_utilization.rpt
report_timing_summary -file vivado_route_timing.rpt
