# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Devices, goals and vendors' tools from the command line; stand-ins take the tools' place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.cli.app import main
from edgeinfer.targets.hls.csim import build
from tests.support import small_models as small
from tests.support.command_line import design_figures, shown
from tests.support.places import FAKE_TOOLS

FAKES = FAKE_TOOLS
COMPILE = ["compile", "net.keras", "--bits", "8", "--data", "data.npz", "-o", "RUN"]
HLS = ["--target", "hls", "--io", "io_parallel"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model and data, and a PATH without any vendor's tool."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", "-w", "-pthread"))
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


@pytest.fixture
def tools(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with the stand-ins for AMD's tools on the PATH; the file they record starts in."""
    for name in ("vitis_hls", "vivado"):
        (work / "tools").mkdir(exist_ok=True)
        (work / "tools" / name).symlink_to(FAKES / name)
    monkeypatch.setenv("PATH", f"{work / 'tools'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_RECORD", str(work / "record"))
    return work / "record"


def values(result: Any, origin: str) -> dict[str, float]:
    """The HLS design's figures of one origin."""
    return design_figures(result, "hls", origin)


def test_a_compilation_states_the_device_and_what_is_estimated_of_it(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = shown(capsys, *COMPILE, *HLS, "--device", "zcu104")
    assert document["device"] == "xczu7ev"
    part = document["targets"]["hls"]
    assert part["part"] == "xczu7ev-ffvc1156-2-e" and part["budget"]["dsp"] == 1728
    assert part["stage"] == "csim" and part["settings"]["io"] == "io_parallel"
    estimated = values(document, "estimated")
    assert {"latency_cycles", "ii_cycles", "dsp", "lut", "ff", "bram18"} <= set(estimated)
    alone = shown(
        capsys, "estimate", "RUN/model/net.keras", "--recipe", "RUN/recipe.toml",
        "--device", "zcu104", "--io", "io_parallel",
    )  # fmt: skip
    answer = {m["name"]: m["value"] for m in alone["metrics"] if m["layer"] is None}
    assert alone["model"]["program"] == document["program"]["digest"] and answer == estimated


def test_an_estimate_learns_from_what_the_tools_reported(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINFER_CONFIG", str(tools.parent / "config"))
    document = shown(capsys, *COMPILE, *HLS, "--device", "zcu104", "--synth")
    taught = shown(capsys, "estimate", "--learn", "RUN")
    assert (taught["runs"], taught["new_runs"]) == (1, 1)
    kept = json.loads(Path(taught["file"]).read_text())["lessons"]
    reported = values(document, "synthesised")
    assert {each["figure"]: each["reported"] for each in kept}.items() <= reported.items()
    again = shown(capsys, "estimate", "--learn", "RUN")
    assert (again["runs"], again["figures"]) == (1, taught["figures"])


@pytest.mark.slow
def test_a_latency_is_met_by_folding(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    device = ["--device", "xc7z020"]
    fast = values(shown(capsys, *COMPILE, *HLS, *device), "estimated")
    slow = shown(capsys, *COMPILE, *HLS, *device, "--latency-us", "5")
    assert dict(slow["targets"]["hls"]["settings"]["reuse_of"])
    result = values(slow, "estimated")
    assert fast["latency_us"] < result["latency_us"] <= 5.0
    size = ("lut", "dsp")
    assert sum(result[kind] for kind in size) < sum(fast[kind] for kind in size)
    capsys.readouterr()
    assert main([*COMPILE, *HLS, *device, "--latency-us", "0.001"]) == 2
    assert "the fastest design that it holds is estimated at" in capsys.readouterr().err


@pytest.mark.slow
def test_what_stands_in_the_way_is_a_finding(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_part = shown(
        capsys, *COMPILE, "--target", "hls", "--strategy", "resource", "--reuse", "7"
    )
    assert any("no reuse factor 7" in finding for finding in small_part["findings"])
    unknown = shown(capsys, *COMPILE, *HLS, "--part", "xcnothing-1")
    assert any(
        "Nothing is known of the part xcnothing-1" in finding for finding in unknown["findings"]
    )
    assert values(unknown, "estimated") == {} and unknown["device"] is None


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["--device", "xczu7"], "Did you mean 'xczu7ev'"),
        (["--device", "coral"], "is not a device for the target hls"),
        (["--device", "lfe5u-85f"], "is not a device for the target hls"),
        (["--latency-us", "-1"], "cannot be reached"),
        (["--backend", "oneAPI", "--synth"], "--synth does nothing for the target hls"),
        (["--synth", "--tool-minutes", "0"], "No tool can finish"),
    ],
)
def test_what_cannot_be_asked_for(
    work: Path, capsys: pytest.CaptureFixture[str], tokens: list[str], said: str
) -> None:
    assert main([*COMPILE, *HLS, *tokens]) == 2
    assert said in capsys.readouterr().err


def test_goals_and_tools_want_a_target(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for tokens in (["--latency-us", "5"], ["--synth"], ["--device", "zcu104"]):
        assert main([*COMPILE, *tokens]) == 2
        assert "for the target none" in capsys.readouterr().err


def test_without_the_tool_the_estimate_stands(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMPILE, *HLS, "--synth"]) == 3
    message = capsys.readouterr().err
    assert "Vitis HLS is not here" in message and "the estimate of latency" in message
    result = json.loads((work / "RUN/result.json").read_text())
    assert values(result, "estimated")["lut"] > 0
    assert result["agreement"][-1]["bit_identical"]


def test_tools_are_run_once_and_their_figures_stand_beside_the_estimates(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = [*COMPILE, *HLS, "--synth", "--cosim", "--vsynth"]
    document = shown(capsys, *order)
    assert [line.split("\t")[0] for line in tools.read_text().splitlines()] == [
        "vitis_hls", "vivado",
    ]  # fmt: skip
    synthesised = values(document, "synthesised")
    assert {"lut", "lut_vsynth", "ff_vsynth", "dsp"} <= set(synthesised)
    assert values(document, "simulated")["latency_cycles"] > 0
    assert set(values(document, "estimated")) >= {"lut", "lut_vsynth"}
    samples = Path("RUN/hls/tb_data/tb_input_features.dat").read_text()
    assert len(samples.splitlines()) == 10
    assert not any("not as emitted" in finding for finding in document["findings"])
    again = shown(capsys, *order)
    assert all(step["cached"] for step in again["steps"] if step["name"] != "hls-reports")
    assert len(tools.read_text().splitlines()) == 2
    assert values(again, "synthesised") == synthesised
    # Trying it again keeps what the tools have said.
    tried = shown(capsys, "simulate", "RUN", "--stage", "engine")
    assert values(tried, "synthesised") == synthesised


@pytest.mark.slow
def test_reports_of_another_project_do_not_pass_for_this_one(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shown(capsys, *COMPILE, *HLS, "--synth")
    digest = first["targets"]["hls"]["project"][:8]
    second = shown(capsys, *COMPILE, *HLS, "--clock-ns", "4")
    assert values(second, "synthesised") == {}
    kept = Path(f"RUN/hls-{digest}")
    assert list(kept.rglob("*_csynth.rpt")) and not list(Path("RUN/hls").rglob("*_csynth.rpt"))
    # Reports made elsewhere and brought here count.
    project = next(kept.glob("*_prj"))
    shutil.copytree(project, Path("RUN/hls") / project.name)
    third = shown(capsys, *COMPILE, *HLS, "--clock-ns", "4")
    assert values(third, "synthesised") == values(first, "synthesised")


def test_what_was_said_of_one_project_is_not_said_of_another(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shown(capsys, *COMPILE, *HLS, "--synth")
    assert any("csynth: vitis_hls" in finding for finding in first["findings"])
    assert ["engine", "csim"] in [entry["pair"] for entry in first["agreement"]]
    other = shown(capsys, *COMPILE, *HLS, "--backend", "oneAPI")  # whose tools are not run
    assert other["program"] == first["program"]
    assert not any("csynth: vitis_hls" in finding for finding in other["findings"])
    simulated = next(step for step in other["steps"] if step["name"] == "csim")
    assert not simulated["cached"]


def test_a_tool_that_fails_is_quoted_and_the_rest_is_kept(
    tools: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_BEHAVIOUR", "fail")
    assert main([*COMPILE, *HLS, "--synth"]) == 4
    message = capsys.readouterr().err
    assert "XFORM 203-504" in message and "estimate" in message
    assert json.loads(Path("RUN/result.json").read_text())["agreement"][-1]["bit_identical"]
    monkeypatch.setenv("FAKE_BEHAVIOUR", "ok")
    assert values(shown(capsys, *COMPILE, *HLS, "--synth"), "synthesised")["lut"] > 0
