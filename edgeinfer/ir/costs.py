# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a Program costs, counted from its integers: bits of weights, and bit operations.

EBOPs (effective bit operations) are the sum, over all multiplications for one sample, of the width
of the one factor times the width of the other:

- a tensor's width is that of its type in the Program;
- a weight's width is that of the narrowest type that holds all weights of its output channel on the
  channel's own grid (the zeros at the end that all of them share do not count);
- a multiplication by a weight that is zero is none: pruned weights, and weights that a narrow
  format rounds to zero, are free. `ebops_dense` counts them at their channel's width;
- windows over the padding count like any other, as they do in `Program.macs`;
- products of two tensors count width times width for each element; additions, comparisons and
  tables count nothing.

Weight bits are what a memory holds: every weight at its channel's width, zeros included, and every
bias (and other constant) at the width that holds the whole of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.program import Program, body_of
from quantization.fixed import Ints, fixed_of_range

Estimate = Callable[[Program], Mapping[str, float]]  # a target's own figures by name


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One op's share. Counts are for one sample."""

    name: str
    macs: int
    nonzero_macs: int  # multiplications by weights that are not zero
    ebops: int
    ebops_dense: int
    weights: int
    weight_bits: int


@dataclass(frozen=True, slots=True)
class Costs:
    """A Program's costs, and how they are shared out among its ops."""

    layers: tuple[LayerCost, ...]
    estimates: Mapping[str, float]

    @property
    def ebops(self) -> int:
        """Sum of products of widths over all multiplications by weights other than zero."""
        return sum(layer.ebops for layer in self.layers)

    @property
    def ebops_dense(self) -> int:
        """The same with every weight counted."""
        return sum(layer.ebops_dense for layer in self.layers)

    @property
    def weight_bits(self) -> int:
        """Bits that hold all weights and biases."""
        return sum(layer.weight_bits for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, as `Program.macs` counts them, and products of tensors."""
        return sum(layer.macs for layer in self.layers)

    @property
    def nonzero_macs(self) -> int:
        """Multiply-accumulates whose weight is not zero."""
        return sum(layer.nonzero_macs for layer in self.layers)

    def figures(self) -> dict[str, float]:
        """Everything that a search may weigh, by name."""
        own = {
            "ebops": float(self.ebops),
            "ebops_dense": float(self.ebops_dense),
            "weight_bits": float(self.weight_bits),
        }
        return own | dict(self.estimates)

    def metrics(self) -> list[Metric]:
        """The figures as a report shows them. They are counted, not estimated."""
        return [
            Metric("ebops", self.ebops, "bit^2", Origin.PROVED),
            Metric("ebops_dense", self.ebops_dense, "bit^2", Origin.PROVED),
            Metric("weight_bits", self.weight_bits, "bit", Origin.PROVED),
            Metric("nonzero_macs", self.nonzero_macs, "", Origin.PROVED),
        ]


def costs_of(program: Program, estimate: Estimate | None = None) -> Costs:
    """Count a Program's costs; `estimate` adds a target's own figures."""
    layers = tuple(cost for op in program.ops if (cost := cost_of(op, program)) is not None)
    return Costs(layers, dict(estimate(program)) if estimate else {})


def cost_of(op: ops.Op, program: Program) -> LayerCost | None:
    """One op's costs; None where it neither multiplies nor holds weights."""
    shapes = program.shapes
    match op:
        case Accumulates():
            positions = math.prod(shapes[op.name][:-1])
            width = program.type(op.x).bits
            bias = op.bias if np.any(op.bias) else None
            return _linear(op.name, op.weight, bias, positions, width)
        case ops.Scale():
            return _elementwise(
                op.name, op.factor, op.bias, shapes[op.name], program.type(op.x).bits
            )
        case ops.PRelu():
            width = program.type(op.x).bits
            return _elementwise(op.name, op.slope, None, shapes[op.name], width)
        case ops.Pair(kind=ops.PairKind.MUL):
            count = math.prod(shapes[op.name])
            product = count * program.type(op.a).bits * program.type(op.b).bits
            return LayerCost(op.name, count, count, product, product, 0, 0)
        case ops.Constant():
            return LayerCost(op.name, 0, 0, 0, 0, op.value.size, op.value.size * width_of(op.value))
        case ops.Scan():
            return _cost_of_steps(op, shapes[op.xs[0]][0])
        case (
            ops.Input()
            | ops.Requant()
            | ops.Clip()
            | ops.Table()
            | ops.Softmax()
            | ops.Pool()
            | ops.Sites()
        ):
            return None
        case ops.Pair() | ops.Concat() | ops.Moves():
            return None
        case _:
            assert_never(op)


def _cost_of_steps(op: ops.Scan, steps: int) -> LayerCost:
    """A body's work in every step, and its weights once."""
    once = costs_of(body_of(op))
    return LayerCost(
        op.name,
        steps * once.macs,
        steps * once.nonzero_macs,
        steps * once.ebops,
        steps * once.ebops_dense,
        sum(layer.weights for layer in once.layers),
        once.weight_bits,
    )


def width_of(raw: ops.Weights | Ints) -> int:
    """Bits of the narrowest type that holds all of these integers on a grid of their own, which is
    as coarse as they allow; 0 where all are zero."""
    wide = np.asarray(raw, dtype=np.int64)
    used = int(np.bitwise_or.reduce(np.abs(wide), axis=None)) if wide.size else 0
    if not used:
        return 0
    idle = (used & -used).bit_length() - 1
    return fixed_of_range(min(int(wide.min()), 0) >> idle, max(int(wide.max()), 0) >> idle, 0).bits


def channel_widths(weight: ops.Weights) -> Ints:
    """`width_of` for each slice along the last axis."""
    columns = weight.reshape(-1, weight.shape[-1])
    return np.array([width_of(columns[:, c]) for c in range(columns.shape[1])], dtype=np.int64)


def _linear(
    name: str, weight: ops.Weights, bias: ops.Weights | None, positions: int, width: int
) -> LayerCost:
    widths = channel_widths(weight)
    size = weight.size // weight.shape[-1]
    nonzero = np.count_nonzero(weight.reshape(size, -1), axis=0)
    return LayerCost(
        name,
        positions * weight.size,
        positions * int(nonzero.sum()),
        positions * width * int(nonzero @ widths),
        positions * width * size * int(widths.sum()),
        weight.size + (bias.size if bias is not None else 0),
        size * int(widths.sum()) + (bias.size * width_of(bias) if bias is not None else 0),
    )


def _elementwise(
    name: str, factor: ops.Weights, bias: ops.Weights | None, shape: ops.Shape, width: int
) -> LayerCost:
    count, bits = math.prod(shape), width_of(factor)
    nonzero = int(np.count_nonzero(np.broadcast_to(factor, shape)))
    kept = bias if bias is not None and np.any(bias) else None
    memory_bits = factor.size * bits + (kept.size * width_of(kept) if kept is not None else 0)
    weights = factor.size + (kept.size if kept is not None else 0)
    product = width * bits
    return LayerCost(name, count, nonzero, nonzero * product, count * product, weights, memory_bits)
