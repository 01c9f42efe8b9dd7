# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a design for whole planes keeps in block memories, and whether a part has room for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.parts import budget_of, part_of
from edgeinfer.targets.rtl.estimate.fabric import blocks
from edgeinfer.targets.rtl.estimate.work import Memory
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.geometry import MARKS
from edgeinfer.targets.rtl.settings import RtlSettings

CHUNKS = range(14, 9, -1)  # powers of two of words, as block memories of 18 kbit hold of some width
FEWEST_WORDS = 33  # a memory of fewer is made of LUTs


@dataclass(frozen=True, slots=True)
class PlaneMemory:
    """One thing that is kept: so many memories of so many words."""

    what: str
    count: int
    words: int
    bits: int

    @property
    def total_bits(self) -> int:
        """Of all of them."""
        return self.count * self.words * self.bits

    @property
    def blocks(self) -> int:
        """Block memories of 18 kbit that they take."""
        if self.words < FEWEST_WORDS:
            return 0
        return self.count * blocks(Memory(self.words, self.bits))


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What is needed and what there is, in block memories or, where a part has others, in bits."""

    needed: int
    available: int
    unit: str
    whose: str

    @property
    def fits(self) -> bool:
        """Whether there is enough."""
        return self.needed <= self.available


def list_memories(design: PlaneDesign) -> tuple[PlaneMemory, ...]:
    """Everything that is kept, the largest part by part."""
    return tuple(_memories_of(design))


def _memories_of(design: PlaneDesign) -> Iterator[PlaneMemory]:
    geometry, engine = design.geometry, design.engine
    size = geometry.size
    words = geometry.ring_lines * geometry.line_beats
    chunk = 1 << chunk_of(design)
    bits = engine.channels * engine.channel.bits
    whole, rest = divmod(words, chunk)
    yield PlaneMemory("places", whole * size.at_once, chunk, bits)
    if rest:
        yield PlaneMemory("places", size.at_once, rest, bits)
    for stage in design.stages:
        lines = (stage.stage.window[1] - 1) * stage.stage.step[1]
        if lines:
            width = lines * size.at_once * stage.channels * stage.source.bits
            yield PlaneMemory("lines of the windows", 1, geometry.line_beats, width)
    weights = engine.pe * engine.channels * engine.weights.bits
    yield PlaneMemory("weights", 1, design.walked * engine.passes, weights)
    for layer in layers_of(design.rest):
        fold = design.folding.folds[layer.op]
        vectors = layer.inputs * layer.outputs // (fold.pe * fold.simd)
        yield PlaneMemory("weights", 1, vectors, fold.pe * fold.simd * layer.weight_type.bits)
    yield PlaneMemory("hits that wait", 1, geometry.lines_ahead * geometry.mark_words, MARKS)


def chunk_of(design: PlaneDesign) -> int:
    """Words of one memory of places, as a power of two: in the fewest blocks, then the fewest."""
    words = design.geometry.ring_lines * design.geometry.line_beats
    bits = design.engine.channels * design.engine.channel.bits

    def blocks_with(chunk: int) -> int:
        whole, rest = divmod(words, 1 << chunk)
        last = blocks(Memory(rest, bits)) if rest else 0
        return whole * blocks(Memory(1 << chunk, bits)) + last

    return min(CHUNKS, key=blocks_with)  # of equals the first: the largest


def memory_need(
    design: PlaneDesign, settings: RtlSettings, beside: tuple[PlaneMemory, ...] = ()
) -> MemoryNeed | None:
    """Whether a design's memories, and those `beside` it, fit the budget or the part; None where
    nothing limits them."""
    kept = (*list_memories(design), *beside)
    bits = sum(each.total_bits for each in kept)
    part = part_of(settings)
    if settings.budget.memory_bits is not None:
        return MemoryNeed(bits, settings.budget.memory_bits, "bits", "the budget has")
    available = part.offers("bram18")
    if available is not None:
        needed = sum(each.blocks for each in kept)
        return MemoryNeed(needed, available, "block memories of 18 kbit", f"{part.name} has")
    whole = budget_of(settings).memory_bits
    return None if whole is None else MemoryNeed(bits, whole, "bits", f"{part.name} has")
