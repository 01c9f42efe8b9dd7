# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A stage of a design: the hardware of one layer, and when it yields what."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgeinfer.ir.ops import Shape
from edgeinfer.targets.hls.estimate.fabric import HlsFabric, HlsTool
from edgeinfer.targets.hls.settings import Arithmetic, IoType

HLS4ML_TABLE = 1024
HLS4ML_SUM_BITS = 16
PORT_LUTS = 9  # of a stream's handshake, one for each channel in Vivado HLS


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor on its way: one position after the other, all channels of one at once."""

    positions: int
    channels: int
    bits: int

    @property
    def elements(self) -> int:
        """All of them."""
        return self.positions * self.channels

    @property
    def all_bits(self) -> int:
        """Bits of the whole tensor."""
        return self.elements * self.bits


def value_of(shape: Shape, bits: int) -> Value:
    """A tensor as its shape lays it out."""
    return Value(math.prod(shape[:-1]), shape[-1] if shape else 1, bits)


@dataclass(frozen=True, slots=True)
class GateCost:
    """What logic synthesis leaves of a stage, where that is known apart from C synthesis."""

    dsp: float
    lut: float
    ff: float


@dataclass(frozen=True, slots=True)
class HardwareStage:
    """One layer's hardware. `name` is that of the op it comes from."""

    name: str
    kind: str  # the op's kind, in lower case
    reads: tuple[str, ...]  # stages before it
    out: Value
    dsp: float = 0.0
    lut: float = 0.0
    ff: float = 0.0
    bram18: float = 0.0
    cuts: int = 0  # clock edges between input and output, where layers share one pipeline
    busy_cycles: int = 1  # for one sample, where each layer runs on its own
    fill_cycles: int = 1  # from the first input to the first output
    drain_cycles: int = 1  # from the last input to the last output
    reuse: int = 1
    turns: int = 1  # cycles between two samples, where those that it is busy do not tell
    looped: bool = False  # takes several cycles a sample even where all elements are at hand
    after: GateCost | None = None

    def plus(
        self, *, dsp: float = 0.0, lut: float = 0.0, ff: float = 0.0, bram: float = 0.0
    ) -> HardwareStage:
        """The stage with more hardware."""
        return replace(
            self,
            dsp=self.dsp + dsp,
            lut=self.lut + lut,
            ff=self.ff + ff,
            bram18=self.bram18 + bram,
        )


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What all stages of a design have in common."""

    fabric: HlsFabric
    io: IoType
    arithmetic: Arithmetic = Arithmetic.EXACT

    def entries(self, proved: int) -> int:
        """Entries of a table."""
        return proved if self.arithmetic is Arithmetic.EXACT else min(proved, HLS4ML_TABLE)

    @property
    def streamed(self) -> bool:
        """Whether positions come one after the other."""
        return self.io is IoType.STREAM

    def copies(self, value: Value) -> int:
        """How many elements are worked on at once."""
        return value.channels if self.streamed else value.elements

    def ports_luts(self, *values: Value) -> float:
        """Handshakes of the streams that a stage reads and writes."""
        if not self.streamed or self.fabric.tool is HlsTool.VITIS:
            return 0.0
        return float(sum(PORT_LUTS * value.channels for value in values))

    def output_ff(self, out: Value) -> float:
        """Registers at a stage's output stream."""
        if not self.streamed or self.fabric.tool is HlsTool.VIVADO:
            return 0.0
        return float(out.channels * out.bits)

    def passing(self, positions: int, cuts: int) -> tuple[int, int, int]:
        """Busy, fill and drain cycles of a stage that treats each position alike."""
        if positions > 1:
            return positions + 2 + cuts, 2 + cuts, 2 + cuts
        once = max(1 + cuts, 1)
        return once, once, once
