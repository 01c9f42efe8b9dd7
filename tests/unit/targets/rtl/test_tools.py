# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Synthesis, place and route, bitstreams: of every family, by tools that stand in for the real."""

from __future__ import annotations

import json
import re
import time
from importlib import metadata
from pathlib import Path

import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.errors import ToolFailedError, ToolMissingError, UsageError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.targets.boards.boards import SerialBoard, board, boards
from edgeinfer.targets.boards.clocks import clock_of
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools import programs
from edgeinfer.targets.rtl.tools.families import FAMILIES, family_of
from edgeinfer.targets.rtl.tools.measure import TimeBox, measure_design
from edgeinfer.targets.rtl.tools.place import with_time_left
from tests.support.places import FAKE_TOOLS, ROOT
from tests.support.rtl_programs import dense_program

TARGET = RtlTarget()
FAKES = FAKE_TOOLS
REPORTS = {
    "lfe5u-45f": {"TRELLIS_COMB": 500, "TRELLIS_FF": 300, "MULT18X18D": 2, "DP16KD": 1},
    "lifcl-40": {"OXIDE_COMB": 500, "OXIDE_FF": 300, "MULT18_CORE": 2, "OXIDE_EBR": 1},
    "gw2a-18c": {"LUT4": 300, "ALU": 80, "RAM16SDP4": 20, "DFF": 300, "MULT9X9": 4, "BSRAM": 1},
    "ice40up5k": {"ICESTORM_LC": 500, "ICESTORM_DSP": 2, "ICESTORM_RAM": 1},
}
CELLS = {
    "ecp5": ("u_y_mac.a:LUT4 u_y_mac.b:CCU2C u_x_in.m:TRELLIS_DPR16X4 u_x_in.c:TRELLIS_FF "
             "d:MULT18X18D e:DP16KD f:PFUMX"),
    "nexus": ("u_y_mac.a:LUT4 u_y_mac.b:CCU2 u_x_in.m:DPR16X4 u_x_in.c:FD1P3IX d:MULT18X18 "
              "e:PDP16K_MODE f:IB"),
    "gowin": ("u_y_mac.a:LUT3 u_y_mac.b:ALU u_y_mac.g:ALU u_x_in.c:DFFRE d:MULT9X9 h:MULT9X9 "
              "e:SDPB u_x_in.n:LUT1 u_x_in.o:LUT2 u_x_in.p:LUT4 u_x_in.q:LUT1"),
    "ice40": "u_y_mac.a:SB_LUT4 u_y_mac.b:SB_LUT4 u_y_mac.g:SB_LUT4 u_x_in.a:SB_LUT4 "
             "u_x_in.b:SB_LUT4 u_x_in.n:SB_LUT4 u_x_in.o:SB_LUT4 u_x_in.c:SB_DFFESR d:SB_MAC16 "
             "e:SB_RAM40_4KNR f:SB_CARRY",
    "7-series": "u_y_mac.a:LUT6 u_y_mac.b:RAM32X1D u_x_in.m:RAM32M u_x_in.c:FDRE d:DSP48E1 "
                "e:RAMB18E1 f:CARRY4 g:INV",
    "ultrascale+": "u_y_mac.a:LUT2 u_y_mac.b:SRL16E u_y_mac.g:LUT6_2 u_x_in.m:RAM64M u_x_in.c:FDSE "
                   "d:DSP48E2 e:RAMB18E2",
}  # fmt: skip
PARTS = {
    "ecp5": "lfe5u-85f", "nexus": "lifcl-40", "gowin": "gw2a-18c", "7-series": "xc7a100t",
    "ultrascale+": "xczu7ev", "ice40": "ice40up5k",
}  # fmt: skip


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for all open tools, a cache of their own, a record of what they were told."""
    for packaged in programs.PACKAGED:
        name = packaged.tool.name
        fake = "yosys" if name == "yosys" else "nextpnr" if "nextpnr" in name else "packer"
        monkeypatch.setenv(packaged.tool.override, str(FAKES / fake))
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("FAKE_CELLS", CELLS["ecp5"])
    TARGET.emit(dense_program(4, 2), RtlSettings()).write(tmp_path / "design")
    return tmp_path


def by_name(metrics: tuple[Metric, ...], origin: Origin) -> dict[tuple[str, str | None], Metric]:
    return {(m.name, m.layer): m for m in metrics if m.origin is origin}


@pytest.mark.parametrize("fabric", CELLS)
def test_cells_of_every_family_are_counted_alike(
    fakes: Path, monkeypatch: pytest.MonkeyPatch, fabric: str
) -> None:
    monkeypatch.setenv("FAKE_CELLS", CELLS[fabric])
    settings = RtlSettings(part=PARTS[fabric])
    result = by_name(measure_design(fakes / "design", settings).metrics, Origin.SYNTHESISED)
    blocks = "bram4" if fabric == "ice40" else "bram18"
    assert {kind: m.value for (kind, layer), m in result.items() if not layer and not m.unit} == {
        "lut": 7, "ff": 1, "dsp": 1, blocks: 1,
    }  # fmt: skip
    assert result["lut", "u_y_mac"].value == 3 and result["lut", "u_x_in"].value == 4
    budget = device(PARTS[fabric]).budget
    assert result["dsp_share", None].value == pytest.approx(100 / budget["dsp"])
    amd = fabric in ("7-series", "ultrascale+")
    assert ("not Vivado" in (result["lut", None].note or "")) is amd
    script = (fakes / "record").read_text()
    assert script.count("synth_") == 1 and family_of(fabric).title in script


@pytest.mark.parametrize("part", REPORTS)
def test_a_design_is_placed_routed_and_packed(
    fakes: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    report = fakes / "report.json"
    used = {name: {"used": n, "available": 1000} for name, n in REPORTS[part].items()}
    clocks = {"clk": {"achieved": 125.0, "constraint": 100.0}, "other": {"achieved": 250.0}}
    report.write_text(json.dumps({"fmax": clocks, "utilization": used}))
    monkeypatch.setenv("FAKE_REPORT", str(report))
    answer: list[str] = []
    result = measure_design(
        fakes / "design", RtlSettings(part=part, route=True, clock_mhz=80),
        lambda step, seconds, line: answer.append(step),
    )  # fmt: skip
    found = by_name(result.metrics, Origin.ROUTED)
    interval = json.loads((fakes / "design" / "rtl.json").read_text())["interval_cycles"]
    assert found["fmax_mhz", None].value == 125
    assert found["throughput", None].value == pytest.approx(125e6 / interval)
    blocks, flip_flops = ("bram4", None) if part == "ice40up5k" else ("bram18", 300)
    assert found["lut", None].value == 500 and found["dsp", None].value == 2
    assert found[blocks, None].value == 1
    counted = found.get(("ff", None))  # a logic cell's is not counted apart
    assert (counted and counted.value) == flip_flops
    assert found["lut_share", None].value == pytest.approx(50)
    assert result.bitstream is not None and result.bitstream.read_text() == "bits\nplaced\n"
    assert dict.fromkeys(answer) == dict.fromkeys(["synthesis", "place and route", "bitstream"])
    record = (fakes / "record").read_text()
    assert "one_top_shell" in record and "--freq 80.000" in record
    monkeypatch.setenv("FAKE_REPORT", "/gone")  # nothing is run a second time
    assert (
        measure_design(fakes / "design", RtlSettings(part=part, route=True, clock_mhz=80)) == result
    )


ROUTED = json.loads(
    (ROOT / "tests/support/router_reports.json").read_text()
)  # by nextpnr 0.11.1, of designs
AMOUNTS = {  # what these reports say, counted by hand
    "ecp5": {"lut": 11132, "ff": 8692, "dsp": 19, "bram18": 14},
    "nexus": {"lut": 15185, "ff": 10936, "dsp": 34, "bram18": 80},
    "gowin": {"lut": 1942 + 1132 + 6 * 50, "ff": 2026, "dsp": 0, "bram18": 0},
    "ice40": {"lut": 2023, "dsp": 8, "bram4": 7},
}
SERIAL = [on for on in map(board, boards()) if isinstance(on, SerialBoard)]


@pytest.mark.parametrize("on", SERIAL, ids=lambda on: on.name)
def test_what_is_delivered_for_a_board_is_what_is_routed(
    fakes: Path, monkeypatch: pytest.MonkeyPatch, on: SerialBoard
) -> None:
    settings = RtlSettings(board=on.name, route=True, clock_mhz=40)
    TARGET.emit(dense_program(4, 2), settings).write(fakes / "design")
    report = fakes / "report.json"
    answer = ROUTED[on.device.fabric]  # as nextpnr has left it
    report.write_text(json.dumps(answer))
    monkeypatch.setenv("FAKE_REPORT", str(report))
    result = measure_design(fakes / "design", settings)
    found = by_name(result.metrics, Origin.ROUTED)
    described = json.loads((fakes / "design" / "rtl.json").read_text())
    clock_mhz = settings.clock_mhz
    (clock,) = answer["fmax"].values()
    assert found["fmax_mhz", None].value == clock["achieved"]
    assert found["core_fmax_mhz", None].value == clock["achieved"]
    for kind, amount in AMOUNTS[on.device.fabric].items():
        assert found[kind, None].value == amount, kind
    assert "a study" in (found["core_fmax_mhz", None].note or "")
    assert found["board_clock_mhz", None].value == clock_mhz == described["clock_mhz"] <= 40
    assert found["latency_us", None].value == described["latency_cycles"] / clock_mhz
    assert found["throughput", None].value == clock_mhz * 1e6 / described["interval_cycles"]
    assert "serial line carries" in (found["throughput", None].note or "")
    assert result.bitstream is not None and result.bitstream.name.startswith(f"{on.name}-")
    record = (fakes / "record").read_text()
    delivered = next(line for line in record.splitlines() if line.startswith("nextpnr "))
    grades = set(re.findall(r"--speed (\S+)", record))  # of the study as well
    assert grades == ({on.device.nextpnr["speed"]} if on.device.fabric == "ecp5" else set())
    assert "hierarchy -top ei_board_top" in record and "unconstrained" not in delivered
    inputs = clock_of(on, clock_mhz)
    assert f"--freq {inputs.fastest_mhz:.3f}" in delivered
    makefile = (fakes / "design/board/Makefile").read_text()
    same = delivered.removeprefix("nextpnr ").replace(" --timing-allow-fail", "")
    assert same in makefile.replace("'", "")  # make does what the verb does

    report.write_text(json.dumps({"fmax": {"clk": {"achieved": 11.0}}, "utilization": {}}))
    monkeypatch.setenv("EDGEINFER_CACHE", str(fakes / "other"))
    slow = measure_design(fakes / "design", settings)
    assert slow.bitstream is None and not result.bitstream.exists()
    asked = 10 if inputs.drift else 11
    assert "no bitstream" in slow.findings[0] and f"--clock-mhz {asked}" in slow.findings[0]
    figures = by_name(slow.metrics, Origin.ROUTED)
    assert ("latency_us", None) not in figures and figures["fmax_mhz", None].value == 11


def test_another_speed_grade_is_another_part(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = fakes / "report.json"
    report.write_text(json.dumps({"fmax": {"clk": {"achieved": 50}}, "utilization": {}}))
    monkeypatch.setenv("FAKE_REPORT", str(report))
    measure_design(fakes / "design", RtlSettings(part="LFE5U-85F-8BG381C", route=True))
    assert "--85k --speed 8 --package CABGA381" in (fakes / "record").read_text()
    with pytest.raises(UsageError, match="CABGA381 only"):
        measure_design(fakes / "design", RtlSettings(part="LFE5U-85F-8MG285C", route=True))


def test_routing_is_tried_from_other_seeds_until_the_clock_is_reached(
    fakes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = fakes / "report.json"
    for seed, fmax in ((1, 90), (2, 120), (3, 200)):
        answer = {"fmax": {"clk": {"achieved": fmax}}, "utilization": {}}
        (fakes / f"report.json.{seed}").write_text(json.dumps(answer))
    report.write_text("no report")
    monkeypatch.setenv("FAKE_REPORT", str(report))

    def reached(clock_mhz: float, tries: int) -> tuple[float, str | None]:
        settings = RtlSettings(route=True, route_tries=tries, clock_mhz=clock_mhz)
        result = by_name(measure_design(fakes / "design", settings).metrics, Origin.ROUTED)
        return result["fmax_mhz", None].value, result["fmax_mhz", None].note

    assert reached(110, 3) == (120, "the fastest of 2 tries")
    assert "--seed 3" not in (fakes / "record").read_text()
    assert reached(111, 1) == (90, None) and reached(85, 3) == (90, None)
    assert reached(300, 2) == (120, "the fastest of 2 tries")
    monkeypatch.setenv("FAKE_FAILING_SEED", "2")
    assert reached(301, 3) == (200, "the fastest of 2 tries")
    monkeypatch.setenv("FAKE_FAILING_SEED", "1")
    with pytest.raises(ToolFailedError, match="no legal placement"):
        reached(302, 1)
    with pytest.raises(UsageError, match="Nothing can be placed in 0 tries"):
        reached(303, 0)


def test_a_tool_that_leaves_nothing_is_told(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_REPORT", "/gone")
    with pytest.raises(ToolFailedError, match=r"nextpnr.* but left no report\.json"):
        measure_design(fakes / "design", RtlSettings(route=True))


def test_all_tools_share_the_time() -> None:
    box = TimeBox(100.0, began=time.monotonic() - 40.0)
    assert box.left == pytest.approx(60.0, abs=1.0) and not box.over
    assert TimeBox(100.0, began=time.monotonic() - 200.0).over


def test_what_open_tools_cannot_place_is_refused_before_anything_runs(fakes: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot place and route a design for xczu7ev"):
        measure_design(fakes / "design", RtlSettings(part="zcu104", route=True))
    with pytest.raises(UsageError, match="no open synthesis here for the fabric 'arria10'"):
        measure_design(fakes / "design", RtlSettings(part="arria10"))
    with pytest.raises(UsageError, match="coral is not an FPGA"):
        measure_design(fakes / "design", RtlSettings(part="coral-usb"))
    assert not (fakes / "record").exists()


def test_a_design_that_does_not_fit_is_refused_with_its_numbers_before_it_is_placed(
    fakes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CELLS", " ".join(f"u_y_mac.{k}:SB_MAC16" for k in range(9)))
    settings = RtlSettings(part="icebreaker", route=True)
    with pytest.raises(UsageError, match=r"not fit ice40up5k: it takes 9 DSP blocks of 8\."):
        measure_design(fakes / "design", settings)
    assert "nextpnr" not in (fakes / "record").read_text()


def test_a_tool_that_fails_is_quoted(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAILS", "1")
    with pytest.raises(ToolFailedError, match="ERROR: no such module"):
        measure_design(fakes / "design", RtlSettings())


def test_multipliers_are_dsp_blocks_where_the_part_has_enough(fakes: Path) -> None:
    """Of 32 multipliers an ECP5-25F has 28."""
    folder = fakes / "wide"
    settings = RtlSettings(folds=(("y", Fold(4, 8)),))
    TARGET.emit(dense_program(16, 8), settings).write(folder)
    for part, option in (("lfe5u-25f", True), ("lfe5u-45f", False)):
        (fakes / "record").unlink(missing_ok=True)
        measure_design(folder, RtlSettings(part=part))
        assert ("-nodsp" in (fakes / "record").read_text()) is option


def test_a_missing_tool_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = programs.PackagedTool(programs.YOSYS.tool, "no-such-script", "no-such-package")
    monkeypatch.delenv("EDGEINFER_YOSYS", raising=False)
    monkeypatch.setenv("PATH", str(FAKES))
    native = programs.find_tool(absent)
    assert native.path == FAKES / "yosys" and native.version == "0.99"
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissingError, match="EDGEINFER_YOSYS"):
        programs.find_tool(absent)
    monkeypatch.setenv("EDGEINFER_YOSYS", "/gone")
    with pytest.raises(ToolMissingError, match="which is not a program"):
        programs.find_tool(absent)


def test_a_packages_script_need_not_lie_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "elsewhere"
    script.write_text("")
    script.chmod(0o755)
    installed = programs.PackagedTool(programs.YOSYS.tool, script.name, "numpy")
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = programs.find_tool(installed)
    assert tool.path == script and tool.version == metadata.version("numpy")


def test_a_script_on_the_path_of_another_python_is_a_tool_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """gowin_pack is called alike as a tool and as a package's script."""
    foreign = programs.PackagedTool(programs.YOSYS.tool, "yosys", "no-such-package")
    monkeypatch.setenv("PATH", str(FAKES))
    tool = programs.find_tool(foreign)
    assert tool.path == FAKES / "yosys" and tool.version == "0.99"


