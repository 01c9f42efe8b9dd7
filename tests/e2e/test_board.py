# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``board``: samples through the pins of a simulated board, and ports that are not."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.targets.boards import driver as drivers
from edgeinfer.targets.boards import serial as lines
from edgeinfer.targets.boards.boards import board
from tests.support import small_models as small
from tests.support.board_port import board_port, needs_serial
from tests.support.broken_board import broken_board
from tests.support.command_line import design_figures, shown
from tests.support.places import FAKE_TOOLS
from tests.support.rtl_designs import needs_verilator
from tests.support.small_taggers import compile_tagger


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small model."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    return tmp_path


BOARD = ["--board", "ulx3s", "--clock-mhz", "20"]  # few cycles for a bit, so quickly simulated
COMPILE = ["compile", "net.keras", "--target", "rtl", *BOARD, "--bits", "6"]


@needs_verilator
def test_a_simulated_board_is_the_engine_bit_for_bit(work: Path, capsys) -> None:
    small.data(work)
    document = shown(capsys, *COMPILE, "--data", "data.npz", "-o", "RUN")
    order = ["board", "run", "RUN", "--simulate", "--data", "data.npz", "--samples", "3"]
    found = shown(capsys, *order, "-o", "scores.npz")
    assert found["pair"] == ["engine", "board"] and found["bit_identical"]
    assert found["samples"] == 3 and "simulated from pin to pin" in found["where"]
    measured = {metric["name"]: metric for metric in found["metrics"]}
    answer = design_figures(document, "rtl")
    assert measured["latency_cycles"]["value"] == answer["latency_cycles"]
    assert {metric["origin"] for metric in measured.values()} == {"simulated"}
    (scores,) = np.load("scores.npz").values()
    assert scores.shape[0] == 3
    before = Path("RUN/result.json").read_bytes()
    assert shown(capsys, "board", "test", "RUN", "--simulate", "--samples", "5")["bit_identical"]
    assert Path("RUN/result.json").read_bytes() == before
    for word in ("0", "-3"):
        assert main(["board", "run", "RUN", "--simulate", "--samples", word]) == 2
    assert main(["board", "run", "RUN", "--simulate", "--port", "x"]) == 2
    capsys.readouterr()
    Path("RUN/rtl/board/ei_board_top.v").write_text("module ei_board_top; endmodule\n")
    assert main(order) == 2  # code that someone has changed is not run
    assert "ei_board_top.v is not as emitted" in capsys.readouterr().err


@needs_serial
def test_what_is_missing_is_told_in_a_paragraph(work: Path, capsys, monkeypatch) -> None:
    assert main([*COMPILE, "-o", "RUN"]) == 0
    before = Path("RUN/result.json").read_bytes()
    monkeypatch.setenv("PATH", "")
    for words, code, said in (
        (["run", "RUN", "--port", "/dev/nowhere"], 4, "/dev/nowhere cannot be used"),
        (["run", "RUN"], 4, "No ULX3S with an LFE5U-85F is plugged in"),
        (["test", "RUN"], 4, "or add --simulate"),
        (["load", "RUN"], 2, "edgeinfer board build RUN"),
    ):
        capsys.readouterr()
        assert main(["board", *words]) == code
        message = capsys.readouterr().err
        assert said in message and len([x for x in message.splitlines() if "error" in x]) == 1
    build = Path("RUN/rtl/build")
    build.mkdir()
    (build / "ulx3s-design.bit").write_bytes(b"bits")
    assert main(["board", "load", "RUN"]) == 3
    assert "openFPGALoader" in capsys.readouterr().err
    assert Path("RUN/result.json").read_bytes() == before


@needs_serial
@needs_verilator
def test_what_a_board_at_a_port_measures_is_in_the_result(work: Path, capsys) -> None:
    small.data(work)
    document = shown(capsys, *COMPILE, "--data", "data.npz", "-o", "RUN")
    on = board(BOARD[1])
    order = ["board", "run", "RUN", "--data", "data.npz", "--samples", "5"]
    with board_port(Path("RUN/rtl"), on) as port:
        found = shown(capsys, *order, "--port", port)
        import serial

        with serial.Serial(port, exclusive=True):
            assert main([*order, "--port", port]) == 4
        assert "in use by another program" in capsys.readouterr().err
    assert found["bit_identical"] and found["where"].endswith(f"at {port}")
    kept = json.loads(Path("RUN/result.json").read_text())
    measured = design_figures(kept, "rtl", "measured")
    assert measured["latency_cycles"] == design_figures(document, "rtl", "proved")["latency_cycles"]
    assert (
        measured["latency_us"] == measured["latency_cycles"] / 20 and measured["board_throughput"]
    )
    pairs = {tuple(entry["pair"]): entry for entry in kept["agreement"]}
    assert pairs["engine", "board"]["bit_identical"] and pairs["engine", "rtl"]["bit_identical"]
    assert kept["accuracy"]["board"]["samples"] == 5
    again = shown(capsys, "simulate", "RUN", "--stage", "engine")
    assert design_figures(again, "rtl", "measured") == measured  # the design is as it was


