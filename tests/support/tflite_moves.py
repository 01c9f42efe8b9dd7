# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files with one operator that only moves integers, with random shapes and options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.support.tflite_builder import O, T, tflite

Options = dict[int, tuple[str, float]]
Rng = np.random.Generator


def like(x: T, name: str, shape: Sequence[int]) -> T:
    """A tensor of the same type, scale and zero point."""
    return T(name, tuple(int(n) for n in shape), x.type, None, x.scales, x.zero_points)


def input_of(rng: Rng, type_: str, rank: int) -> T:
    """A random input."""
    low = -128 if type_ == "INT8" else 0
    shape = (1, *(int(n) for n in rng.integers(1, 6, rank - 1)))
    scale = float(np.float32(rng.uniform(0.01, 0.5)))
    return T("x", shape, type_, None, (scale,), (int(rng.integers(low, low + 256)),))


def numbers(name: str, values: Any) -> T:
    """Whole numbers that the file stores."""
    array = np.asarray(values, np.int32)
    return T(name, array.shape, "INT32", array, (), ())


def file_of(
    op: str, x: T, out: Sequence[int], stored: Sequence[T] = (), options: Options | None = None
) -> bytes:
    """A file with one operator, whose output has the input's scale."""
    y = like(x, "y", out)
    names = ("x", *(tensor.name for tensor in stored))
    return tflite([x, *stored, y], [O(op, names, ("y",), 1, options or {})], ["x"], ["y"])


