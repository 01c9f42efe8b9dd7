# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The two hit taggers as Programs with random weights, and the same networks as float Graphs.

Patches of 48 x 48 pixels on `ufixed<8,0>`, weights of 6 bits, activations of 8 bits; two heads of
raw scores. The faithful one keeps every position of 48 filters (11.9 M weights), the pooled one has
8 filters and takes the maximum of 4 x 4 positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Conv, Dense, Input, Pool, PoolKind, Reshape, pack_weights
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding, dequantize

SIDE = 48
KERNEL = 5
INPUT = Fixed(False, 8, 0)
WEIGHT = Fixed(True, 6, 1)
BIAS = Fixed(True, 8, 1)
HEADS = {"track_shower": 3, "michel": 1}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What tells the two networks apart."""

    name: str
    filters: int
    pool: int  # side of the pooling window; 1: no pooling
    widths: tuple[int, ...]  # of the hidden dense layers


POOLED = Architecture("pooled", 8, 4, (32, 16))
FAITHFUL = Architecture("faithful", 48, 1, (128, 32))


@dataclass(slots=True)
class HitTagger:
    """One network in its two forms."""

    program: Program
    graph: g.Graph


def hit_tagger(architecture: Architecture, seed: int = 0) -> HitTagger:
    """The network with weights drawn evenly from all that their type holds on both sides."""
    draw = _Draw(np.random.default_rng(seed), ProgramBuilder(architecture.name), [])
    draw.builder.add(Input("patch", INPUT, (SIDE, SIDE, 1)))
    draw.nodes.append(g.InputNode("patch", (SIDE, SIDE, 1)))
    draw.conv("conv", "patch", architecture.filters)
    x, width = draw.relu("conv_relu", "conv"), SIDE - KERNEL + 1
    if architecture.pool > 1:
        x, width = draw.pool("pool", x, architecture.pool), width // architecture.pool
    x = draw.flat("flat", x, width * width * architecture.filters)
    for i, size in enumerate(architecture.widths):
        draw.dense(f"dense{i}", x, size)
        x = draw.relu(f"dense{i}_relu", f"dense{i}")
    for name, size in HEADS.items():
        draw.dense(name, x, size)
    outputs = tuple(Output(name, name) for name in HEADS)
    graph = g.Graph(architecture.name, tuple(draw.nodes), tuple(HEADS))
    return HitTagger(draw.builder.program(outputs), graph)


def patches(samples: int, seed: int = 0) -> Ints:
    """Raw patches: mostly empty, with some bright pixels, as a detector sees them."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, INPUT.raw_max, (samples, SIDE, SIDE, 1), endpoint=True)
    return np.where(rng.random(raw.shape) < 0.3, raw, 0)


@dataclass(slots=True)
class _Draw:
    rng: np.random.Generator
    builder: ProgramBuilder
    nodes: list[g.Node]

    def _weights(self, shape: tuple[int, ...], type_: Fixed) -> tuple[Ints, NDArray[np.float64]]:
        raw = self.rng.integers(-type_.raw_max, type_.raw_max, shape, endpoint=True)
        return raw, dequantize(raw, type_)

    def _bias(self, x: str, size: int) -> tuple[Ints, NDArray[np.float64], int]:
        raw, value = self._weights((size,), BIAS)
        frac = max(self.builder.frac(x) + WEIGHT.frac, BIAS.frac)
        return raw << (frac - BIAS.frac), value, frac

    def conv(self, name: str, x: str, filters: int) -> None:
        kernel, kernel_value = self._weights((KERNEL, KERNEL, 1, filters), WEIGHT)
        bias, bias_value, frac = self._bias(x, filters)
        plain: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
        self.builder.exact(
            Conv(
                name, provisional(frac), x, pack_weights(kernel), WEIGHT, pack_weights(bias),
                (1, 1), plain, (1, 1),
            )
        )  # fmt: skip
        self.nodes.append(
            g.ConvNode(name, name, x, kernel_value, bias_value, (1, 1), plain, (1, 1))
        )

    def dense(self, name: str, x: str, size: int) -> None:
        inputs = self.builder.shapes[x][0]
        kernel, kernel_value = self._weights((inputs, size), WEIGHT)
        bias, bias_value, frac = self._bias(x, size)
        self.builder.exact(
            Dense(name, provisional(frac), x, pack_weights(kernel), WEIGHT, pack_weights(bias))
        )
        self.nodes.append(g.DenseNode(name, name, x, kernel_value, bias_value))

    def relu(self, name: str, x: str) -> str:
        """ReLU brought to 8 bits that reach as far as x does on a few patches."""
        seen = interpret(self.builder.program((Output(x, x),)), {"patch": patches(4)})[x]
        integer = max(int(seen.max()), 1).bit_length() - self.builder.frac(x)
        self.nodes.append(g.ActivationNode(name, x, g.Function.RELU))
        quantizer = Quantizer(Fixed(False, 8, integer), Rounding.RND_CONV, Overflow.SAT)
        return self.builder.requant(name, x, quantizer)

    def pool(self, name: str, x: str, side: int) -> str:
        window, none = (side, side), ((0, 0), (0, 0))
        self.nodes.append(g.PoolNode(name, x, g.PoolNodeKind.MAX, window, window, none))
        type_ = self.builder.types[x]
        return self.builder.add(Pool(name, type_, x, PoolKind.MAX, window, window, none))

    def flat(self, name: str, x: str, size: int) -> str:
        self.nodes.append(g.ReshapeNode(name, x, (size,)))
        return self.builder.add(Reshape(name, self.builder.types[x], x, (size,)))
