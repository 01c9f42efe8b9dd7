# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The first dense layer by units: blocks of places, in pieces, whose products are made together.

For each patch, the products of a piece are made only if charge touches one of its places, or if
others of its unit need it. The rest follows from what a patch without charge adds up to: of each
piece that is used, the share of its empty places is taken away again. Untouched places inside a
used piece cancel exactly.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.event.kernel import KernelWeights, build_kernel, kernel_obstacle
from edgeinfer.event.places import (
    PlaceField,
    flat_places,
    join_places,
    mark_within,
    number_places,
)
from edgeinfer.event.prefix import Cut, FirstLayer
from edgeinfer.ir.engine.byte_products import (
    LARGEST_BYTE,
    bytes_saturate,
    multiply_bytes,
    safe_order,
)
from edgeinfer.ir.ops import Weights
from quantization.fixed import Ints

FLOAT32_INTEGERS = 1 << 24
QUAD = 4  # channels are filled up to a multiple of this


class ProductKind(StrEnum):
    """What multiplies; the integers are the same."""

    KERNEL = "kernel"  # bytes, by the processor's own instruction
    BYTES = "bytes"  # bytes, by ONNX Runtime
    FLOAT32 = "float32"
    FLOAT64 = "float64"


@dataclass(frozen=True, slots=True)
class UnitShape:
    """How places are joined, at best: larger pieces make larger matrices, and more products for
    nothing. Of a unit, a patch needs the pieces from the first to the last one with charge."""

    inputs: int  # of a piece
    flatness: float  # columns of a piece for each of its rows
    group: tuple[int, int]  # pieces of a unit


SHAPES = {
    ProductKind.KERNEL: UnitShape(48, 1, (2, 4)),
    ProductKind.BYTES: UnitShape(384, 2, (4, 1)),
    ProductKind.FLOAT32: UnitShape(768, 1, (1, 1)),
    ProductKind.FLOAT64: UnitShape(768, 1, (1, 1)),
}
FEW_PATCHES = 32  # that need a range of pieces do not pay for a product of their own
MOST_PIECES = 8  # of a unit: bits of a pattern
RANGES = [(first, behind) for behind in range(MOST_PIECES + 1) for first in range(behind)]


@dataclass(frozen=True, slots=True)
class Units:
    """The first layer's weights by unit, and what an empty unit adds up to."""

    products: ProductKind
    piece: tuple[int, int]  # places of a piece
    group: tuple[int, int]  # pieces of a unit
    order: NDArray[np.intp]  # of the channels, with those of zeros
    cut: Cut
    first: FirstLayer
    matrices: NDArray[Any] | KernelWeights  # (units, pieces x inputs, outputs)
    inside: NDArray[np.uint8]  # (units,): bits of the pieces that lie in the patch
    starts: Ints  # (units, pieces + 1, outputs): minus what the empty pieces before it add up to
    baseline: Ints  # (outputs,): what a patch without charge adds up to

    @property
    def in_bytes(self) -> bool:
        """Whether places are held in bytes."""
        return self.products in (ProductKind.KERNEL, ProductKind.BYTES)


@dataclass(frozen=True, slots=True)
class UnitPlane:
    """A plane's places as the units read them."""

    table: NDArray[np.generic]  # (rows, channels of the neighbouring places of a piece's row)
    row_of: NDArray[np.int32]  # flat
    patterns: NDArray[np.uint8]  # flat: bits of the pieces with a touched place, of the unit here
    width: int
    unit_offsets: NDArray[np.int64]
    row_offsets: NDArray[np.int64]  # of a piece's rows inside a unit, piece by piece