@needs_serial
@needs_verilator
def test_a_cable_that_is_pulled_and_another_design_leave_the_run_as_it_was(
    work: Path, capsys, monkeypatch
) -> None:
    assert main([*COMPILE, "-o", "RUN"]) == 0
    assert main([*COMPILE, "--bits-of", "*=5", "-o", "OTHER"]) == 0
    before = {path: path.read_bytes() for path in Path("RUN").rglob("*.json")}
    for folder, messages, patience_seconds, said in (
        ("RUN", 3, 0.3, "RUN|the line to the board|did not answer"),
        ("OTHER", 9, 120.0, "another design is on the board"),
    ):
        monkeypatch.setattr(lines, "PATIENCE_SECONDS", patience_seconds)
        capsys.readouterr()
        with board_port(Path(folder, "rtl"), board(BOARD[1]), messages=messages) as port:
            assert main(["board", "test", "RUN", "--port", port, "--samples", "5"]) == 4
        message = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(message) == 1 and re.search(said, message[0], re.IGNORECASE), message
    assert before == {path: path.read_bytes() for path in Path("RUN").rglob("*.json")}


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_two_hundred_frames_of_a_simulated_board_are_the_engine_s(
    work: Path, capsys, name: str
) -> None:
    order = ["compile", "net.keras", "--target", "rtl", "--bits", "6", "--board", name]
    document = shown(capsys, *order, "--clock-mhz", "20", "-o", "RUN")
    trial = shown(capsys, "board", "test", "RUN", "--simulate", "--samples", "200")
    assert trial["bit_identical"] and trial["samples"] == 200
    cycles = {metric["name"]: metric["value"] for metric in trial["metrics"]}["latency_cycles"]
    assert cycles == design_figures(document, "rtl", "proved")["latency_cycles"]


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize(
    "name, clock_mhz, pll, logic",
    [
        ("ulx3s", 100.0, "EHXPLLL", "TRELLIS_COMB"),
        ("icebreaker", 30.0, "ICESTORM_PLL", "ICESTORM_LC"),
    ],
)
def test_the_figures_are_those_of_the_router_for_what_is_delivered(
    work: Path, capsys, monkeypatch, name: str, clock_mhz: float, pll: str, logic: str
) -> None:
    monkeypatch.setenv("EDGEINFER_CACHE", str(work / "cache"))
    order = ["compile", "net.keras", "--target", "rtl", "--bits", "4", "--board", name]
    assert main([*order, "--clock-mhz", str(clock_mhz), "-o", "RUN"]) == 0
    built = shown(capsys, "board", "build", "RUN")
    assert Path(built["bitstream"]).stat().st_size > 10_000
    figures = {m["name"]: m["value"] for m in built["metrics"] if m["origin"] == "routed"}
    reports = [json.loads(path.read_text()) for path in (work / "cache").rglob("report.json")]
    delivered = [r for r in reports if r["utilization"].get(pll, {}).get("used")]
    ((clock,),) = [list(report["fmax"].values()) for report in delivered]
    assert figures["fmax_mhz"] == clock["achieved"] >= figures["board_clock_mhz"] == clock_mhz
    assert clock["constraint"] == pytest.approx(clock_mhz)
    assert figures["lut"] == delivered[0]["utilization"][logic]["used"]
    result = json.loads(Path("RUN/result.json").read_text())
    cycles = design_figures(result, "rtl", "proved")
    assert figures["latency_us"] == cycles["latency_cycles"] / clock_mhz
    assert figures["throughput"] == clock_mhz * 1e6 / cycles["ii_cycles"]
    assert figures["core_fmax_mhz"] != figures["fmax_mhz"]
    Path(built["bitstream"]).unlink()
    assert Path(shown(capsys, "board", "build", "RUN")["bitstream"]).is_file()


