# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design for whole planes: circuits for every pixel, an engine for the hits, blocks behind it.

The first dense layer meets only the places of a patch that differ from a place without charge. What
a patch without charge yields is where its sums begin, so the result is the same integer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.event.prefix import Cut, FirstLayer
from edgeinfer.ir.ops import Input
from edgeinfer.ir.program import Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.folding import Folding, keeping_up
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.queues import with_queues
from edgeinfer.targets.rtl.plane.geometry import (
    MOST_SPARE_LINES,
    PlaneGeometry,
    PlaneSize,
    lay_plane,
)
from edgeinfer.targets.rtl.plane.stages import StageCircuit, build_stages, empty_place
from edgeinfer.targets.rtl.settings import RtlSettings
from quantization.fixed import Fixed, Ints, fixed_of_range


@dataclass(frozen=True, slots=True)
class HitEngine:
    """The first dense layer: `pe` outputs of all channels of a place in a cycle."""

    first: FirstLayer
    pe: int
    channel: Fixed
    empty: Ints  # channels of a place without charge
    starts: Ints  # sums of a patch without charge, with the bias
    weights: Fixed  # the narrowest type of all weights, as integers
    sums: Fixed
    dsp_lanes: int  # of the `pe`, that multiply by DSP blocks; the others do by adders

    @property
    def channels(self) -> int:
        """Of a place."""
        return int(self.first.weights.shape[1])

    @property
    def outputs(self) -> int:
        """Of the layer."""
        return int(self.first.weights.shape[2])

    @property
    def passes(self) -> int:
        """Cycles that a place takes."""
        return self.outputs // self.pe

    @property
    def differs_signed(self) -> bool:
        """Whether what is multiplied has a sign."""
        return self.channel.signed or bool(self.empty.any())

    @property
    def difference_bits(self) -> int:
        """Of a channel, less that of a place without charge."""
        return self.channel.bits + int(bool(self.empty.any()))

    @property
    def multipliers(self) -> int:
        """That the layer has."""
        return self.pe * self.channels


@dataclass(frozen=True, slots=True)
class PlaneDesign:
    """Everything that the files of a design follow from."""

    cut: Cut
    geometry: PlaneGeometry
    stages: tuple[StageCircuit, ...]
    engine: HitEngine
    rest: Program  # behind the first dense layer
    folding: Folding  # of the rest
    netlist: Netlist  # of the rest
    threshold: int | None

    @property
    def name(self) -> str:
        """As its modules begin."""
        return self.netlist.name.removesuffix("_tail")

    @property
    def pixel(self) -> Fixed:
        """What a pixel is."""
        return self.cut.program.inputs[0].type

    @property
    def multipliers(self) -> int:
        """In the whole design; the shared part has none."""
        return self.engine.multipliers + self.folding.multipliers()

    @property
    def walked(self) -> int:
        """Places of a patch."""
        return len(self.engine.first.weights)

    @property
    def hit_cycles(self) -> int:
        """Cycles of a hit with charge at all its places, without those in which it begins."""
        return self.walked * self.engine.passes


def build_plane_design(cut: Cut, size: PlaneSize, pe: int, settings: RtlSettings) -> PlaneDesign:
    """The design that computes `pe` outputs of the first dense layer at once."""
    assert cut.first is not None  # the offences say so
    stages = build_stages(cut)
    channel = stages[-1].result if stages else cut.program.inputs[0].type
    rest = rest_of(cut)
    folding = fold_rest(rest, pe, len(cut.first.weights), settings)
    netlist, _ = with_queues(build_netlist(rest, folding))
    engine = _engine(cut, cut.first, pe, channel, empty_place(cut, stages))
    geometry = lay_plane(cut, size, MOST_SPARE_LINES)
    return PlaneDesign(
        cut, geometry, stages, engine, rest, folding, netlist, settings.hit_threshold
    )


def rest_of(cut: Cut) -> Program:
    """What follows the first dense layer, without limits that never bite where widths are proved
    without them, too."""
    tail = cut.tail
    (source,) = tail.inputs
    value = source.name.removesuffix(" as given")
    names = [op.name for op in tail.ops]
    after = tail.ops[names.index(value) + 1 :]
    try:
        plain = replace(tail, ops=(Input(value, source.type, source.shape), *after))
        verify(plain)
    except ProgramError:
        plain = tail
    return prepare_program(plain)


def fold_rest(rest: Program, pe: int, cycles: int, settings: RtlSettings) -> Folding:
    """The fewest multipliers that finish a hit in so many cycles; numbers come `pe` at a time."""
    lanes = ((rest.inputs[0].name, pe),)
    return keeping_up(rest, cycles, replace(settings, lanes=lanes))


def _engine(cut: Cut, first: FirstLayer, pe: int, channel: Fixed, empty: Ints) -> HitEngine:
    weights = first.weights.astype(np.int64)
    outputs = weights.shape[2]
    alone = np.einsum("c,pco->o", empty, weights) << first.shift
    starts: Ints = alone + np.broadcast_to(first.bias, (outputs,))
    type_ = fixed_of_range(int(weights.min()), int(weights.max()), 0)
    return HitEngine(first, pe, channel, empty, starts, type_, cut.tail.inputs[0].type, pe)