def choose_products(cut: Cut, first: FirstLayer) -> tuple[ProductKind, NDArray[np.intp]]:
    """The fastest products that are exact on this processor, and the order of the channels."""
    channels = -(-cut.channels // QUAD) * QUAD
    order = np.arange(channels)
    weights, spread = first.weights, cut.high - cut.low
    small = spread <= LARGEST_BYTE and -128 <= int(weights.min()) <= int(weights.max()) <= 127
    if small and 2 * first.reach < 1 << 31:
        if not bytes_saturate():
            return (ProductKind.BYTES if kernel_obstacle() else ProductKind.KERNEL), order
        safe = safe_order(fill_channels(weights, channels), max(spread, 1))
        if safe is not None:
            return ProductKind.BYTES, safe
    reach = _reach_by_place(cut, first).max(initial=0)
    return (ProductKind.FLOAT32 if reach <= FLOAT32_INTEGERS else ProductKind.FLOAT64), order


def build_units(cut: Cut, first: FirstLayer, empty: Ints) -> Units:
    """The weights arranged for this processor; `empty` are the channels of an empty place."""
    products, order = choose_products(cut, first)
    piece = _piece(cut, first, products)
    grid = _parts(cut.places, piece)
    most = SHAPES[products].group
    group = min(most[0], grid[0]), min(most[1], grid[1])
    weights = fill_channels(first.weights, order.size)[:, order]
    by_piece = _arrange(cut.places, weights, piece)
    row = _encode(empty[None], order, cut.low).astype(np.float64)
    inputs = np.tile(row, (1, piece[0] * piece[1]))
    empty_sums = np.stack([-(inputs @ matrix) for matrix in by_piece]).astype(np.int64)
    starts = _arrange(grid, empty_sums, group)
    arranged = _arrange(grid, by_piece, group)
    baseline = sum(empty @ weights.astype(np.int64) for weights in first.weights)
    places = _arrange(grid, np.ones((len(by_piece), 1, 1), np.bool_), group)[:, :, 0]
    inside = np.packbits(places, axis=1, bitorder="little")[:, 0].copy()
    matrices: NDArray[Any] | KernelWeights
    match products:
        case ProductKind.KERNEL:
            matrices = build_kernel(arranged.astype(np.int8), starts, inside)
        case ProductKind.BYTES:
            matrices = arranged.astype(np.int8)
        case ProductKind.FLOAT32 | ProductKind.FLOAT64:
            matrices = arranged.astype(products.value)
        case _:
            assert_never(products)
    before = np.pad(starts, ((0, 0), (1, 0), (0, 0))).cumsum(axis=1)
    if products in (ProductKind.KERNEL, ProductKind.BYTES):
        before = before.astype(np.int32)  # modulo 2^32, as the sums
    return Units(products, piece, group, order, cut, first, matrices, inside, before, baseline)


def _parts(size: tuple[int, int], side: tuple[int, int]) -> tuple[int, int]:
    """How many parts cover a rectangle, down and along."""
    return -(-size[0] // side[0]), -(-size[1] // side[1])


def _piece(cut: Cut, first: FirstLayer, products: ProductKind) -> tuple[int, int]:
    """Places of a piece, about as many as are best, and no more than stay exact."""
    shape = SHAPES[products]
    across = math.sqrt(shape.inputs / (-(-cut.channels // QUAD) * QUAD))
    flat = math.sqrt(shape.flatness)
    while True:
        sides = across / flat, across * flat
        parts = [max(1, round(n / side)) for n, side in zip(cut.places, sides, strict=True)]
        rows, columns = (-(-n // part) for n, part in zip(cut.places, parts, strict=True))
        if products is not ProductKind.FLOAT32 or rows * columns == 1:
            return rows, columns
        reach = _arrange(cut.places, _reach_by_place(cut, first)[:, None], (rows, columns)).sum(
            axis=1
        )
        if reach.max(initial=0) <= FLOAT32_INTEGERS:
            return rows, columns
        across /= 1.5


def _reach_by_place(cut: Cut, first: FirstLayer) -> NDArray[np.int64]:
    """What the products of one place may add up to at most: (places, outputs)."""
    sums = np.abs(first.weights.astype(np.int32)).sum(axis=1, dtype=np.int64)
    return np.asarray(sums * (cut.high - cut.low))


def fill_channels(weights: Weights, channels: int) -> NDArray[np.integer]:
    """(places, channels, outputs) with channels of zeros behind the others."""
    filled = np.zeros((weights.shape[0], channels, weights.shape[2]), weights.dtype)
    filled[:, : weights.shape[1]] = weights
    return filled


def _arrange(places: tuple[int, int], weights: NDArray[Any], side: tuple[int, int]) -> NDArray[Any]:
    """(places, channels, outputs) by blocks of places: (blocks, places of a block x channels,
    outputs). Places of the last blocks that lie beyond the patch have zeros."""
    (rows, columns), (_, channels, outputs) = places, weights.shape
    down, along = _parts(places, side)
    grid = np.zeros((down * side[0], along * side[1], channels, outputs), weights.dtype)
    grid[:rows, :columns] = weights.reshape(rows, columns, channels, outputs)
    apart = grid.reshape(down, side[0], along, side[1], channels, outputs)
    together = apart.transpose(0, 2, 1, 3, 4, 5)
    return np.ascontiguousarray(together.reshape(down * along, -1, outputs))


def _encode(rows: NDArray[np.integer], order: NDArray[np.intp], low: int) -> NDArray[np.integer]:
    """Channels in order and from zero on, with channels of zeros behind them."""
    as_given = (order == np.arange(order.size)).all()
    if low == 0 and as_given and rows.shape[1] == order.size:
        return rows
    wide = np.zeros((len(rows), order.size), np.result_type(rows.dtype, np.int16))
    np.subtract(rows, low, out=wide[:, : rows.shape[1]], casting="unsafe")
    return wide if as_given else wide[:, order]


def spread_units(units: Units, field: PlaceField) -> UnitPlane:
    """A plane's places as the units read them."""
    cut, (rows, columns), (parts, strips) = units.cut, units.piece, units.group
    down, along = cut.step
    side = rows * parts, columns * strips
    counts = _parts(cut.places, side)
    beyond = [
        (n * size - places) * step
        for n, size, places, step in zip(counts, side, cut.places, cut.step, strict=True)
    ]
    row_of = np.pad(field.row_of, ((0, beyond[0]), (0, beyond[1]))) if any(beyond) else field.row_of
    kind = np.uint8 if units.in_bytes else units.products.value
    encoded = np.ascontiguousarray(_encode(field.table, units.order, cut.low), kind)
    table, row_of = _join_along(encoded, row_of, columns, along)
    touched = mark_within(row_of > 0, rows, 0, down)
    joined = join_places(touched.view(np.uint8), strips, 1, columns * along, 1)
    joined = join_places(joined, parts, 0, rows * down, strips)
    patterns = np.zeros(row_of.shape, np.uint8)
    patterns[: joined.shape[0], : joined.shape[1]] = joined
    width = row_of.shape[1]
    pieces = _offsets(units.group, (rows * down, columns * along), width)
    rows_of_piece = _offsets((rows, 1), cut.step, width)
    return UnitPlane(
        table,
        np.ascontiguousarray(row_of).reshape(-1),
        patterns.reshape(-1),
        width,
        _offsets(counts, (side[0] * down, side[1] * along), width),
        (pieces[:, None] + rows_of_piece).ravel(),
    )


def _join_along(
    table: NDArray[Any], row_of: NDArray[np.int32], count: int, step: int
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Rows of `count` neighbouring places, `step` apart, side by side, and which row begins where:
    for each patch, fewer and longer rows are looked up."""
    if count == 1:
        return table, row_of
    begins = flat_places(mark_within(row_of > 0, count, 1, step), row_of.shape[1])
    rows = np.zeros((len(begins) + 1, count), np.int32)
    rows[1:] = row_of.reshape(-1).take(begins[:, None] + np.arange(count) * step)
    joined = table.take(rows, axis=0).reshape(len(rows), -1)
    return joined, number_places(begins, row_of.shape)


def _offsets(counts: tuple[int, int], step: tuple[int, int], width: int) -> NDArray[np.int64]:
    down, along = np.arange(counts[0]) * step[0] * width, np.arange(counts[1]) * step[1]
    return (down[:, None] + along).ravel().astype(np.int64)


def add_up(
    units: Units, plane: UnitPlane, corners: NDArray[np.intp]
) -> tuple[NDArray[np.integer], int]:
    """The first layer's raw values for patches by their upper left corners, and the products that
    were made for them."""
    origins = corners[:, 0] * plane.width + corners[:, 1]
    sums: NDArray[np.integer]
    if isinstance(units.matrices, KernelWeights):
        offsets = plane.unit_offsets, plane.row_offsets
        touched_places = plane.table, plane.row_of, plane.patterns
        sums, pieces = units.matrices.add_units(*touched_places, origins, *offsets)
    else:
        sums, pieces = _sums(units, units.matrices, plane, origins)
    inputs = units.piece[0] * units.piece[1] * units.order.size
    type_ = units.cut.tail.inputs[0].type
    offset = (units.baseline << units.first.shift) + units.first.bias
    raw: NDArray[np.integer]
    if type_.raw_min >= -(1 << 31) and type_.raw_max < 1 << 31:
        # What it adds up to is proved to fit, whatever wraps around on the way.
        raw = (sums.astype(np.int32, copy=False) << units.first.shift) + offset.astype(np.int32)
    else:
        raw = (sums.astype(np.int64) << units.first.shift) + offset
    return raw, pieces * inputs * units.baseline.size


def _sums(
    units: Units, matrices: NDArray[Any], plane: UnitPlane, origins: NDArray[np.intp]
) -> tuple[NDArray[np.integer], int]:
    """For each unit and range of its pieces, the rows of the places side by side, times the part
    of the matrix; and how many pieces were multiplied. What is filled anew each time is made once.
    """
    patterns = plane.patterns.take(plane.unit_offsets[:, None] + origins)
    patterns &= units.inside[:, None]
    patch, counts = _list_ranges(patterns, units)
    per_piece = plane.row_offsets.size // (units.starts.shape[1] - 1)
    begins = origins[patch] + np.repeat(plane.unit_offsets, counts.sum(axis=1))
    rows = plane.row_of.take(begins[:, None] + plane.row_offsets)
    most = int(counts.max(initial=0))
    in_bytes, outputs, width = units.in_bytes, units.baseline.size, plane.table.shape[1]
    kind = np.int32 if in_bytes else np.float64
    sums = np.zeros((len(origins), outputs), kind)
    lines = np.empty(most * plane.row_offsets.size * width, plane.table.dtype)
    totals = np.empty((most, outputs), kind)
    end = pieces = 0
    for unit, number in np.argwhere(counts).tolist():
        count, (first, behind) = int(counts[unit, number]), RANGES[number]
        here, inner = slice(end, end + count), slice(first * per_piece, behind * per_piece)
        end, pieces = end + count, pieces + count * (behind - first)
        taken = rows[here, inner]
        line = lines[: taken.size * width].reshape(*taken.shape, width)
        # The rows are in the table: `clip` only keeps NumPy from copying in order to check.
        plane.table.take(taken, axis=0, out=line, mode="clip")
        total = sums.take(patch[here], axis=0, out=totals[:count], mode="clip")
        total += units.starts[unit, behind] - units.starts[unit, first]
        matrix = matrices[unit, inner.start * width : inner.stop * width]
        side_by_side = line.reshape(count, -1)
        total += multiply_bytes(side_by_side, matrix) if in_bytes else side_by_side @ matrix
        sums[patch[here]] = total
    # Of bytes, only what all adds up to in the end is proved to fit, whatever wraps around.
    return (sums if in_bytes else sums.astype(np.int64)), pieces


def _list_ranges(
    patterns: NDArray[np.uint8], units: Units
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The patches that use each unit (units, patches), in order of the range of pieces that they
    need; and how many there are of each unit and range."""
    unit, patch = np.nonzero(patterns)
    size = len(patterns), len(RANGES)
    keys = _range_numbers()[patterns[unit, patch]] + unit * size[1]
    counts = np.bincount(keys, minlength=size[0] * size[1])
    whole = _range_numbers()[units.inside] + np.arange(size[0]) * size[1]
    keys = np.where(counts[keys] < FEW_PATCHES, whole[unit], keys)
    counts = np.bincount(keys, minlength=size[0] * size[1])
    kind = np.uint16 if counts.size <= 1 << 16 else np.int64  # of the former, NumPy sorts fast
    return patch[np.argsort(keys.astype(kind), kind="stable")], counts.reshape(size)


@functools.cache
def _range_numbers() -> NDArray[np.intp]:
    """For each pattern, which range goes from the first to the last piece that is used."""
    used = [[piece for piece in range(MOST_PIECES) if bits >> piece & 1] for bits in range(256)]
    ends = [(pieces[0], pieces[-1] + 1) if pieces else RANGES[0] for pieces in used]
    return np.array([RANGES.index(each) for each in ends])
