# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
# A stand-in for Vivado's Tcl that checks a script for a block design: tclsh vivado_blocks.tcl SCRIPT.
# Each command takes the options, and each IP has the pins, interfaces and properties, that we know all versions from
# 2020.1 to 2025.1 to have, and that are used here; what is connected exists, has the right direction and is
# connected once; a validated design has every clock and reset connected. FAKE_BLOCKS: ok, no_board, slow, unfinished.

set behaviour [expr {[info exists env(FAKE_BLOCKS)] ? $env(FAKE_BLOCKS) : "ok"}]
set ip_pins {
    processing_system7 {outputs {FCLK_CLK0 FCLK_RESET0_N} inputs {M_AXI_GP0_ACLK S_AXI_HP0_ACLK}
        masters {M_AXI_GP0} slaves {S_AXI_HP0}
        properties {PCW_EN_CLK0_PORT PCW_FPGA0_PERIPHERAL_FREQMHZ PCW_USE_M_AXI_GP0 PCW_USE_S_AXI_HP0}}
    zynq_ultra_ps_e {outputs {pl_clk0 pl_resetn0} inputs {maxihpm0_fpd_aclk saxihp0_fpd_aclk}
        masters {M_AXI_HPM0_FPD} slaves {S_AXI_HP0_FPD}
        properties {PSU__FPGA_PL0_ENABLE PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ PSU__USE__M_AXI_GP0 PSU__USE__M_AXI_GP1
            PSU__USE__M_AXI_GP2 PSU__USE__S_AXI_GP2}}
    proc_sys_reset {outputs {peripheral_aresetn} inputs {slowest_sync_clk ext_reset_in} masters {} slaves {} properties {}}
    smartconnect {outputs {} inputs {aclk aresetn} masters {} slaves {} properties {NUM_SI NUM_MI}}
    axi_dma {outputs {} inputs {s_axi_lite_aclk axi_resetn} masters {} slaves {S_AXI_LITE}
        properties {c_include_sg c_sg_length_width c_include_mm2s c_include_s2mm c_m_axi_mm2s_data_width
            c_m_axis_mm2s_tdata_width c_mm2s_burst_size c_m_axi_s2mm_data_width c_s2mm_burst_size}}
}
set repositories {}
set cells {}       ;# name: outputs, inputs, masters, slaves, kind
set files {}
set nets {}        ;# driven pins
set project {}
set designed 0
set opened 0

proc fail {text} { puts "ERROR: \[Fake 1-1\] $text"; exit 1 }
proc options {command given flags valued} {
    # -> the words that are no options
    set rest {}
    for {set i 0} {$i < [llength $given]} {incr i} {
        set word [lindex $given $i]
        if {$word in $flags} { continue }
        if {$word in $valued} { incr i; continue }
        if {[string match -* $word]} { fail "$command has no option $word" }
        lappend rest $word
    }
    return $rest
}
proc value {given option} {
    set at [lsearch -exact $given $option]
    return [expr {$at < 0 ? "" : [lindex $given [expr {$at + 1}]]}]
}
proc has {cell group pin} { global cells; return [expr {$pin in [dict get $cells $cell $group]}] }