def reshape(rng: Rng, type_: str) -> bytes:
    """RESHAPE."""
    x = input_of(rng, type_, 4)
    flat = math.prod(x.shape)
    cut = int(rng.choice([n for n in range(1, flat + 1) if flat % n == 0]))
    out = (1, cut, flat // cut)
    return file_of("RESHAPE", x, out, [numbers("shape", out)])


def squeeze(rng: Rng, type_: str) -> bytes:
    """SQUEEZE of all axes of one, the batch too."""
    x = input_of(rng, type_, 4)
    x = like(x, "x", (1, 1, *x.shape[2:]))
    return file_of("SQUEEZE", x, [n for n in x.shape if n != 1] or [1])


def expand(rng: Rng, type_: str) -> bytes:
    """EXPAND_DIMS."""
    x = input_of(rng, type_, 3)
    axis = int(rng.integers(1, 4))
    out = (*x.shape[:axis], 1, *x.shape[axis:])
    return file_of("EXPAND_DIMS", x, out, [numbers("axis", axis)])


def pad(rng: Rng, type_: str) -> bytes:
    """PAD."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    pads = rng.integers(0, 3, (len(x.shape), 2))
    pads[0] = 0
    return file_of("PAD", x, np.asarray(x.shape) + pads.sum(axis=1), [numbers("pads", pads)])


def transpose(rng: Rng, type_: str) -> bytes:
    """TRANSPOSE."""
    x = input_of(rng, type_, int(rng.integers(3, 5)))
    order = [0, *(1 + rng.permutation(len(x.shape) - 1)).tolist()]
    return file_of("TRANSPOSE", x, [x.shape[i] for i in order], [numbers("order", order)])


def slices(rng: Rng, type_: str) -> bytes:
    """SLICE."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    starts = [0, *(int(rng.integers(0, n)) for n in x.shape[1:])]
    counts = [int(rng.integers(1, n - s + 1)) for n, s in zip(x.shape, starts, strict=True)]
    open_ = [-1 if rng.random() < 0.3 else c for c in counts]
    out = [n - s if o == -1 else o for n, s, o in zip(x.shape, starts, open_, strict=True)]
    return file_of("SLICE", x, out, [numbers("starts", starts), numbers("counts", open_)])


def strided(rng: Rng, type_: str) -> bytes:
    """STRIDED_SLICE with masks, negative ends and negative steps, new axes and an ellipsis."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    begins, ends, ellipses, news, shrinks = (1 << place for place in range(5))
    entries: list[tuple[int, int, int, int]] = [(0, 1, 1, 0)]  # start, stop, step, masks
    index: list[Any] = [slice(0, 1)]
    left_out = int(rng.integers(1, len(x.shape))) if rng.random() < 0.3 else 0
    for axis, size in enumerate(x.shape[1:], 1):
        if axis == left_out:
            entries.append((0, 0, 1, ellipses))
            index.append(slice(None))
            continue
        if rng.random() < 0.2:
            entries.append((0, 0, 1, news))
            index.append(None)
        start = int(rng.integers(0, size))
        stop, step = int(rng.integers(start + 1, size + 1)), int(rng.integers(1, 3))
        if rng.random() < 0.4:
            start, stop, step = stop - 1, start - 1 if start else -size - 1, -step
        which = rng.random()
        masks = begins * (which > 0.8) + ends * (0.6 < which < 0.9)
        if which < 0.2 and axis > 1:
            masks, step = shrinks, 1
            index.append(start)
        else:
            limits = (None if masks & begins else start, None if masks & ends else stop)
            index.append(slice(*limits, step))
        entries.append((start - size if rng.random() < 0.3 else start, stop, step, masks))
    out = np.empty(x.shape)[tuple(index)].shape
    *columns, flags = zip(*entries, strict=True)
    stored = [numbers(name, values) for name, values in zip("abc", columns, strict=True)]
    options: Options = {
        place: ("i32", sum(1 << i for i, flag in enumerate(flags) if flag & 1 << place))
        for place in range(5)
    }
    return file_of("STRIDED_SLICE", x, out, stored, options)


def nearest(rng: Rng, type_: str) -> bytes:
    """RESIZE_NEAREST_NEIGHBOR to any size."""
    x = input_of(rng, type_, 4)
    sizes = [int(n) for n in rng.integers(1, 12, 2)]
    aligned = bool(rng.random() < 0.3)
    options: Options = {0: ("bool", aligned), 1: ("bool", not aligned and rng.random() < 0.5)}
    out = (1, *sizes, x.shape[3])
    return file_of("RESIZE_NEAREST_NEIGHBOR", x, out, [numbers("size", sizes)], options)


def bilinear(rng: Rng) -> bytes:
    """RESIZE_BILINEAR to any size, whose kernel is one of integers for INT8 only."""
    x = input_of(rng, "INT8", 4)
    sizes = [int(n) for n in rng.integers(1, 12, 2)]
    aligned = bool(rng.random() < 0.3)
    options: Options = {2: ("bool", aligned), 3: ("bool", not aligned and rng.random() < 0.5)}
    return file_of("RESIZE_BILINEAR", x, (1, *sizes, x.shape[3]), [numbers("size", sizes)], options)


def extreme_place(rng: Rng, type_: str, op: str) -> bytes:
    """ARG_MAX and ARG_MIN along any axis but the batch, of integers among which many are equal."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(x.shape)))
    out = T("y", (*x.shape[:axis], *x.shape[axis + 1 :]), "INT32", None, (), ())
    step = O(op, ("x", "axis"), ("y",), 1, {0: ("i8", 2)})
    inputs = numbers("axis", axis if rng.random() < 0.5 else axis - len(x.shape))
    return tflite([x, inputs, out], [step], ["x"], ["y"])


def concatenation(rng: Rng, type_: str) -> bytes:
    """CONCATENATION of two inputs."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(x.shape)))
    more = [*x.shape]
    more[axis] = int(rng.integers(1, 5))
    other = like(x, "z", more)
    out = [*x.shape]
    out[axis] += more[axis]
    inputs = axis if rng.random() < 0.5 else axis - len(x.shape)
    step = O("CONCATENATION", ("x", "z"), ("y",), 1, {0: ("i32", inputs)})
    return tflite([x, other, like(x, "y", out)], [step], ["x", "z"], ["y"])


def split(rng: Rng, type_: str) -> bytes:
    """SPLIT."""
    x, count = input_of(rng, type_, 3), int(rng.integers(1, 4))
    axis = int(rng.integers(1, 3))
    shape = [*x.shape]
    shape[axis] *= count
    x = like(x, "x", shape)
    names = [f"y{i}" for i in range(count)]
    part = [n // count if i == axis else n for i, n in enumerate(shape)]
    step = O("SPLIT", ("axis", "x"), tuple(names), 1, {0: ("i32", count)})
    parts = [like(x, name, part) for name in names]
    return tflite([x, numbers("axis", axis), *parts], [step], ["x"], names)


def extremes(rng: Rng, type_: str, op: str) -> bytes:
    """MAXIMUM and MINIMUM of two inputs of one scale."""
    x = input_of(rng, type_, 4)
    other = like(x, "z", x.shape if rng.random() < 0.6 else (1, 1, 1, x.shape[3]))
    step = O(op, ("x", "z"), ("y",), 1)
    return tflite([x, other, like(x, "y", x.shape)], [step], ["x", "z"], ["y"])


MOVES: dict[str, Callable[[Rng, str], bytes]] = {
    "RESHAPE": reshape,
    "SQUEEZE": squeeze,
    "EXPAND_DIMS": expand,
    "PAD": pad,
    "TRANSPOSE": transpose,
    "SLICE": slices,
    "STRIDED_SLICE": strided,
    "RESIZE_NEAREST_NEIGHBOR": nearest,
    "CONCATENATION": concatenation,
    "SPLIT": split,
    "ARG_MAX": lambda rng, type_: extreme_place(rng, type_, "ARG_MAX"),
    "ARG_MIN": lambda rng, type_: extreme_place(rng, type_, "ARG_MIN"),
    "MAXIMUM": lambda rng, type_: extremes(rng, type_, "MAXIMUM"),
    "MINIMUM": lambda rng, type_: extremes(rng, type_, "MINIMUM"),
}
