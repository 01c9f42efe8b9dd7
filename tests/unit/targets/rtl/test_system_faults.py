# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The same faults as in the benches, put into whole designs: the comparison with the interpreter
or the count of cycles notices each. Faults of a board's shell are noticed by `test_board`, those of
blocks for tokens by `test_tokens`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from edgeinfer.base.errors import DisagreementError
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.folding import folding_from_settings
from edgeinfer.targets.rtl.design.netlist import Block
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.straight import build_straight
from quantization.fixed import Ints
from tests.support.random_programs import random_inputs
from tests.support.recurrent_graphs import recurrent_program
from tests.support.rtl_designs import (
    Made,
    assert_agrees,
    assert_cycles,
    make_design,
    needs_verilator,
    random_folds,
)
from tests.support.rtl_faults import FAULTS
from tests.support.rtl_library import Fault
from tests.support.rtl_programs import (
    UNROLLED,
    every_mode,
    merged,
    merged_inputs,
    random_designs,
    small_network,
    unrolled_designs,
)

SEEDS = range(400)
MOST = 200
PARTS = 10  # at most, that have the faulty block in them
INSIDE = {
    "ei_round": "ei_requant", "ei_limit": "ei_requant", "ei_tree": "ei_mac",
    "ei_binary": "ei_pair", "ei_bound": "ei_clip", "ei_tiles": "ei_pool",
}  # fmt: skip
GROUPED = {"ei_mac": ("GROUPS", "ROUNDS"), "ei_window": ("ROUNDS",)}
UNROLLED_ONLY = {"ei_issue", "ei_delay", "ei_branch", "ei_lookup", "ei_truth"}
UNROLLED_MODES = {"SIGNED != 0 && x[BITS-1]"}  # of ei_limit, which elsewhere has signed numbers
UNROLLED_PARTS = 20
UNROLLED_SAMPLES = 60  # a cycle each: more than its queues hold
IN_DESIGNS = [fault for fault in FAULTS if not fault.file.startswith(("shell/", "ei_site"))]
MODE = re.compile(r"(ROUNDING|OVERFLOW) == (\d)")


@cache
def candidates() -> tuple[tuple[int, Program, tuple[Block, ...]], ...]:
    """Random Programs, each by itself, and the blocks of its design."""
    results = []
    for seed, program in random_designs(SEEDS, MOST):
        folded = prepare_program(program)
        folding = folding_from_settings(folded, RtlSettings(folds=random_folds(folded, seed)))
        results.append((seed, program, build_netlist(folded, folding).blocks))
    return tuple(results)


def touched(fault: Fault, blocks: tuple[Block, ...]) -> bool:
    """Whether a design has the block, in the mode in which it is faulty."""
    module = Path(fault.file).stem
    expected = INSIDE.get(module, module)
    mode = MODE.search(fault.right)
    grouped = GROUPED.get(module, ()) if fault.bench == "group_tb" else ()
    for block in blocks:
        if block.module != expected and expected != "ei_fifo":
            continue
        if grouped and all(block.parameters[name] == 1 for name in grouped):
            continue
        if mode is None or block.parameters.get(mode[1]) == int(mode[2]):
            return True
    return False


def unrolled_with(module: str) -> list[tuple[int, Program]]:
    """Programs whose pipeline has a cell in it."""
    results = []
    for seed, program in unrolled_designs(SEEDS, MOST):
        blocks = build_straight(prepare_program(program), UNROLLED)[1].blocks
        if any(module in block.parts for block in blocks):
            results.append((seed, program))
        if len(results) == UNROLLED_PARTS:
            break
    return results


def a_design_with(fault: Fault, folder: Path) -> tuple[Made, dict[str, Ints]]:
    """Some Programs that use the block, side by side; of loops, one."""
    if fault.file == "ei_keep.v":
        design = make_design(recurrent_program("gru", 5, 3, 4, seed=1), RtlSettings(), folder)
        return design, random_inputs(design.program, 0, 4)
    chosen = [(1, small_network(1)), (2, small_network(2)), (3, every_mode())]
    for seed, program, blocks in candidates():
        if touched(fault, blocks):
            chosen.append((seed, program))
        if len(chosen) == PARTS:
            break
    unrolled = Path(fault.file).stem in UNROLLED_ONLY or fault.right in UNROLLED_MODES
    if unrolled:
        chosen = unrolled_with(Path(fault.file).stem)
    program = merged([part for _, part in chosen])
    samples = UNROLLED_SAMPLES if unrolled else 4
    raw = merged_inputs([random_inputs(part, seed, samples) for seed, part in chosen])
    if unrolled:
        return make_design(program, UNROLLED, folder), raw
    settings = RtlSettings(folds=random_folds(program, 5))
    return make_design(program, settings, folder), raw


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("fault", IN_DESIGNS, ids=lambda fault: fault.name)
def test_a_fault_is_noticed_by_a_network(tmp_path: Path, fault: Fault) -> None:
    design, raw = a_design_with(fault, tmp_path)
    fault.put_in(design.folder / HDL)
    with pytest.raises((AssertionError, DisagreementError)):
        assert_cycles(design, assert_agrees(design, raw))
