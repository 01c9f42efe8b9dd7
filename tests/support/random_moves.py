# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every op that only moves elements, drawn for a shape."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.ops import Shape

Draw = Callable[[np.random.Generator, Shape], tuple[Any, ...]]


def _integer(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _reshape(rng: np.random.Generator, shape: Shape) -> tuple[Any, ...]:
    whole = math.prod(shape)
    widths = [n for n in range(1, whole + 1) if whole % n == 0]
    width = widths[_integer(rng, 0, len(widths) - 1)]
    return ([(whole // width, width), (whole,)][_integer(rng, 0, 1)],)


def _pad(rng: np.random.Generator, shape: Shape) -> tuple[Any, ...]:
    pads = tuple((_integer(rng, 0, 2), _integer(rng, 0, 1)) for _ in shape)
    return pads, _integer(rng, -9, 9)


def _slice(rng: np.random.Generator, shape: Shape) -> tuple[Any, ...]:
    starts = tuple(_integer(rng, 0, size - 1) for size in shape)
    spans = zip(starts, shape, strict=True)
    stops = tuple(_integer(rng, start + 1, size) for start, size in spans)
    return starts, stops, tuple(_integer(rng, 1, 2) for _ in shape)


def _gather(rng: np.random.Generator, shape: Shape) -> tuple[Any, ...]:
    axis = _integer(rng, 0, len(shape) - 1)
    return axis, tuple(rng.integers(0, shape[axis], _integer(rng, 1, 5)).tolist())


MOVES: dict[type[Any], Draw] = {  # what follows an op's name, type and operand
    ops.Gather: _gather,
    ops.Reshape: _reshape,
    ops.Transpose: lambda rng, shape: (tuple(int(a) for a in rng.permutation(len(shape))),),
    ops.Pad: _pad,
    ops.Upsample: lambda rng, shape: (tuple(_integer(rng, 1, 2) for _ in shape[:-1]),),
    ops.Flip: lambda rng, shape: (tuple(a for a in range(len(shape)) if rng.random() < 0.6),),
    ops.Slice: _slice,
}
