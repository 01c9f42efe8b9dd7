# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
# A stand-in for the Tcl of Vivado HLS and Vitis HLS that checks a script for an IP: tclsh hls_ip.tcl SCRIPT. The IP has
# the streams that the top function has, with the ending FAKE_STREAMS, as Vivado HLS 2020.1 gives them one.

set top ""
set files {}
set told {}
proc fail {text} { puts "ERROR: \[Fake 1-1\] $text"; builtin_exit 1 }
rename exit builtin_exit
proc exit {args} {
    global told
    foreach wanted {open_solution set_part create_clock csynth_design export_design} {
        if {$wanted ni $told} { fail "no $wanted" }
    }
    builtin_exit 0
}
proc open_project {flag name} { if {$flag ne "-reset"} { fail "open_project $flag" }; file mkdir $name; set ::project $name }
proc set_top {name} { set ::top $name }
proc add_files {path flag flags} {
    if {$flag ne "-cflags" || ![file isfile $path]} { fail "add_files $path $flag" }
    if {![regexp {^-std=c\+\+0x -I(\S+)$} $flags _ folder] || ![file isdirectory $folder]} { fail "flags $flags" }
    lappend ::files $path
}
proc open_solution {flag name} { lappend ::told open_solution; if {"$flag $name" ne "-reset solution1"} { fail "open_solution" } }
proc config_array_partition {args} { error "unknown in this version" }
proc config_rtl {flag value} { if {"$flag $value" ne "-reset state"} { fail "config_rtl $flag $value" } }
proc set_part {part} { lappend ::told set_part; if {![regexp {^xc\w+-[\w-]+$} $part]} { fail "part $part" } }
proc create_clock {args} {
    lappend ::told create_clock
    if {[lindex $args 0] ne "-period" || ![string is double -strict [lindex $args 1]]} { fail "create_clock $args" }
}
proc csynth_design {} { lappend ::told csynth_design }
proc export_design {args} {
    global files top project env
    lappend ::told export_design
    if {[dict get $args -format] ne "ip_catalog" || [dict get $args -vendor] ne "edgeinfer"} { fail "export_design $args" }
    set text ""
    foreach path $files { set stream [open $path]; append text [read $stream]; close $stream }
    if {![regexp "void ${top}\\((\[^)\]*)\\)" $text _ given]} { fail "no function $top" }
    set suffix [expr {[info exists env(FAKE_STREAMS)] ? $env(FAKE_STREAMS) : ""}]
    foreach {_ way number} [regexp -all -inline {(in|out)_(\d+)} $given] {
        lappend $way ${way}_$number$suffix
    }
    file mkdir $project/solution1/impl/ip
    set stream [open $project/solution1/impl/ip/component.xml w]
    puts $stream "<!-- $top slaves {$in} masters {$out} -->"
    close $stream
}
if {[catch {source [lindex $argv 0]} problem]} { fail $problem }
fail "the script did not end with exit"