def test_a_run_without_a_board_is_refused(work: Path, capsys) -> None:
    assert main(["compile", "net.keras", "--target", "none", "-o", "RUN"]) == 0
    assert main(["board", "run", "RUN", "--simulate"]) == 2
    assert "--target rtl --board ulx3s" in capsys.readouterr().err
    names = [entry["name"] for entry in shown(capsys, "board", "list")["boards"]]
    assert "ulx3s" in names


def test_a_board_and_another_device_are_refused_together(work: Path, capsys) -> None:
    assert main([*COMPILE, "--device", "pynq-z2", "-o", "RUN"]) == 2
    message = capsys.readouterr().err
    assert "ulx3s carries lfe5u-85f" in message and "--device lfe5u-85f" in message
    assert not (work / "RUN").exists()


@needs_verilator
@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
def test_a_zynq_board_is_built_and_simulated_with_its_own_driver(
    work: Path, capsys, monkeypatch
) -> None:
    small.data(work)
    monkeypatch.delenv("EDGEINFER_VIVADO", raising=False)
    zynq = ["compile", "net.keras", "--bits", "6", "--target", "rtl", "--board", "pynq-z2"]
    document = shown(capsys, *zynq, "--data", "data.npz", "-o", "RUN")
    assert document["device"] == "xc7z020"
    for words, code, said in (
        (["run", "RUN"], 4, "This machine is not the PYNQ-Z2"),
        (["load", "RUN"], 2, "loaded by the driver"),
        (["build", "RUN"], 3, "vivado"),
    ):
        capsys.readouterr()
        assert main(["board", *words]) == code
        assert said in capsys.readouterr().err
    monkeypatch.setenv("EDGEINFER_VIVADO", str(FAKE_TOOLS / "vivado"))
    built = shown(capsys, "board", "build", "RUN")
    assert Path(built["bitstream"]).name == "design.bit"
    order = ["board", "run", "RUN", "--simulate", "--data", "data.npz", "--samples", "40"]
    found = shown(capsys, *order)
    assert found["bit_identical"] and found["samples"] == 40
    measured = {metric["name"]: metric for metric in found["metrics"]}
    cycles = design_figures(document, "rtl", "proved")["latency_cycles"]
    assert measured["latency_cycles"]["value"] == cycles
    assert measured["latency_cycles"]["origin"] == "simulated"


