# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Stand-ins for the vendors' tools, run through projects with hls4ml's own scripts: what they are
told, what they leave, and how they fail."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from edgeinfer.base.errors import (
    DisagreementError,
    InputError,
    ToolFailedError,
    ToolMissingError,
    UsageError,
)
from edgeinfer.base.metrics import Origin
from edgeinfer.targets.hls.settings import Backend, HlsSettings
from edgeinfer.targets.hls.tools.bench import Bench
from edgeinfer.targets.hls.tools.run import SynthesisRun, licence_refusal, synthesise
from edgeinfer.targets.hls.tools.steps import HlsStep
from tests.support.emitted_projects import emitted
from tests.support.places import FAKE_TOOLS

FAKES = FAKE_TOOLS
ALL = (HlsStep.CSYNTH, HlsStep.COSIM, HlsStep.VSYNTH)


def around(*names: str, folder: Path, **steering: str) -> dict[str, str]:
    """An environment whose PATH has these stand-ins and no other vendor tool."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in names:
        (tools / name).symlink_to(FAKES / name)
    plain = [part for part in ("/usr/bin", "/bin") if Path(part).is_dir()]
    record = str(folder / "record")
    return {"PATH": os.pathsep.join([str(tools), *plain]), "FAKE_RECORD": record, **steering}


def recorded(environment: dict[str, str]) -> list[list[str]]:
    """What each start was: name, folder, licence variable, arguments."""
    lines = Path(environment["FAKE_RECORD"]).read_text().splitlines()
    return [line.split("\t") for line in lines]


def run(
    folder: Path,
    environment: dict[str, str],
    steps: tuple[HlsStep, ...] = (HlsStep.CSYNTH,),
    backend: Backend = Backend.VITIS,
    seconds: float = 60,
    **more: Any,
) -> SynthesisRun:
    with mock.patch.dict(os.environ, environment, clear=True):
        return synthesise(folder, HlsSettings(backend=backend), steps, seconds, **more)


def test_vitis_through_all_steps(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run", name="jets")
    environment = around("vitis_hls", "vivado", folder=tmp_path)
    done = run(folder, environment, ALL)
    batch = ["-mode", "batch", "-nojournal", "-nolog", "-source", "vivado_synth.tcl"]
    assert recorded(environment) == [
        ["vitis_hls", str(folder), "", "-f", "build_prj.tcl"],
        ["vivado", str(folder), "", *batch],
    ]
    assert [(ran.steps, ran.tool, ran.version) for ran in done.ran] == [
        ((HlsStep.CSYNTH, HlsStep.COSIM), "vitis_hls", "2023.1"),
        ((HlsStep.VSYNTH,), "vivado", "2020.1"),
    ]
    assert "***** C/RTL SIMULATION *****" in done.ran[0].log.read_text()
    origins = {(m.tool, m.origin) for m in done.metrics if m.layer is None}
    assert origins == {
        ("Vitis HLS", Origin.SYNTHESISED),
        ("Vitis HLS", Origin.SIMULATED),
        ("Vivado", Origin.SYNTHESISED),
    }


def test_routing_gives_the_achieved_clock(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", "vivado", folder=tmp_path)
    done = run(folder, environment, (HlsStep.CSYNTH, HlsStep.ROUTE))
    script = Path(recorded(environment)[1][-1])
    assert script.is_absolute() and script.name == "vivado_route.tcl"
    routed = {(m.name, m.layer): m.value for m in done.metrics if m.origin is Origin.ROUTED}
    assert routed["clock_ns", None] == pytest.approx(4.588)
    assert routed["wns_ns", None] == 0.412
    assert routed["lut_vsynth", None] == 2877 and routed["lut_vsynth", "logits"] == 1065


def test_vitis_of_2024_is_started_by_its_new_name(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis-run", folder=tmp_path)
    done = run(folder, environment)
    assert recorded(environment)[0][3:] == ["--mode", "hls", "--tcl", "build_prj.tcl"]
    assert done.ran[0].version == "2024.2"
    latency = next(m for m in done.metrics if m.name == "latency_cycles")
    assert (latency.value, latency.version) == (4099, "2024.2")


@pytest.mark.parametrize("version", ["2018.3", "2020.1"])
def test_vivado_hls_gets_its_options_as_one_argument(tmp_path: Path, version: str) -> None:
    folder = emitted(tmp_path / "run", Backend.VIVADO)
    environment = around("vivado_hls", folder=tmp_path, FAKE_VERSION=version)
    done = run(folder, environment, (HlsStep.CSYNTH, HlsStep.COSIM), Backend.VIVADO)
    assert recorded(environment)[0][3:] == [
        "-f",
        "build_prj.tcl",
        "reset=1 csim=1 synth=1 cosim=1 validation=1 export=0 vsynth=0 fifo_opt=0",
    ]
    assert done.ran[0].version == version
    assert {m.version for m in done.metrics} == {version}


def test_intel_through_all_steps_by_the_emitted_makefile(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run", Backend.QUARTUS)
    environment = around("i++", "quartus_sh", folder=tmp_path)
    done = run(folder, environment, ALL, Backend.QUARTUS)
    compiled, fitted = recorded(environment)
    assert compiled[:2] == ["i++", str(folder)]
    assert "firmware/tagger.cpp" in compiled and compiled[-2:] == ["-o", "tagger-fpga"]
    assert compiled[4:7] == ["-march=Arria10", "--clock", "5ns"]
    assert fitted[:2] == ["quartus_sh", str(folder / "tagger-fpga.prj" / "quartus")]
    assert [ran.tool for ran in done.ran] == ["i++", "tagger-fpga", "quartus_sh"]
    assert [ran.version for ran in done.ran] == ["24.1.0", "", "20.1.0"]
    again = run(folder, environment, (HlsStep.VSYNTH, HlsStep.ROUTE), Backend.QUARTUS)
    assert [ran.steps for ran in again.ran] == [(HlsStep.VSYNTH, HlsStep.ROUTE)]
    assert {m.origin for m in done.metrics} == {
        Origin.SYNTHESISED,
        Origin.SIMULATED,
        Origin.ROUTED,
    }


def test_an_override_is_used_and_wins_over_the_path(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path)
    environment["EDGEINFER_VITIS_RUN"] = str(FAKES / "vitis-run")
    run(folder, environment)
    assert [start[0] for start in recorded(environment)] == ["vitis-run"]
    environment["EDGEINFER_VITIS_RUN"] = str(tmp_path / "gone")
    with pytest.raises(ToolMissingError, match="EDGEINFER_VITIS_RUN is set to"):
        run(folder, environment)


def test_the_environment_reaches_the_tool(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path, XILINXD_LICENSE_FILE="2100@licences")
    run(folder, environment)
    assert recorded(environment)[0][2] == "2100@licences"


@pytest.mark.parametrize(
    ("backend", "present", "named"),
    [
        (Backend.VITIS, (), "neither vitis_hls nor vitis-run is on the PATH"),
        (Backend.VITIS, ("vitis_hls",), "EDGEINFER_VIVADO is not set"),
        (Backend.VIVADO, ("vivado",), "EDGEINFER_VIVADO_HLS is not set"),
        (Backend.QUARTUS, (), "EDGEINFER_INTEL_HLS is not set"),
        (Backend.QUARTUS, ("i++",), "EDGEINFER_QUARTUS is not set"),
    ],
)
def test_a_missing_tool_is_named_before_anything_runs(
    tmp_path: Path, backend: Backend, present: tuple[str, ...], named: str
) -> None:
    folder = emitted(tmp_path / "run", backend)
    environment = around(*present, folder=tmp_path)
    with pytest.raises(ToolMissingError) as caught:
        run(folder, environment, ALL, backend)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert named in message and "the estimate of latency and resources stands" in message
    assert "install" in message and str(folder) in message
    assert not Path(environment["FAKE_RECORD"]).exists()


def test_a_failure_quotes_the_tools_first_error_and_names_the_stage(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    with pytest.raises(ToolFailedError) as caught:
        run(folder, around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="fail"))
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert "csynth in C/RTL SYNTHESIS: vitis_hls failed with code 1" in message
    assert "ERROR: [XFORM 203-504] Stop unrolling loop 'Product1'" in message
    assert str(folder / "logs" / "csynth.log") in message
    assert "the estimate of latency and resources stands" in message


@pytest.mark.parametrize(
    ("backend", "fake"), [(Backend.VITIS, "vitis_hls"), (Backend.QUARTUS, "i++")]
)
def test_a_missing_licence_is_said_as_such(tmp_path: Path, backend: Backend, fake: str) -> None:
    folder = emitted(tmp_path / "run", backend)
    environment = around(fake, folder=tmp_path, FAKE_BEHAVIOUR="licence")
    with pytest.raises(ToolFailedError, match=f"{fake.replace('+', '.')} has no licence") as caught:
        run(folder, environment, backend=backend)
    assert "LM_LICENSE_FILE" in str(caught.value)


def test_a_crash_names_its_signal(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    with pytest.raises(ToolFailedError, match="ended by SIGSEGV: INFO: about to stumble"):
        run(folder, around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="crash"))


def test_the_time_budget_ends_a_tool_and_quotes_its_last_line(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="hang")
    started = time.monotonic()
    with pytest.raises(ToolFailedError) as caught:
        run(folder, environment, seconds=5.0)  # in which it has begun, on a busy machine too
    assert time.monotonic() - started < 300  # it would go on for 600
    assert "was stopped after" in str(caught.value)
    assert "The last it said was: INFO: [SCHED 204-11] Starting scheduling" in str(caught.value)


def test_a_tool_that_leaves_no_report_has_failed(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    run(folder, around("vitis_hls", folder=tmp_path))  # so that an old report is there
    environment = {**os.environ, "PATH": f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"}
    with pytest.raises(ToolFailedError, match="left no new report") as caught:
        run(folder, {**environment, "FAKE_BEHAVIOUR": "silent"})
    assert "tagger_csynth.xml" in str(caught.value)


def test_what_was_made_of_an_earlier_synthesis_does_not_outlive_it(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", "vivado", folder=tmp_path)
    assert "Vivado" in {m.tool for m in run(folder, environment, (*ALL, HlsStep.ROUTE)).metrics}
    assert {m.tool for m in run(folder, environment).metrics} == {"Vitis HLS"}


def test_a_report_cut_short_by_its_tool_is_an_error(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    with pytest.raises(ToolFailedError, match=r"tagger_csynth\.xml: it is not a complete XML file"):
        run(folder, around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="truncated"))


def test_outputs_that_differ_are_a_disagreement(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="mismatch")
    with pytest.raises(DisagreementError, match="differ from those of the C simulation") as caught:
        run(folder, environment, (HlsStep.COSIM,))
    assert caught.value.exit_code == 5


def test_co_simulation_runs_the_samples_it_is_given(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    patch = np.array([[[0.5, -1.25]], [[3.0, 0.0078125]]])
    bench = Bench([patch, np.array([[7.0], [8.0]])], [np.array([0.25, 1.0])])
    environment = around("vitis_hls", folder=tmp_path)
    run(folder, environment, (HlsStep.CSYNTH,), bench=bench)
    assert not (folder / "tb_data").exists()  # only co-simulation reads it
    run(folder, environment, (HlsStep.COSIM,), bench=bench)
    features = (folder / "tb_data" / "tb_input_features.dat").read_text()
    assert features == "0.5 -1.25 7.0\n3.0 0.0078125 8.0\n"
    assert (folder / "tb_data" / "tb_output_predictions.dat").read_text() == "0.25\n1.0\n"


def test_samples_that_the_bench_would_round_are_refused() -> None:
    with pytest.raises(InputError, match="24 significant bits"):
        Bench([np.array([[1.0 + 2.0**-30]])], [np.array([[0.0]])])
    with pytest.raises(InputError, match="as many samples"):
        Bench([np.zeros((2, 3))], [np.zeros((3, 1))])


def test_a_co_simulation_that_fails_is_an_error(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path, FAKE_BEHAVIOUR="cosim_fail")
    with pytest.raises(ToolFailedError, match="the co-simulation failed"):
        run(folder, environment, (HlsStep.CSYNTH, HlsStep.COSIM))


def test_logic_synthesis_alone_needs_what_c_synthesis_makes(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", "vivado", folder=tmp_path)
    with pytest.raises(UsageError, match="no C synthesis has made yet"):
        run(folder, environment, (HlsStep.VSYNTH,))
    run(folder, environment)
    assert run(folder, environment, (HlsStep.VSYNTH,)).ran[0].tool == "vivado"
    with pytest.raises(UsageError, match="No step"):
        run(folder, environment, ())


def test_a_project_without_a_test_bench_is_said_as_such(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run", Backend.QUARTUS)
    (folder / "tagger_test.cpp").unlink()
    with pytest.raises(UsageError, match=r"no tagger_test\.cpp, which the project's build script"):
        run(folder, around("i++", folder=tmp_path), backend=Backend.QUARTUS)


def test_progress_is_the_last_line_while_it_grows(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "run")
    environment = around("vitis_hls", folder=tmp_path, FAKE_SECONDS="0.7")
    seen: list[tuple[str, float, str]] = []
    run(folder, environment, progress=lambda *now: seen.append(now))
    assert seen[0] == ("csynth", 0.0, "vitis_hls 2023.1")
    assert ("csynth", "***** C/RTL SYNTHESIS *****") in [(s, line) for s, _, line in seen]
    assert [seconds for _, seconds, _ in seen] == sorted(seconds for _, seconds, _ in seen)


@pytest.mark.parametrize(
    ("printed", "refused"),
    [
        ("ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis'", True),
        ("Error (292028): License file is not specified", True),
        ("@E [HLS-70] Failed to check out a license", True),
        ("WARNING: [Common 17-348] Failed to get the license for feature 'Synthesis'", True),
        ("INFO: [Common 17-349] Got license for feature 'Synthesis'\nERROR: [HLS 200-70] x", False),
        ("WARNING: Failed to get a license for 'ap_opencl'\nERROR: [SYNCHK 200-61] x", False),
        ("ERROR: [HLS 200-70] Compilation errors found", False),
        ("", False),
    ],
)
def test_a_refused_licence_is_told_from_other_talk_of_licences(printed: str, refused: bool) -> None:
    assert bool(licence_refusal(printed)) is refused
