# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a design's cycles follow the sites of a frame, and what of them it counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeinfer.base.metrics import Metric, Origin, StatedOrigin
from edgeinfer.base.site_figures import BOUND, SEEN, frames_of
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.cycles import lone_latency
from edgeinfer.targets.rtl.design.folding import Folding
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.sparse.fewer import FRONT, check_fewer_sites, owned_steps
from edgeinfer.targets.rtl.sparse.ops import SiteFront
from edgeinfer.targets.rtl.sparse.rewrite import LIT, in_fewer_tokens, in_tokens
from edgeinfer.targets.rtl.tools.simulate import IDEAL, run
from quantization.fixed import Ints

TARGET = "rtl"
POINTS = 6  # numbers of sites that are looked at
MOST_CYCLES = 1_000_000  # of a frame that is simulated
SEED = 25


def bounds_by_sites(program: Program, folding: Folding, netlist: Netlist) -> tuple[Metric, ...]:
    """Cycles that a frame of so many sites takes at most, wherever they lie. That fewer sites, or
    fewer coarser ones, make no frame later is checked for this design."""
    metrics = []
    steps = owned_steps(netlist)
    for count in numbers_of_sites(program):
        blocks = build_netlist(in_fewer_tokens(program, count).program, folding)
        fewer = replace(blocks, depths=netlist.depths)
        check_fewer_sites(netlist, steps, fewer)
        metrics.append(_metric(BOUND, lone_latency(fewer), count, Origin.PROVED, "at most"))
    return tuple(metrics)


def simulate_by_sites(
    program: Program, netlist: Netlist, folder: Path, latency_cycles: int
) -> tuple[Metric, ...]:
    """Cycles of one frame each, whose sites were drawn, in the simulated design; but for frames of
    so many sites that they would take too long."""
    metrics, counts = [], numbers_of_sites(program)
    for count in counts:
        if latency_cycles * count > MOST_CYCLES * counts[-1]:
            break
        raw = draw_frame(program, count)
        trace = run(netlist, program, folder, raw, IDEAL, expected_cycles=latency_cycles)
        note = "one frame, its sites drawn at random"
        metrics.append(_metric(SEEN, trace.latency(), count, Origin.SIMULATED, note))
    return tuple(metrics)


def _metric(name: str, cycles: int, count: int, origin: StatedOrigin, note: str) -> Metric:
    layer = frames_of(count)
    return Metric(name, cycles, "cycles", origin, target=TARGET, layer=layer, note=note)


def numbers_of_sites(program: Program) -> list[int]:
    """Numbers of sites from one to the most, each as many times the one before it: few pixels of an
    image are lit."""
    most = max(front.grid_of.sites for front in _fronts(program))
    return sorted({round(count) for count in np.geomspace(1, most, POINTS)})


def _fronts(program: Program) -> Iterator[SiteFront]:
    ops: tuple[object, ...] = in_tokens(program).program.ops
    return (op for op in ops if isinstance(op, SiteFront))


def draw_frame(program: Program, count: int) -> dict[str, Ints]:
    """A frame with so many pixels at the top of their type, and zeros."""
    rng = np.random.default_rng(SEED)
    inputs: dict[str, Ints] = {}
    for op in program.inputs:
        raw = np.zeros((1, *op.shape), np.int64)
        pixels = raw.reshape(-1, op.shape[-1])
        pixels[rng.permutation(len(pixels))[:count]] = op.type.raw_max
        inputs[op.name] = raw
    return inputs


def counted_sites(netlist: Netlist) -> dict[str, str]:
    """The masks whose left-out pixels a design counts, by the counter's port."""
    return {
        block.counter: block.op.removesuffix(LIT if block.module == FRONT else "")
        for block in netlist.blocks
        if block.counter
    }
