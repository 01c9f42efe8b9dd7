# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""RESIZE_BILINEAR, in the integers of the kernels, and which elements are the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgeinfer.base.tflite.model import Operator
from edgeinfer.graph.indexing import LookNode, RankNode
from edgeinfer.graph.nodes import DenseNode, TransposeNode
from edgeinfer.readers.tflite.linear import stored_input
from edgeinfer.readers.tflite.multipliers import zero_of
from edgeinfer.readers.tflite.pooling import same_scale
from edgeinfer.readers.tflite.values import StepDrawing, Steps, UnreadableOperatorError, inner
from quantization.fixed import Ints, Overflow, Quantizer, Rounding, fixed_of_range

PLACE_BITS = 10  # of a place between two elements, and of their weights


def read_bilinear(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """Weighted sums of the rows, then of the columns, rounded once, halves away from zero."""
    out = op.outputs[0]
    same_scale(x, out)
    if len(x.shape) != 4 or len(out.shape) != 4:
        raise UnreadableOperatorError(f"an image of {x.shape} cannot be read")
    if out.type != "INT8":
        raise UnreadableOperatorError(f"its kernel for {out.type} computes in real numbers")
    tensor = x.tensor
    for axis, order in ((1, (1, 2, 0)), (2, (0, 2, 1))):
        sizes = x.shape[axis], out.shape[axis]
        weights = place_weights(*sizes, op.options.align_corners, op.options.half_pixel)
        key = d.fresh(f"{name}_{axis}")
        turned = d.add(TransposeNode(f"{key}_last", tensor, order))
        kernel = d.hold(f"{key}/kernel", weights.T, PLACE_BITS)
        summed = d.add(DenseNode(key, key, turned, kernel, None))
        back = tuple(order.index(place) for place in range(3))
        tensor = d.add(TransposeNode(f"{key}_back", summed, back))
    zero = np.asarray(zero_of(out), np.int64)
    one = np.asarray(1, np.int64)
    stored = Quantizer(fixed_of_range(-128, 127, 0), Rounding.RND_INF, Overflow.SAT)
    rounded = d.affine(d.fresh(f"{name}_stored"), tensor, one, 0, stored, shift=zero)
    tensor = d.affine(d.fresh(f"{name}_steps"), rounded, one, 0, shift=-zero)
    return Steps(tensor, out.shape, x.low, x.high, x.scale, x.zero)


def place_weights(size: int, result_size: int, aligned: bool, half_pixel: bool) -> Ints:
    """(result_size, size): by how much each element counts for each place, in units of 2^-10."""
    one = 1 << PLACE_BITS
    step = (one * size + result_size // 2) // result_size
    if aligned and result_size > 1:
        step = (one * (size - 1) + (result_size - 1) // 2) // (result_size - 1)
    weights = np.zeros((result_size, size), np.int64)
    for place in range(result_size):
        exact = place * step + (step // 2 - one // 2 if half_pixel else 0)
        low = min(max(math.trunc(exact / one), 0), size - 1)
        high = min(math.trunc((exact + one - 1) / one), size - 1)
        beyond = exact - one * low
        weights[place, low] += one - beyond
        weights[place, high] += beyond
    return weights


def read_extreme_place(d: StepDrawing, name: str, op: Operator, x: Steps) -> Steps:
    """ARG_MAX and ARG_MIN: the place of the first of the largest, a whole number."""
    axis_tensor = stored_input(op, 1, "its axis is")
    lead = len(x.shape) - len(inner(x.shape))
    axis = int(axis_tensor.integers().reshape(-1)[0]) % len(x.shape) - lead
    shape = d.shapes[x.tensor]
    if axis < 0:
        raise UnreadableOperatorError("it works along the batch")
    order = (*(other for other in range(len(shape)) if other != axis), axis)
    turned = d.add(TransposeNode(d.fresh(f"{name}_last"), x.tensor, order))
    rows = d.reshape(f"{name}_rows", turned, (math.prod(shape) // shape[axis], shape[axis]))
    node = RankNode(d.fresh(f"{name}_places"), rows, smallest=op.name == "ARG_MIN")
    out = op.outputs[0].shape
    tensor = d.reshape(name, d.add(node), inner(out))
    return Steps(tensor, out, 0, shape[axis] - 1, np.float32(1.0), 0)


def read_top(d: StepDrawing, name: str, op: Operator, xs: Sequence[Steps]) -> Sequence[Steps]:
    """TOPK_V2: the largest of each row in order, and their places. Of equal ones the first comes
    first."""
    stored = stored_input(op, 1, "how many elements it takes is")
    (x,), (values, places) = xs, op.outputs
    same_scale(x, values)
    count, width = int(stored.integers().reshape(-1)[0]), d.shapes[x.tensor][-1]
    if not 1 <= count <= width:
        raise UnreadableOperatorError(f"it takes {count} of {width} elements")
    rows = d.reshape(f"{name}_rows", x.tensor, (math.prod(d.shapes[x.tensor]) // width, width))
    ranks = d.add(RankNode(d.fresh(f"{name}_places"), rows, count))
    table, index = (
        d.add(TransposeNode(d.fresh(f"{name}_{label}"), tensor, (1, 0)))
        for label, tensor in (("columns", rows), ("index", ranks))
    )
    looked_up = d.add(LookNode(d.fresh(f"{name}_values"), table, index))
    top = d.add(TransposeNode(d.fresh(f"{name}_largest"), looked_up, (1, 0)))
    largest, where = (
        d.reshape(name, tensor, inner(out.shape))
        for tensor, out in ((top, values), (ranks, places))
    )
    return (
        Steps(largest, values.shape, x.low, x.high, x.scale, x.zero),
        Steps(where, places.shape, 0, width - 1, np.float32(1.0), 0),
    )
