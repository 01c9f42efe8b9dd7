# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ops that only move elements, as the list of places that the elements come from."""

from __future__ import annotations

import math
from typing import assert_never

import numpy as np

from edgeinfer.ir.ops import Pad, Shape, Slice, Transpose, Upsample
from quantization.fixed import Ints


def order_of(op: Transpose | Pad | Upsample | Slice, shape: Shape) -> Ints:
    """For every element of the result, row-major, its place in the operand; -1 for padding."""
    places = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    match op:
        case Transpose():
            moved = places.transpose(op.order)
        case Pad():
            moved = np.pad(places, op.pads, constant_values=-1)
        case Upsample():
            moved = places
            for axis, factor in enumerate(op.factors):
                moved = np.repeat(moved, factor, axis=axis)
        case Slice():
            bounds = zip(op.starts, op.stops, op.steps, strict=True)
            moved = places[tuple(slice(*bound) for bound in bounds)]
        case _:
            assert_never(op)
    return np.ascontiguousarray(moved).reshape(-1)
