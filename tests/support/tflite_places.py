# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files with one operator that joins, parts or picks elements, a softmax, or a product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_moves import file_of, input_of, like, numbers

Rng = np.random.Generator


def pack(rng: Rng, type_: str) -> bytes:
    """PACK of two inputs along any axis but the batch."""
    x = input_of(rng, type_, int(rng.integers(2, 4)))
    axis = int(rng.integers(1, len(x.shape) + 1))
    y = like(x, "y", (*x.shape[:axis], 2, *x.shape[axis:]))
    step = O("PACK", ("x", "z"), ("y",), 2, {0: ("i32", 2), 1: ("i32", axis)})
    return tflite([x, like(x, "z", x.shape), y], [step], ["x", "z"], ["y"])


def unpack(rng: Rng, type_: str) -> bytes:
    """UNPACK of an axis of an input."""
    x = input_of(rng, type_, int(rng.integers(3, 5)))
    axis = int(rng.integers(1, len(x.shape)))
    names = [f"y{n}" for n in range(x.shape[axis])]
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    options = {0: ("i32", len(names)), 1: ("i32", axis)}
    step = O("UNPACK", ("x",), tuple(names), 2, options)
    return tflite([x, *(like(x, name, rest) for name in names)], [step], ["x"], names)


def split_sizes(rng: Rng, type_: str) -> bytes:
    """SPLIT_V, the size of one part left open."""
    x = input_of(rng, type_, 3)
    axis, sizes = int(rng.integers(1, 3)), [int(n) for n in rng.integers(1, 4, 3)]
    x = like(x, "x", [sum(sizes) if i == axis else n for i, n in enumerate(x.shape)])
    names = [f"y{n}" for n in range(3)]
    parts = [
        like(x, name, [size if i == axis else n for i, n in enumerate(x.shape)])
        for name, size in zip(names, sizes, strict=True)
    ]
    given = [-1 if n == 1 and rng.random() < 0.5 else size for n, size in enumerate(sizes)]
    stored = [numbers("sizes", given), numbers("axis", axis)]
    step = O("SPLIT_V", ("x", "sizes", "axis"), tuple(names), 2, {0: ("i32", 3)})
    return tflite([x, *stored, *parts], [step], ["x"], names)


def gather(rng: Rng, type_: str) -> bytes:
    """GATHER of stored indices."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(x.shape)))
    indices = rng.integers(0, x.shape[axis], int(rng.integers(1, 6)))
    out = [len(indices) if i == axis else n for i, n in enumerate(x.shape)]
    return file_of("GATHER", x, out, [numbers("indices", indices)], {0: ("i32", axis)})


def mirror_pad(rng: Rng, type_: str) -> bytes:
    """MIRROR_PAD with the edge once or twice."""
    x = input_of(rng, type_, 4)
    x = like(x, "x", (1, *(n + 1 for n in x.shape[1:])))
    symmetric = bool(rng.random() < 0.5)
    pads = np.stack([rng.integers(0, n if not symmetric else n + 1, 2) for n in x.shape])
    pads[0] = 0
    out = np.asarray(x.shape) + pads.sum(axis=1)
    return file_of("MIRROR_PAD", x, out, [numbers("pads", pads)], {0: ("i8", int(symmetric))})


def tile(rng: Rng, type_: str) -> bytes:
    """TILE of any axis but the batch."""
    x = input_of(rng, type_, int(rng.integers(2, 4)))
    counts = [1, *(int(n) for n in rng.integers(1, 4, len(x.shape) - 1))]
    out = [n * count for n, count in zip(x.shape, counts, strict=True)]
    return file_of("TILE", x, out, [numbers("counts", counts)])


def reverse(rng: Rng, type_: str) -> bytes:
    """REVERSE_V2 of an axis."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    axis = int(rng.integers(1, len(x.shape)))
    return file_of("REVERSE_V2", x, x.shape, [numbers("axes", [axis])])


