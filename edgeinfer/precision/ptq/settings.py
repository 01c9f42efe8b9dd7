# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What post-training quantization is asked for, and what it hands back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np

from edgeinfer.base.errors import UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.precision.modes import OverflowName, RoundingName, read_modes
from edgeinfer.precision.ptq.network import CutNetwork
from quantization.calibrate import Method, integer_bits
from quantization.fixed import Overflow, Quantizer, Rounding
from quantization.recipe import Recipe

TABLE_INDEX_EXTRA_BITS = 4  # a table's index is finer than its output, for slopes are at most 1
MOST_BITS = 24
WRAP_MARGIN = 1.25  # by how much values may exceed those seen before they wrap around


@dataclass(frozen=True, slots=True)
class PtqSettings:
    """Widths, how ranges are drawn, and what may be done to the weights.

    With `refine`, a format is placed where the network's outputs change least. Without, `method`
    places those of tensors, which new samples may exceed, and `kernel_method` those of kernels,
    which are known: a few large weights need not decide how finely all others are rounded.
    With `adapt`, the weights are fitted to the formats; with `equalize`, channels may be rescaled.
    Without both the recipe alone says it all: the weights are the author's, rounded.
    """

    bits: int
    method: Method = Method.MINMAX
    kernel_method: Method = Method.MSE
    percentile: float = 99.9
    per_channel: bool = False
    input_bits: int | None = None  # as `bits` where None
    refine: bool = True
    adapt: bool = True
    equalize: bool = True
    bits_of: tuple[tuple[str, int], ...] = ()  # by patterns of names; the first that matches counts
    rounding: Rounding | None = None  # of activations; None: ties to even, or as a target has it
    overflow: Overflow = Overflow.SAT  # of activations

    def __post_init__(self) -> None:
        for width in (self.bits, self.input_bits or self.bits, *(bits for _, bits in self.bits_of)):
            if not 2 <= width <= MOST_BITS:
                raise UsageError(f"{width} bits cannot be asked for; choose 2 to {MOST_BITS}.")

    def width_of(self, name: str) -> int:
        """The width of a tensor, or of a layer's kernel. A pattern is one of a shell, or several
        with | between them."""
        for pattern, bits in self.bits_of:
            if matches_name(name, pattern):
                return bits
        return self.bits

    def with_modes(self, rounding: RoundingName | None, overflow: OverflowName) -> PtqSettings:
        """The same, with activations that round and overflow so."""
        named_rounding, named_overflow = read_modes(rounding, overflow)
        return replace(self, rounding=named_rounding, overflow=named_overflow)

    @property
    def in_qkeras(self) -> bool:
        """Whether QKeras has activations that round and overflow so."""
        return self.rounding in (None, Rounding.RND_CONV) and self.overflow is Overflow.SAT

    def in_modes(self, quantizer: Quantizer, least: float, most: float) -> Quantizer:
        """An activation's format that rounds and overflows as asked. One that wraps holds all
        values that were seen, from the least to the most, with a margin."""
        type_ = quantizer.type
        if self.overflow is Overflow.WRAP:
            ends = np.array([least, most]) * WRAP_MARGIN
            integer = integer_bits(ends, type_.bits, type_.signed)
            type_ = replace(type_, integer=max(type_.integer, integer))
        return Quantizer(type_, self.rounding or quantizer.rounding, self.overflow)


def matches_name(name: str, pattern: str) -> bool:
    """Whether a pattern, or one of several with | between them, is that of a name."""
    return any(fnmatchcase(name, each.strip()) for each in pattern.split("|"))


@dataclass(frozen=True, slots=True)
class QuantizedGraph:
    """What quantization chose. The recipe belongs to `graph`: batch norms are folded, kernels lie
    on their grids, biases are corrected, and channels may be rescaled. Formats that come from one
    pass were not judged: they have no error."""

    graph: g.Graph
    recipe: Recipe
    findings: tuple[str, ...]
    exact: g.Graph  # the same with float weights, which the recipe fits as well
    error: float = math.nan  # of the outputs of held-out samples, in units of their spread, squared


def bits_of_layers(network: CutNetwork, settings: PtqSettings) -> dict[str, int]:
    """The width of each layer's kernel."""
    return {
        node.layer: settings.width_of(node.layer) for part in network.parts for node in part.layers
    }


def bits_of_tensor(network: CutNetwork, name: str, settings: PtqSettings) -> int:
    """The width of a tensor, which may be an input."""
    bits = settings.width_of(name)
    return settings.input_bits or bits if name in network.inputs else bits
