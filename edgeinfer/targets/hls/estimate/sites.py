# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Blocks for sites as `nnet_sites.h` lays them out. No published design has been compared with
these, so that what is estimated of a design with one has a band of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from edgeinfer.ir.ops import Sites
from edgeinfer.targets.hls.estimate.elementwise import ROM_LUT_BITS, passing_stage
from edgeinfer.targets.hls.estimate.fabric import (
    MULTIPLEXER_LUT,
    adder_luts,
    compare_luts,
    memory_brams,
)
from edgeinfer.targets.hls.estimate.stage import Arrangement, HardwareStage, Value
from edgeinfer.targets.hls.sparse import ops as s

FIRST, SITES = "first", "sites"  # the kinds of these stages
ENTERED = 3  # cycles to begin and to end an inner loop
ADDRESS_LUTS = 60  # of counters, of a pixel's address and of the comparisons with the borders


def first_stage(
    a: Arrangement, op: Sites, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A comparison for each channel, and a count of the pixels so far: in arrays, a chain of as
    many additions as there are pixels. With a limit, the same again for what it leaves out."""
    f, at_once = a.fabric, 1 if a.streamed else x.positions
    most = min(op.most or x.positions, x.positions)
    counts = [most, x.positions] if most < x.positions else [most]
    each = 0.0
    for counted in (count.bit_length() for count in counts):
        each += x.channels * compare_luts(f, x.bits)
        each += adder_luts(f, counted) + compare_luts(f, counted)
    cuts = 1 if a.streamed else math.ceil(x.positions * f.add_ns / f.usable_ns)
    kind = FIRST if a.streamed else SITES
    return passing_stage(a, op.name, kind, reads, x, out, lut=at_once * each, cuts=cuts)


def token_stage(
    a: Arrangement, op: s.SiteStep, xs: Sequence[Value], out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A block that reads tokens or makes them. First it reads all that its windows may see, then it
    makes a word at a time, then it clears its map: as many cycles as for a frame that has the most
    sites."""
    x, word_cycles = xs[0], 1
    memory: s.SiteExtent | None = None
    match op:
        case s.ListCopy():
            return passing_stage(a, op.name, SITES, reads, x, out)
        case s.PlaceList():
            loading, brams, lut = x.positions, 0.0, 0.0
        case s.CoarserList():
            loading = x.positions * (math.prod(op.taps.overlapping) + ENTERED)
            brams, lut = _store(op.coarse.height * op.coarse.width, 1)
        case s.FrameWindows():
            loading, word_cycles = x.positions, op.taps.count + ENTERED
            brams, lut = _store(x.positions, x.channels * x.bits)
        case s.TokenPool():
            memory = op.others_extent
            loading = out.positions + x.positions * (math.prod(op.taps.overlapping) + ENTERED)
            brams, lut = _store(out.positions, out.channels * out.bits)
        case s.TokenWindows():
            memory, loading, word_cycles = op.extent, x.positions, op.taps.count + ENTERED
            brams, lut = _store(x.positions, x.channels * x.bits)
        case s.FinerTokens() | s.TokenFrame():
            memory, loading = op.extent, x.positions
            brams, lut = _store(x.positions, x.channels * x.bits)
        case _:
            assert_never(op)
    if memory is not None:
        more = _store(memory.height * memory.width, memory.row_type.bits)
        places = _store(memory.sites, 2 * memory.place_type.bits)
        brams, lut = brams + more[0] + places[0], lut + more[1] + places[1]
    making, clearing = out.positions * word_cycles, memory.sites if memory is not None else 0
    lut += ADDRESS_LUTS + out.channels * out.bits  # each bit of a word is set in its turn
    if not a.streamed:  # arrays in registers
        lut += MULTIPLEXER_LUT * (sum(value.all_bits for value in xs) + out.all_bits)
    turns = loading + making + clearing
    if isinstance(op, s.FrameWindows):  # it reads its frame while the list is made
        loading = 0
    return HardwareStage(
        op.name, SITES, reads, out,
        lut=lut + a.ports_luts(*xs, out),
        ff=out.channels * out.bits + a.output_ff(out),
        bram18=brams,
        busy_cycles=loading + making + clearing,
        fill_cycles=loading + word_cycles,
        drain_cycles=making,
        turns=turns,
        looped=True,
    )  # fmt: skip


def _store(depth: int, bits: int) -> tuple[float, float]:
    """Block RAMs and LUTs of a memory; a small one stays in LUTs."""
    if depth * bits <= ROM_LUT_BITS:
        return 0.0, float(bits * math.ceil(depth / 64))
    return float(memory_brams(depth, bits)), 0.0
