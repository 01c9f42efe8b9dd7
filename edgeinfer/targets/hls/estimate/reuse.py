# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reuse factors: how many multiplications share a multiplier, and which values hls4ml takes.

hls4ml moves a reuse factor that it does not take to the nearest that it does, and says so only in
a line of its log. Here the legal values are known beforehand.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.settings import Backend, HlsSettings, Strategy

ALWAYS_FOLDED = frozenset({Backend.QUARTUS, Backend.ONEAPI})  # have no latency strategy


@dataclass(frozen=True, slots=True)
class LegalFactors:
    """The reuse factors that a layer may have; in a row where `values` is a range."""

    values: tuple[int, ...] | range

    def __contains__(self, factor: int) -> bool:
        return factor in self.values

    @property
    def most(self) -> int:
        """The largest."""
        return self.values[-1]

    def nearest(self, factor: int) -> int:
        """The value that hls4ml would take: the nearest, of two equally near the smaller."""
        at = bisect.bisect_left(self.values, factor)
        if at == 0:
            return self.values[0]
        if at == len(self.values):
            return self.values[-1]
        before, after = self.values[at - 1], self.values[at]
        return after if after - factor < factor - before else before


def multiplication_size(op: Conv | Dense) -> tuple[int, int]:
    """Inputs and outputs of the matrix that a layer multiplies by, as hls4ml counts them: with the
    zeros that stand for groups and in the gaps of a dilation."""
    outputs = op.weight.shape[-1]
    match op:
        case Dense():
            return op.weight.shape[0], outputs
        case Conv():
            window = op.reach
            return math.prod(window) * op.weight.shape[-2] * op.groups, outputs


def divisors(number: int) -> list[int]:
    """All of them, in order."""
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def folded_factors(inputs: int, outputs: int) -> tuple[int, ...]:
    """What hls4ml takes for a matrix in its resource strategy: a part of the inputs of one output
    at a time (divisors of the inputs), or all inputs of several outputs in turn."""
    parts = set(divisors(inputs))
    return tuple(sorted(parts | {inputs * d for d in divisors(outputs)}))


def effective_strategy(op: str, settings: HlsSettings) -> Strategy:
    """The strategy that the backend really gives a layer."""
    if settings.backend in ALWAYS_FOLDED:
        return Strategy.RESOURCE
    return settings.strategy_for(op)


def legal(op: Conv | Dense, settings: HlsSettings) -> LegalFactors:
    """The reuse factors that a layer may have with its strategy and backend.

    Where all multiplications are laid out (the latency strategy) any factor goes; distributed
    arithmetic has no multipliers to share.
    """
    inputs, outputs = multiplication_size(op)
    match effective_strategy(op.name, settings):
        case Strategy.LATENCY:
            return LegalFactors(range(1, inputs * outputs + 1))
        case Strategy.DISTRIBUTED:
            return LegalFactors((1,))
        case Strategy.RESOURCE:
            return LegalFactors(folded_factors(inputs, outputs))


def positions_at_once(op: str, positions: int, settings: HlsSettings) -> int:
    """How many positions a convolution treats at once where all elements are at hand: hls4ml's
    parallelization factor, which divides their number."""
    asked = dict(settings.at_once_of).get(op, 1)
    return LegalFactors(tuple(divisors(max(positions, 1)))).nearest(asked)


def layers_with_multipliers(program: Program) -> tuple[Conv | Dense, ...]:
    """The ops that have a reuse factor, those in bodies of recurrences too."""
    return tuple(op for op in program.all_ops() if isinstance(op, Conv | Dense))


def reuse_of(op: Conv | Dense, settings: HlsSettings) -> int:
    """The reuse factor that the layer's hardware will have."""
    return legal(op, settings).nearest(settings.reuse_for(op.name))