def test_every_fabric_of_an_fpga_that_yosys_knows_has_cells() -> None:
    for family in FAMILIES:
        blocks = "bram4" if family.fabric == "ice40" else "bram18"
        assert set(family.takes) == {"lut", "ff", "dsp", blocks}
    assert family_of("7-series").of("RAMB36E1") == {"bram18": 2}
    assert family_of("nexus").of("WIDEFN9") == {"lut": 2}
    assert family_of("gowin").of("RAM16SDP4") == {"lut": 6}
    for cell in ("SB_DFF", "SB_DFFE", "SB_DFFSR", "SB_DFFESS", "SB_DFFNER", "SB_DFFNR"):
        assert family_of("ice40").of(cell) == {"ff": 1}
    assert family_of("ecp5").of("$scopeinfo") == {}


@pytest.fixture
def vivado(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for Vivado, and a design for one of AMD's parts."""
    monkeypatch.setenv("EDGEINFER_VIVADO", str(FAKES / "vivado"))
    TARGET.emit(dense_program(4, 2), RtlSettings(part="zcu104")).write(fakes / "amd")
    return fakes


def test_vivado_does_it_where_it_is(vivado: Path) -> None:
    settings = RtlSettings(part="zcu104", route=True)
    result = measure_design(vivado / "amd", settings).metrics
    synthesised, routed = (by_name(result, o) for o in (Origin.SYNTHESISED, Origin.ROUTED))
    assert synthesised["lut", None].value == 2877 and synthesised["lut", None].tool == "Vivado"
    assert routed["bram18", None].value == 16 and routed["dsp", None].target == "rtl"
    assert routed["lut", "dense_array_array_ap_fixed_3u_config5_U0"].value == 1065
    interval = json.loads((vivado / "amd" / "rtl.json").read_text())["interval_cycles"]
    fmax = routed["fmax_mhz", None].value
    assert fmax == pytest.approx(1000 / routed["clock_ns", None].value)
    assert routed["throughput", None].value == pytest.approx(fmax * 1e6 / interval)
    assert "synth_design -part" not in (vivado / "record").read_text()
    with pytest.raises(UsageError, match="Vivado has no seeds"):
        measure_design(vivado / "amd", RtlSettings(part="zcu104", route=True, route_tries=2))


def test_vivado_that_leaves_nothing_has_failed(
    vivado: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviours = {"silent": "left no", "licence": "license", "truncated": "ends inside"}
    for behaviour, said in behaviours.items():
        monkeypatch.setenv("FAKE_BEHAVIOUR", behaviour)
        with pytest.raises(ToolFailedError, match=said):
            measure_design(vivado / "amd", RtlSettings(part="zcu104"))


def test_vivados_script_lies_beside_designs_for_its_parts(vivado: Path) -> None:
    script = (vivado / "amd" / "vivado.tcl").read_text()
    assert "-part xczu7ev-ffvc1156-2-e" in script and "-period 10.000" in script
    assert "hdl/one_top.v" in script
    assert not (vivado / "design" / "vivado.tcl").exists()


def test_a_router_s_progress_tells_what_is_left() -> None:
    answer: list[str] = []
    say = with_time_left(lambda step, seconds, line: answer.append(line))
    for line in (
        "Info: Routing 4000 arcs.",
        "Info:    IterCnt |  w/ripup   wo/ripup |  w/r  wo/r |      arcs| batch(sec) total(sec)|",
        "Info:       1000 |       28        970 |   28   970 |      3000|       0.15       2.00|",
        "Info:       3000 |       99       2900 |   71  1930 |      1000|       0.15       6.00|",
        "Info: Routing complete.",
    ):
        say("place and route", 1.0, line)
    assert answer[2] == "3,000 of 4,000 connections left, about 6 s at this rate"
    assert answer[3] == "1,000 of 4,000 connections left, about 2 s at this rate"
    assert answer[4] == "Info: Routing complete."