proc create_project {args} {
    global project
    set rest [options create_project $args {-force -in_memory} {-part}]
    if {[llength $rest] != 2 || [value $args -part] eq ""} { fail "create_project $args" }
    set project [lindex $rest 1]
    file mkdir $project
}
proc get_board_parts {args} {
    global behaviour
    set pattern [lindex [options get_board_parts $args {-quiet} {-filter}] 0]
    if {$behaviour eq "no_board"} { return {} }
    return [list [string map {* part0:1.0} $pattern] [string map {* part0:1.2} $pattern]]
}
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc get_ipdefs {args} {
    global ip_pins
    set pattern [lindex [options get_ipdefs $args {-all -quiet} {-filter}] 0]
    set found {}
    dict for {name told} $ip_pins {
        set vendor [expr {[dict exists $told vendor] ? [dict get $told vendor] : "xilinx.com:ip"}]
        foreach version {1.0 5.5} { lappend found $vendor:$name:$version }
    }
    return [lsearch -all -inline -glob $found $pattern]
}
proc update_ip_catalog {args} {
    # What an HLS compiler has left: a line with the IP's name, and its streams by their direction.
    global repositories ip_pins
    foreach folder $repositories {
        set stream [open $folder/component.xml]; set text [read $stream]; close $stream
        if {![regexp {<!-- (\w+) slaves {(.*?)} masters {(.*?)} -->} $text _ name slaves masters]} { fail "no IP in $folder" }
        dict set ip_pins $name [list outputs {} inputs {ap_clk ap_rst_n} masters $masters slaves $slaves properties {} vendor edgeinfer:hls]
    }
}
proc add_files {args} {
    global files
    foreach path [concat {*}[options add_files $args {-quiet -norecurse} {-fileset}]] {
        if {![file isfile $path]} { fail "$path is not there" }
        lappend files $path
    }
}
proc update_compile_order {args} { options update_compile_order $args {} {-fileset} }
proc create_bd_design {name} { global designed; set designed 1 }
proc create_bd_cell {args} {
    global cells ip_pins files
    set name [options create_bd_cell $args {} {-type -vlnv -reference}]
    switch [value $args -type] {
        ip {
            set kind [lindex [split [value $args -vlnv] :] 2]
            if {![dict exists $ip_pins $kind]} { fail "no IP [value $args -vlnv]" }
            dict set cells $name [dict get $ip_pins $kind]
        }
        module {
            set kind [value $args -reference]
            set source [lsearch -inline -glob $files *$kind.v]
            if {$source eq ""} { fail "no source of $kind" }
            dict set cells $name [read_ports $source]
        }
        default { fail "create_bd_cell $args" }
    }
    dict set cells $name kind $kind
}
proc read_ports {path} {
    # Interfaces as Vivado infers them from the ports' names.
    set stream [open $path]; set text [read $stream]; close $stream
    set found {outputs {} inputs {aclk aresetn} masters {} slaves {} properties {}}
    foreach {_ name} [regexp -all -inline {(s_axi|s_axis_\w+?|m_axis_\w+?)_(?:t|aw)valid[,\n]} $text] {
        dict lappend found [expr {[string match m_* $name] ? "masters" : "slaves"}] $name
        if {![regexp "ASSOCIATED_BUSIF \[^\"\]*\\m$name\\M" $text]} { fail "$name has no clock" }
    }
    if {[regexp {output wire core_resetn\M} $text]} { dict lappend found outputs core_resetn }
    return $found
}
proc get_bd_cells {name} {
    global cells
    if {![dict exists $cells $name]} { fail "no cell $name" }
    return $name
}
proc apply_bd_automation {args} {
    options apply_bd_automation $args {} {-rule -config}
    if {![regexp {^xilinx.com:bd_rule:(processing_system7|zynq_ultra_ps_e)$} [value $args -rule]]} { fail "rule $args" }
}
proc set_property {args} {
    global cells
    set of_many [value $args -dict]
    if {$of_many eq ""} {
        if {[lindex $args 0] eq "ip_repo_paths"} {
            global repositories
            set repositories [lindex $args 1]
            return
        }
        set known {board_part top name version display_name supported_families}
        if {[lindex $args 0] ni $known || [llength $args] != 3} { fail "set_property $args" }
        return
    }
    set cell [lindex $args end]
    set kind [dict get $cells $cell kind]
    dict for {name setting} $of_many {
        if {![regexp {^CONFIG\.(.*)$} $name _ plain] || $plain ni [dict get $cells $cell properties]} {
            fail "$kind has no property $name"
        }
        if {![string is double -strict $setting]} { fail "$name = $setting" }
        if {[regexp {(data_width|tdata_width)$} $plain] && $setting ni {8 16 32 64 128}} { fail "$plain = $setting" }
        if {$plain eq "NUM_MI"} { for {set i 0} {$i < $setting} {incr i} { dict with cells $cell { lappend masters [format M%02d_AXI $i] } } }
        if {$plain eq "NUM_SI"} { for {set i 0} {$i < $setting} {incr i} { dict with cells $cell { lappend slaves [format S%02d_AXI $i] } } }
        if {$plain eq "c_include_mm2s" && $setting} { dict with cells $cell { lappend inputs m_axi_mm2s_aclk; lappend masters M_AXI_MM2S M_AXIS_MM2S } }
        if {$plain eq "c_include_s2mm" && $setting} { dict with cells $cell { lappend inputs m_axi_s2mm_aclk; lappend masters M_AXI_S2MM; lappend slaves S_AXIS_S2MM } }
    }
}
proc get_bd_pins {path} {
    lassign [split $path /] cell pin
    get_bd_cells $cell
    if {![has $cell outputs $pin] && ![has $cell inputs $pin]} { fail "no pin $path" }
    return $path
}
proc get_bd_intf_pins {args} {
    set path [lindex [options get_bd_intf_pins $args {-quiet} {}] 0]
    lassign [split $path /] cell pin
    get_bd_cells $cell
    if {![has $cell masters $pin] && ![has $cell slaves $pin]} {
        if {"-quiet" in $args} { return {} }
        fail "no interface $path"
    }
    return $path
}
proc connect_bd_net {from to} {
    global nets
    lassign [split $from /] cell pin
    if {![has $cell outputs $pin]} { fail "$from drives nothing" }
    lassign [split $to /] cell pin
    if {![has $cell inputs $pin]} { fail "$to cannot be driven" }
    if {[dict exists $nets $to]} { fail "$to is driven twice" }
    dict set nets $to $from
}
proc connect_bd_intf_net {from to} {
    global nets
    lassign [split $from /] cell pin
    if {![has $cell masters $pin]} { fail "$from is no master" }
    lassign [split $to /] cell pin
    if {![has $cell slaves $pin]} { fail "$to is no slave" }
    foreach end [list $from $to] {
        if {[dict exists $nets $end]} { fail "$end is connected twice" }
        dict set nets $end 1
    }
}
proc assign_bd_address {args} { options assign_bd_address $args {} {} }
proc validate_bd_design {args} {
    global cells nets
    dict for {cell told} $cells {
        foreach group {inputs masters slaves} {
            foreach pin [dict get $told $group] {
                if {![dict exists $nets $cell/$pin]} { fail "$cell/$pin is not connected" }
            }
        }
    }
}
proc save_bd_design {} {}
proc get_files {name} { return $name }
proc make_wrapper {args} {
    options make_wrapper $args {-top -import} {-files}
}
proc launch_runs {args} {
    global project
    if {[options launch_runs $args {} {-to_step -jobs}] ne "impl_1"} { fail "launch_runs $args" }
    foreach {path text} [list $project/design.runs/impl_1/system_wrapper.bit bits \
            $project/design.gen/sources_1/bd/system/hw_handoff/system.hwh "<hwh/>"] {
        file mkdir [file dirname $path]
        set stream [open $path w]; puts $stream $text; close $stream
    }
}
proc wait_on_run {name} {}
proc get_runs {name} { return $name }
proc get_property {name of} {
    global behaviour
    switch $name {
        PROGRESS { return [expr {$behaviour eq "unfinished" ? "60%" : "100%"}] }
        STATS.WNS { return [expr {$behaviour eq "slow" ? -0.4 : 0.3}] }
    }
    fail "get_property $name"
}
proc open_run {name} { global opened; set opened 1 }
proc leave_report {name path} {
    global env
    file copy -force $env(FAKE_REPORTS)/$name $path
}
proc report_utilization {args} {
    options report_utilization $args {-hierarchical} {-file}
    leave_report vivado_2022.2/util.rpt [value $args -file]
}
proc report_timing_summary {args} {
    options report_timing_summary $args {} {-file}
    leave_report vivado_2021.2/tagger_timing_summary_routed.rpt [value $args -file]
}
namespace eval ipx {}
proc ipx::package_project {args} {
    options ipx::package_project $args {-import_files -force} {-root_dir -vendor -library -taxonomy}
    set folder [value $args -root_dir]
    file mkdir $folder
    set stream [open $folder/component.xml w]; puts $stream "<component/>"; close $stream
}
proc ipx::current_core {} { return core }
foreach name {create_xgui_files update_checksums check_integrity save_core} {
    proc ipx::$name {core} { if {$core ne "core"} { fail "no core $core" } }
}
if {[catch {source [lindex $argv 0]} problem]} { fail $problem }
exit 0