@pytest.mark.slow
def test_a_board_with_dma_on_which_something_is_wrong_leaves_the_run_as_it_was(
    work: Path, capsys, monkeypatch
) -> None:
    order = ["compile", "net.keras", "--bits", "6", "--target", "rtl", "--board", "pynq-z2"]
    assert main([*order, "-o", "RUN"]) == 0
    deploy = Path("RUN/rtl/deploy")
    identity = int(json.loads((deploy / "design.json").read_text())["identity"], 16)
    monkeypatch.setattr(drivers, "_is_here", lambda package: True)

    def refuse(path: str, download: bool = True) -> None:
        raise RuntimeError("Root permissions required")

    refused, bare = broken_board(identity), broken_board(identity)
    vars(refused)["Overlay"] = refuse
    vars(bare)["Overlay"] = lambda path, download=True: object()
    before = {path: path.read_bytes() for path in Path("RUN").rglob("*.json")}
    for package, code, said in (
        (refused, 2, "There is no bitstream"),  # until there is one
        (refused, 4, "Root permissions required"),
        (bare, 4, "Another design is in design.bit"),
        (broken_board(identity ^ 1), 4, "Another design is loaded"),
        (broken_board(identity, busy=True), 4, "DMA channel not idle"),
        (broken_board(identity), 4, "A DMA reported an error; the design was reset"),
    ):
        monkeypatch.setitem(sys.modules, "pynq", package)
        capsys.readouterr()
        assert main(["board", "test", "RUN", "--samples", "3"]) == code
        told = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(told) == 1 and said in told[0], told
        (deploy / "design.bit").write_bytes(b"bits")
    assert before == {path: path.read_bytes() for path in Path("RUN").rglob("*.json")}


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("words", [[*BOARD], ["--board", "pynq-z2"]], ids=["ulx3s", "pynq-z2"])
def test_patches_in_whole_planes_on_a_simulated_board(
    tmp_path: Path, capsys, words: list[str]
) -> None:
    run = compile_tagger(tmp_path, "--target", "rtl", "--event", "24x32", *words)
    capsys.readouterr()
    found = shown(capsys, "board", "test", str(run), "--simulate", "--samples", "30")
    assert found["bit_identical"] and found["samples"] == 30  # three planes of twelve patches
    (figure,) = found["metrics"]
    assert figure["name"] == "plane_cycles" and figure["origin"] == "simulated"
    described = json.loads((run / "rtl/rtl.json").read_text())["plane"]
    assert described["beats"] < figure["value"] < described["cycles_most"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")
def test_an_hls4ml_project_is_built_and_run_by_the_same_driver(
    work: Path, capsys, monkeypatch
) -> None:
    small.data(work)
    order = ["compile", "net.keras", "--bits", "6", "--target", "hls", "--board", "pynq-z2"]
    document = shown(capsys, *order, "--clock-ns", "9.5", "--data", "data.npz", "-o", "RUN")
    assert document["device"] == "xc7z020"
    for name in ("VIVADO", "VITIS_HLS"):
        monkeypatch.setenv(f"EDGEINFER_{name}", str(FAKE_TOOLS / name.lower()))
    built = shown(capsys, "board", "build", "RUN")
    assert Path(built["bitstream"]).name == "design.bit"
    clocks = {m["name"]: m["value"] for m in built["metrics"]}
    assert clocks["board_clock_mhz"] == pytest.approx(1000 / 10)  # the nearest part of 1,000 MHz
    order = ["board", "run", "RUN", "--simulate", "--data", "data.npz", "--samples", "40"]
    found = shown(capsys, *order)
    assert found["bit_identical"] and found["samples"] == 40 and found["metrics"] == []
    assert main(["board", "run", "RUN"]) == 4
    assert "This machine is not the PYNQ-Z2" in capsys.readouterr().err
    other = ["compile", "net.keras", "--bits", "6", "--target", "hls", "--board", "ulx3s"]
    assert main([*other, "-o", "OTHER"]) == 2
    assert "no shell for projects" in capsys.readouterr().err


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("second_mhz, kept_mhz", [(125.0, 115.625), (60.0, 80.0), (0.0, 80.0)])
def test_a_board_s_clock_is_set_to_what_was_reached_if_that_is_reached_again(
    work: Path, capsys, monkeypatch, second_mhz: float, kept_mhz: float
) -> None:
    monkeypatch.setenv("EDGEINFER_CACHE", str(work / "cache"))
    monkeypatch.setenv("FAKE_CELLS", "a:LUT4 b:TRELLIS_FF")
    for name, tool in (("YOSYS", "yosys"), ("NEXTPNR_ECP5", "nextpnr"), ("ECPPACK", "packer")):
        monkeypatch.setenv(f"EDGEINFER_{name}", str(FAKE_TOOLS / tool))
    used = {"TRELLIS_COMB": {"used": 50, "available": 100}}
    for path, mhz in (("report", 120.0), ("report.115.625", second_mhz)):
        fmax = {"clk": {"achieved": mhz, "constraint": mhz}}
        answer = {"fmax": fmax if mhz else {}, "utilization": used}  # no clock: nextpnr has failed
        Path(path).write_text(json.dumps(answer))
    monkeypatch.setenv("FAKE_REPORT", str(work / "report"))
    order = ["compile", "net.keras", "--target", "rtl", "--bits", "4", *BOARD[:2]]
    assert main([*order, "--clock-mhz", "80", "-o", "RUN"]) == 0
    capsys.readouterr()
    built = shown(capsys, "board", "build", "RUN", "--retune")
    assert Path(built["bitstream"]).is_file()
    figures = {m["name"]: m["value"] for m in built["metrics"] if m["origin"] == "routed"}
    assert figures["board_clock_mhz"] == kept_mhz
    assert figures["fmax_mhz"] == (second_mhz if second_mhz > kept_mhz else 120.0)
    result = json.loads(Path("RUN/result.json").read_text())
    assert result["targets"]["rtl"]["settings"]["clock_mhz"] == kept_mhz
    pairs = {tuple(entry["pair"]): entry for entry in result["agreement"]}
    assert pairs["engine", "rtl"]["bit_identical"]
    assert f"{kept_mhz:.4f} MHz" in Path("RUN/rtl/board/ei_board_top.v").read_text()