def blocks(rng: Rng, type_: str, op: str) -> bytes:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH."""
    x, block = input_of(rng, type_, 4), int(rng.integers(2, 4))
    _, height, width, channels = x.shape
    deep = (1, height, width, channels * block**2)
    wide = (1, height * block, width * block, channels)
    before, after = (deep, wide) if op == "DEPTH_TO_SPACE" else (wide, deep)
    return file_of(op, like(x, "x", before), after, (), {0: ("i32", block)})


def prelu(rng: Rng, type_: str) -> bytes:
    """PRELU with a slope for each channel."""
    x = input_of(rng, type_, 4)
    low = -128 if type_ == "INT8" else 0
    shape = (1, 1, x.shape[3])
    raw, zero = rng.integers(low, low + 256, shape), int(rng.integers(low, low + 256))
    slope = T("slope", shape, type_, raw, (float(np.float32(rng.uniform(0.001, 0.02))),), (zero,))
    scale = float(np.float32(x.scales[0] * rng.uniform(0.3, 2.0)))
    y = T("y", x.shape, type_, None, (scale,), (int(rng.integers(low, low + 256)),))
    return tflite([x, slope, y], [O("PRELU", ("x", "slope"), ("y",), 1)], ["x"], ["y"])


def softmax(rng: Rng, type_: str) -> bytes:
    """A SOFTMAX that another operator reads."""
    x = input_of(rng, type_, int(rng.integers(2, 5)))
    if rng.random() < 0.3:
        x = like(x, "x", (*x.shape[:-1], int(rng.integers(2, 200))))
    levels = T("levels", x.shape, type_, None, (1 / 256,), (-128 if type_ == "INT8" else 0,))
    y = like(levels, "y", (1, int(np.prod(x.shape))))
    beta = float(rng.choice([1.0, 1.0, 0.5]))
    steps = [
        O("SOFTMAX", ("x",), ("levels",), 2, {0: ("f32", beta)}),
        O("RESHAPE", ("levels", "shape"), ("y",), 1),
    ]
    return tflite([x, levels, numbers("shape", y.shape), y], steps, ["x"], ["y"])


def matmul(rng: Rng) -> bytes:
    """BATCH_MATMUL of two inputs, whose kernel is one for INT8 only."""
    parts, rows, length, columns = (int(n) for n in rng.integers(1, 5, 4))
    turned = rng.random(2) < 0.5
    a, b = (parts, rows, length), (parts if rng.random() < 0.7 else 1, length, columns)
    left, right = (input_of(rng, "INT8", 4) for _ in range(2))
    x = like(left, "x", (1, a[0], *(a[:0:-1] if turned[0] else a[1:])))
    z = like(right, "z", (1, b[0], *(b[:0:-1] if turned[1] else b[1:])))
    scale = float(np.float32(x.scales[0] * z.scales[0] * rng.uniform(20, 200)))
    y = T("y", (1, parts, rows, columns), "INT8", None, (scale,), (int(rng.integers(-128, 128)),))
    options = {0: ("bool", float(turned[0])), 1: ("bool", float(turned[1]))}
    step = O("BATCH_MATMUL", ("x", "z"), ("y",), 2, options)
    return tflite([x, z, y], [step], ["x", "z"], ["y"])


def top(rng: Rng, type_: str) -> bytes:
    """TOPK_V2 of integers among which many are equal; the values, and their places."""
    x = input_of(rng, type_, int(rng.integers(2, 4)))
    x = like(x, "x", (*x.shape[:-1], x.shape[-1] + 2))
    count = int(rng.integers(1, x.shape[-1] + 1))
    shape = (*x.shape[:-1], count)
    outputs = [like(x, "y", shape), T("places", shape, "INT32", None, (), ())]
    step = O("TOPK_V2", ("x", "count"), ("y", "places"), 2)
    return tflite([x, numbers("count", count), *outputs], [step], ["x"], ["y", "places"])


PLACES: dict[str, Callable[[Rng, str], bytes]] = {
    "PACK": pack,
    "UNPACK": unpack,
    "SPLIT_V": split_sizes,
    "GATHER": gather,
    "MIRROR_PAD": mirror_pad,
    "TILE": tile,
    "TOPK_V2": top,
    "REVERSE_V2": reverse,
    "DEPTH_TO_SPACE": lambda rng, type_: blocks(rng, type_, "DEPTH_TO_SPACE"),
    "SPACE_TO_DEPTH": lambda rng, type_: blocks(rng, type_, "SPACE_TO_DEPTH"),
    "PRELU": prelu,
    "SOFTMAX": softmax,
}
