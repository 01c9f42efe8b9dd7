# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""hls4ml's own build_prj.tcl, run by a Tcl interpreter in which the tool's commands only say that
they were called: the steps that are asked for are the steps that are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base import assets
from edgeinfer.targets.hls.settings import Backend
from edgeinfer.targets.hls.tools.project import project
from edgeinfer.targets.hls.tools.steps import ROUTE_SCRIPT, HlsStep, sessions
from tests.support.emitted_projects import emitted
from tests.unit.targets.hls.tools.test_synthesise import around

SILENT = (
    "open_project",
    "set_top",
    "add_files",
    "open_solution",
    "config_array_partition",
    "config_compile",
    "set_part",
    "config_schedule",
    "create_clock",
    "set_clock_uncertainty",
)
COMMANDS = """
proc cosim_design args {
    lappend ::called cosim_design
    file mkdir tagger_prj/solution1/sim/verilog tagger_prj/solution1/sim/report
    foreach name {verilog/tagger.tcl verilog/run_sim.tcl report/tagger_cosim.rpt} {
        close [open tagger_prj/solution1/sim/$name w]
    }
    foreach name {csim rtl_cosim} {
        set file [open tb_data/${name}_results.log w]
        puts $file "0.5 0.25"
        close $file
    }
}
rename exec {}
proc exec args { lappend ::called exec }
catch {rename exit {}}
proc exit args { error "left with $args" }
set called {}
"""


@pytest.mark.parametrize("backend", [Backend.VITIS, Backend.VIVADO])
@pytest.mark.parametrize(
    ("steps", "called"),
    [
        ((HlsStep.CSYNTH,), ["csynth_design"]),
        ((HlsStep.COSIM,), ["csim_design", "csynth_design", "cosim_design"]),
        ((HlsStep.CSYNTH, HlsStep.COSIM), ["csim_design", "csynth_design", "cosim_design"]),
    ],
)
def test_the_emitted_script_does_the_steps(
    backend: Backend,
    steps: tuple[HlsStep, ...],
    called: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl interpreter")
    folder = emitted(tmp_path / "run", backend)
    monkeypatch.setenv("PATH", around("vitis_hls", "vivado_hls", folder=tmp_path)["PATH"])
    (session,) = sessions(project(folder, backend), steps, 5.0)
    for path, content in session.files.items():
        path.write_text(content)
    monkeypatch.chdir(folder)
    tcl = tkinter.Tcl()
    for name in SILENT:
        tcl.eval(f"proc {name} args {{}}")
    for name in ("csim_design", "csynth_design", "export_design"):
        tcl.eval(f"proc {name} args {{ lappend ::called {name} }}")
    tcl.eval(COMMANDS)
    tcl.call("set", "argv", session.arguments)
    with pytest.raises(tkinter.TclError, match=r"left with $"):  # not `exit 1`
        tcl.eval("source build_prj.tcl")
    assert tcl.eval("set called").split() == called


ROUTING = (
    "add_files",
    "read_xdc",
    "synth_design",
    "opt_design",
    "place_design",
    "phys_opt_design",
    "route_design",
    "report_utilization",
    "report_timing_summary",
)


def test_the_routing_script_asks_for_the_projects_part_and_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tkinter = pytest.importorskip("tkinter", reason="this Python has no Tcl interpreter")
    folder = emitted(tmp_path / "run")
    monkeypatch.chdir(folder)
    tcl = tkinter.Tcl()
    tcl.eval("set called {}")
    for name in ROUTING:
        tcl.eval(f"proc {name} args {{ lappend ::called [linsert $args 0 {name}] }}")
    tcl.call("source", str(assets.path(ROUTE_SCRIPT)))
    called = [tcl.splitlist(words) for words in tcl.splitlist(tcl.eval("set called"))]
    assert [words[0] for words in called] == list(ROUTING)
    assert called[2] == (
        *("synth_design", "-top", "tagger", "-part", "xczu7ev-ffvc1156-2-e"),
        *("-mode", "out_of_context"),
    )
    assert (folder / "vivado_route.xdc").read_text() == (
        "create_clock -name ap_clk -period 5 [get_ports ap_clk]\n"
    )
    result = project(folder, Backend.VITIS)
    assert called[-1][-1] == result.routed.name
