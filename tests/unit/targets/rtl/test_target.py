# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The target's five answers: refusals with reasons, files, simulation, cycles, tools' reports."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from edgeinfer.base.errors import InputError, ProgramError, ToolFailedError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.ir.builder import ProgramBuilder
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Constant, Input, Softmax, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import Budget, Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.hit_tagger_programs import FAITHFUL, hit_tagger
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_programs import dense_program, small_network
from tests.unit.targets.rtl.test_plane import SHAPE, small_tagger

TARGET = RtlTarget()
EXAMPLE = RtlSettings(folds=(("conv", Fold(2, 9)), ("dense", Fold(3, 8))))
ECP5_85F_BITS = 208 * 18 * 1024


def softmax_program(bits: int = 4) -> Program:
    """A softmax, and an output that nothing sets off."""
    builder = ProgramBuilder("soft")
    builder.add(Input("x", Fixed(True, bits, bits - 2), (3,)))
    table = pack_weights(np.array([7, 3, 1], np.int64))
    type_ = Fixed(False, 3, 1)
    builder.add(
        Softmax("y", Fixed(False, 4, 0), "x", 0, table, type_, 0, table, type_, 0,
                Rounding.RND_CONV, Overflow.SAT)
    )  # fmt: skip
    builder.add(Constant("c", Fixed(False, 3, 3), pack_weights(np.array([1, 2], np.int64))))
    return builder.program((Output("y", "y"), Output("c", "c")))


def test_what_has_no_block_is_refused_with_its_reason() -> None:
    (offence,) = TARGET.check(softmax_program(), EXAMPLE)
    assert offence.path == "c" and "depends on no input" in offence.reason
    with pytest.raises(ProgramError, match="depends on no input"):
        TARGET.emit(softmax_program(), RtlSettings())


def test_a_softmax_of_numbers_whose_differences_are_not_held_is_refused() -> None:
    (offence,) = TARGET.check(softmax_program(63), EXAMPLE)
    assert offence.kind == "Softmax" and "may need 64 bits; at most 63" in offence.reason
    with pytest.raises(ProgramError, match=r"y\.below: A .* may need 64 bits"):
        TARGET.emit(softmax_program(63), EXAMPLE)


def test_the_faithful_tagger_is_refused_with_the_numbers() -> None:
    settings = RtlSettings(budget=Budget(memory_bits=ECP5_85F_BITS))
    program = hit_tagger(FAITHFUL).program
    (offence,) = TARGET.check(program, settings)
    assert "11,894,784 weights of 6 bits take 71.4 Mbit" in offence.reason
    assert "the budget is 3.8 Mbit, 5.4% of that" in offence.reason
    assert "first 1 of 5 layers" in offence.reason
    with pytest.raises(ProgramError, match=r"71\.4 Mbit"):
        TARGET.estimate(program, settings)


def test_the_top_level_only_instantiates(snapshot: SnapshotAssertion) -> None:
    files = TARGET.emit(small_network(1), EXAMPLE).files
    top = files[f"{HDL}/small1_top.v"].decode()
    assert top == snapshot
    assert "always" not in top and "reg " not in top


def test_the_manifest_says_how_to_drive_the_design() -> None:
    plan = TARGET.emit(small_network(1), EXAMPLE)
    document = json.loads(plan.files["rtl.json"])
    assert document["inputs"] == [
        {"name": "x", "port": "s_axis_x", "type": "fixed<5,2>", "elements_per_beat": 2,
         "beats_per_frame": 64, "bytes_per_beat": 2}
    ]  # fmt: skip
    assert document["folding"] == {"conv": [2, 9], "dense": [3, 8]}
    modules = {block["module"] for block in document["blocks"]}
    shipped = {Path(name).stem for name in plan.files if name.startswith(f"{HDL}/ei_")}
    assert modules <= shipped
    estimated = {(m.name, m.unit): m for m in TARGET.estimate(small_network(1), EXAMPLE)}
    assert document["latency_cycles"] == estimated["latency_cycles", "cycles"].value
    assert document["interval_cycles"] == estimated["ii_cycles", "cycles"].value


