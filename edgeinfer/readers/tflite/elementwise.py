# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sums, differences and products of two tensors, scales brought to others, limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph.nodes import MergeKind, MergeNode
from edgeinfer.readers.tflite.multipliers import multipliers_of, scale_of
from edgeinfer.readers.tflite.rescaling import Sums, multiply, rescale, whole
from edgeinfer.readers.tflite.values import Drawing, Steps
from quantization.fixed import Ints

SUM_BITS = 20  # by which steps move up before the kernels bring them to a common scale


def read_sum(d: Drawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """ADD and SUB: both on twice the larger scale, moved up, then the output's scale."""
    a, b = xs
    out = op.outputs[0]
    twice = 2.0 * max(float(a.scale), float(b.scale))
    sign = -1 if op.name == "SUB" else 1
    parts = [
        _raised(d, f"{name}_{side}", x, float(x.scale) / twice, factor)
        for side, x, factor in (("a", a, 1), ("b", b, sign))
    ]
    merge = MergeNode(f"{name}_sums", (parts[0].tensor, parts[1].tensor), MergeKind.ADD)
    sums = Sums(d.add(merge), parts[0].low + parts[1].low, parts[0].high + parts[1].high)
    by = multipliers_of([twice / ((1 << SUM_BITS) * float(scale_of(out)))])
    return [rescale(d, name, sums, by, out, op.options.fused)]


def _raised(d: Drawing, name: str, x: Steps, scale: float, sign: int) -> Sums:
    by = multipliers_of([scale])
    return multiply(d, name, whole(x), by, sign=sign, raised=SUM_BITS)


def read_product(d: Drawing, name: str, op: Operator, xs: Sequence[Steps]) -> list[Steps]:
    """MUL: products of steps, then the output's scale."""
    a, b = xs
    out = op.outputs[0]
    merge = MergeNode(f"{name}_sums", (a.tensor, b.tensor), MergeKind.MULTIPLY)
    ends: Ints = np.multiply.outer([a.low, a.high], [b.low, b.high])
    sums = Sums(d.add(merge), ends.min(), ends.max())
    by = multipliers_of([float(a.scale * b.scale / scale_of(out))])
    return [rescale(d, name, sums, by, out, op.options.fused)]


def read_requantization(d: Drawing, name: str, op: Operator, x: Steps) -> Steps:
    """QUANTIZE of integers: another scale, another zero point, perhaps another type."""
    out = op.outputs[0]
    by = multipliers_of([float(x.scale) / float(scale_of(out))])
    return rescale(d, name, whole(x), by, out)


def read_relu(d: Drawing, name: str, op: Operator, x: Steps) -> Steps:
    """RELU, RELU6 and RELU_N1_TO_1 as operators of their own."""
    out = op.outputs[0]
    by = multipliers_of([float(x.scale / scale_of(out))])
    return rescale(d, name, whole(x), by, out, op.name)