@needs_verilator
def test_results_and_taps_are_the_interpreter_s(tmp_path: Path) -> None:
    program = small_network(3)
    settings = RtlSettings()
    TARGET.emit(program, settings).write(tmp_path)
    raw = random_inputs(program, 4, 5)
    result = TARGET.simulate(program, tmp_path, raw, settings, taps=("conv", "pool", "flat"))
    values = interpret(program, raw)
    assert set(result) == {"y", "conv", "pool", "flat"}
    np.testing.assert_array_equal(result["y"], values["dense"])
    for name in ("conv", "pool", "flat"):
        np.testing.assert_array_equal(result[name], values[name])


@needs_verilator
def test_a_bare_pipeline_makes_the_interpreter_s_numbers(tmp_path: Path) -> None:
    program = dense_program(6, 3)
    settings = RtlSettings(unroll="full", interface="bare", stages=3)
    TARGET.emit(program, settings).write(tmp_path)
    raw = random_inputs(program, 4, 20)
    result = TARGET.simulate(program, tmp_path, raw, settings, taps=("y",))
    np.testing.assert_array_equal(result["y"], interpret(program, raw)["y"])


def test_a_folder_with_another_design_is_not_simulated(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    raw = random_inputs(program, 4, 3)
    with pytest.raises(UsageError, match="does not hold the design"):
        TARGET.simulate(program, tmp_path, raw, RtlSettings())
    TARGET.emit(program, RtlSettings()).write(tmp_path)
    other = RtlSettings(folds=(("y", Fold(2, 2)),))
    with pytest.raises(UsageError, match="does not hold the design"):
        TARGET.simulate(program, tmp_path, raw, other)
    with pytest.raises(UsageError, match="%z"):
        TARGET.simulate(program, tmp_path, raw, RtlSettings(), taps=("z",))
    with pytest.raises(InputError, match="no samples"):
        empty = {name: values[:0] for name, values in raw.items()}
        TARGET.simulate(program, tmp_path, empty, RtlSettings())


def test_estimates_of_cycles_are_facts_and_say_so() -> None:
    kinds = ("lut", "ff", "dsp", "bram18", "energy_dynamic_nj")
    for metric in TARGET.estimate(small_network(1), EXAMPLE):
        fact = metric.name.removesuffix("_share") not in kinds
        assert metric.origin is (Origin.PROVED if fact else Origin.ESTIMATED)
        assert metric.target == "rtl"


FAKE_YOSYS = """#!/bin/sh
[ "$1" = --version ] && { echo "Yosys 0.99"; exit 0; }
[ -n "$FAKE_FAILS" ] && { echo "ERROR: no such module"; exit 1; }
cat run.ys >> "$FAKE_SEEN"
cat > netlist.json <<X
{"modules": {"$(sed -n 's/^hierarchy -top //p' run.ys)": {"cells": {
 "u_y_mac.a": {"type": "LUT4"}, "u_y_mac.b": {"type": "CCU2C"}, "u_x_in.c": {"type": "TRELLIS_FF"},
 "d": {"type": "MULT18X18D"}, "e": {"type": "BB"}}}}}
X
"""
FAKE_NEXTPNR = """#!/bin/sh
[ "$1" = --version ] && { echo "nextpnr 0.88"; exit 0; }
echo config > design.config
cat > report.json <<'X'
{"fmax": {"clk": {"achieved": 125.0, "constraint": 100.0}},
 "utilization": {"TRELLIS_COMB": {"used": 500, "available": 83640}}}
X
"""
FAKE_ECPPACK = """#!/bin/sh
[ "$1" = --version ] && { echo "ecppack 0.77"; exit 0; }
cp "$2" "$3"
"""


@pytest.fixture
def fake_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text, variable in (
        ("yosys", FAKE_YOSYS, "EDGEINFER_YOSYS"),
        ("nextpnr", FAKE_NEXTPNR, "EDGEINFER_NEXTPNR_ECP5"),
        ("ecppack", FAKE_ECPPACK, "EDGEINFER_ECPPACK"),
    ):
        path = tmp_path / f"fake_{name}"
        path.write_text(text)
        path.chmod(0o755)
        monkeypatch.setenv(variable, str(path))
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_SEEN", str(tmp_path / "seen.ys"))
    return tmp_path


def test_tools_reports_become_metrics_with_their_origin(fake_tools: Path) -> None:
    folder = fake_tools / "design"
    program = dense_program(4, 2)
    TARGET.emit(program, RtlSettings()).write(folder)
    settings = RtlSettings(route=True)
    results = {(m.name, m.layer, m.origin): m for m in measure_design(folder, settings).metrics}
    assert results["lut", None, Origin.SYNTHESISED].value == 3
    assert results["lut", "u_y_mac", Origin.SYNTHESISED].value == 3
    assert results["ff", "u_x_in", Origin.SYNTHESISED].value == 1
    assert results["dsp", None, Origin.SYNTHESISED].version == "0.99"
    interval = json.loads((folder / "rtl.json").read_text())["interval_cycles"]
    assert results["throughput", None, Origin.ROUTED].value == 125e6 / interval
    assert results["lut_share", None, Origin.ROUTED].value == pytest.approx(100 * 500 / 83640)
    script = (fake_tools / "seen.ys").read_text()
    assert "ei_mac.v" in script and "tb_" not in script


def test_what_was_synthesised_once_is_not_again(
    fake_tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_tools / "design"
    TARGET.emit(dense_program(4, 2), RtlSettings()).write(folder)
    first = measure_design(folder, RtlSettings()).metrics
    monkeypatch.setenv("FAKE_FAILS", "1")
    assert measure_design(folder, RtlSettings()).metrics == first
    (folder / HDL / "ei_fifo.v").write_text("// another\n")
    with pytest.raises(ToolFailedError, match="no such module"):
        measure_design(folder, RtlSettings())


def test_unknown_parts_and_empty_folders_are_refused(fake_tools: Path) -> None:
    with pytest.raises(UsageError, match="no design at"):
        measure_design(fake_tools, RtlSettings())
    TARGET.emit(dense_program(4, 2), RtlSettings()).write(fake_tools)
    with pytest.raises(UsageError, match="lfe5u-85f"):
        measure_design(fake_tools, RtlSettings(part="lfe5u-85"))


BUILDERS_TAKE = (
    (small_network(2), RtlSettings()),
    (small_tagger(), RtlSettings(event=SHAPE, budget=Budget(multipliers=12))),
)


def hdl_files(files: Mapping[str, bytes]) -> set[str]:
    """What belongs to the design, and not to its test bench."""
    return {
        name for name in files
        if name.startswith("hdl/") and "/tb_" not in name and not name.endswith("_tb.v")
    }  # fmt: skip


@pytest.mark.parametrize("design", BUILDERS_TAKE, ids=["frames", "planes"])
def test_a_design_says_its_files_to_fusesoc(design: tuple[Program, RtlSettings]) -> None:
    files = TARGET.emit(*design).files
    core = yaml.safe_load(files["design.core"].decode().removeprefix("CAPI=2:\n"))
    listed = dict(item for entry in core["filesets"]["rtl"]["files"] for item in entry.items())
    assert set(listed) == hdl_files(files)
    assert all(about["copyto"] == name.removeprefix("hdl/")
               for name, about in listed.items() if name.endswith(".mem"))  # fmt: skip
    assert core["targets"]["default"]["toplevel"] == json.loads(files["rtl.json"])["top"]
    assert files["design.core"].startswith(b"CAPI=2:\n")


@pytest.mark.parametrize("design", BUILDERS_TAKE, ids=["frames", "planes"])
def test_a_design_says_its_files_to_litex(design: tuple[Program, RtlSettings]) -> None:
    files = TARGET.emit(*design).files
    tree = ast.parse(files["litex_design.py"])
    listed = [
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        for name in ast.literal_eval(node.value)
    ]
    assert {f"hdl/{name}" for name in listed} == hdl_files(files)
    top = json.loads(files["rtl.json"])["top"]
    head = files[f"hdl/{top}.v"].decode().split(");")[0]
    ports = set(re.findall(r"(?:input|output) +wire +(?:\[[^]]*\] +)?(\w+)", head))
    (instance,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Instance"
    )
    assert {str(word.arg)[2:] for word in instance.keywords} == ports


def test_a_design_without_streams_has_no_part_for_litex() -> None:
    bare = TARGET.emit(dense_program(4, 2), RtlSettings(unroll="full", interface="bare"))
    assert "litex_design.py" not in bare.files  # it has no streams
