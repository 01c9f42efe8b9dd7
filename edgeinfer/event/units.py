# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The first dense layer by units: small blocks of places whose products are made together.

For each patch, the products of a unit are made only if charge touches one of its places. The rest
follows from what a patch without charge adds up to: of each unit that is used, the share of its
empty places is taken away again. Untouched places inside a used unit cancel exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.event.kernel import KernelWeights, build_kernel, kernel_obstacle
from edgeinfer.event.places import PlaceField, mark_within
from edgeinfer.event.prefix import Cut, FirstLayer
from edgeinfer.ir.engine.byte_products import (
    LARGEST_BYTE,
    ByteMatrix,
    bytes_saturate,
    safe_order,
)
from edgeinfer.ir.ops import Weights
from quantization.fixed import Ints

FLOAT32_INTEGERS = 1 << 24
QUAD = 4  # channels are filled up to a multiple of this

Matrices = tuple[ByteMatrix, ...] | NDArray[np.floating]


class ProductKind(StrEnum):
    """What multiplies; the integers are the same."""

    KERNEL = "kernel"  # bytes, by the processor's own instruction
    BYTES = "bytes"  # bytes, by ONNX Runtime
    FLOAT32 = "float32"
    FLOAT64 = "float64"


# Inputs of a unit, at best. More make larger matrices, and more products for nothing.
INPUTS = {
    ProductKind.KERNEL: 192,
    ProductKind.BYTES: 768,
    ProductKind.FLOAT32: 768,
    ProductKind.FLOAT64: 768,
}


@dataclass(frozen=True, slots=True)
class Units:
    """The first layer's weights by unit, and what an empty unit adds up to."""

    products: ProductKind
    side: tuple[int, int]  # places of a unit
    order: NDArray[np.intp]  # of the channels, with those of zeros
    cut: Cut
    first: FirstLayer
    matrices: Matrices | KernelWeights
    starts: Ints  # (units, outputs): minus what an empty unit adds up to
    baseline: Ints  # (outputs,): what a patch without charge adds up to

    @property
    def in_bytes(self) -> bool:
        """Whether places are held in bytes."""
        return self.products in (ProductKind.KERNEL, ProductKind.BYTES)


@dataclass(frozen=True, slots=True)
class UnitPlane:
    """A plane's places as the units read them."""

    table: NDArray[np.generic]  # (rows, channels)
    row_of: NDArray[np.int32]  # flat
    used: NDArray[np.bool_]  # flat: whether the unit that begins here has a touched place
    width: int
    unit_offsets: NDArray[np.int64]
    place_offsets: NDArray[np.int64]  # inside a unit


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
    side = _side(cut, first, products)
    arranged = _arrange(cut, fill_channels(first.weights, order.size)[:, order], side)
    row = _encode(empty[None], order, cut.low).astype(np.float64)
    inputs = np.tile(row, (1, side[0] * side[1]))
    starts = np.stack([-(inputs @ matrix)[0] for matrix in arranged]).astype(np.int64)
    baseline = sum(empty @ weights.astype(np.int64) for weights in first.weights)
    matrices: Matrices | KernelWeights
    match products:
        case ProductKind.KERNEL:
            matrices = build_kernel(arranged.astype(np.int8), starts)
        case ProductKind.BYTES:
            matrices = tuple(ByteMatrix(matrix) for matrix in arranged.astype(np.int8))
        case ProductKind.FLOAT32 | ProductKind.FLOAT64:
            matrices = arranged.astype(products.value)
        case _:
            assert_never(products)
    return Units(products, side, order, cut, first, matrices, starts, baseline)


def _side(cut: Cut, first: FirstLayer, products: ProductKind) -> tuple[int, int]:
    """Places of a unit, about as many as are best, and no more than stay exact."""
    across = math.sqrt(INPUTS[products] / (-(-cut.channels // QUAD) * QUAD))
    while True:
        parts = [max(1, round(places / across)) for places in cut.places]
        rows, columns = (-(-n // part) for n, part in zip(cut.places, parts, strict=True))
        if products is not ProductKind.FLOAT32 or rows * columns == 1:
            return rows, columns
        reach = _arrange(cut, _reach_by_place(cut, first)[:, None], (rows, columns)).sum(axis=1)
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


def _arrange(cut: Cut, weights: NDArray[Any], side: tuple[int, int]) -> NDArray[Any]:
    """(places, channels, outputs) by unit: (units, places of a unit x channels, outputs). Places
    of the last units that lie beyond the patch have no weight."""
    (rows, columns), (_, channels, outputs) = cut.places, weights.shape
    down, along = -(-rows // side[0]), -(-columns // side[1])
    grid = np.zeros((down * side[0], along * side[1], channels, outputs), weights.dtype)
    grid[:rows, :columns] = weights.reshape(rows, columns, channels, outputs)
    apart = grid.reshape(down, side[0], along, side[1], channels, outputs)
    together = apart.transpose(0, 2, 1, 3, 4, 5)
    return np.ascontiguousarray(together.reshape(down * along, -1, outputs))


def _encode(rows: NDArray[np.integer], order: NDArray[np.intp], low: int) -> NDArray[np.integer]:
    """Channels in order and from zero on, with channels of zeros behind them."""
    wide = np.zeros((len(rows), order.size), np.result_type(rows.dtype, np.int16))
    np.subtract(rows, low, out=wide[:, : rows.shape[1]], casting="unsafe")
    return wide if (order == np.arange(order.size)).all() else wide[:, order]


def spread_units(units: Units, field: PlaceField) -> UnitPlane:
    """A plane's places as the units read them."""
    cut, (rows, columns) = units.cut, units.side
    down, along = cut.step
    counts = (-(-cut.places[0] // rows), -(-cut.places[1] // columns))
    beyond = [
        (n * size - places) * step
        for n, size, places, step in zip(counts, units.side, cut.places, cut.step, strict=True)
    ]
    row_of = np.pad(field.row_of, ((0, beyond[0]), (0, beyond[1])))
    begins = mark_within(mark_within(row_of > 0, rows, 0, down), columns, 1, along)
    used = np.zeros(row_of.shape, np.bool_)
    used[: begins.shape[0], : begins.shape[1]] = begins
    width = row_of.shape[1]
    encoded = _encode(field.table, units.order, cut.low)
    kind = np.uint8 if units.in_bytes else units.products.value
    return UnitPlane(
        np.ascontiguousarray(encoded, kind),
        np.ascontiguousarray(row_of).reshape(-1),
        used.reshape(-1),
        width,
        _offsets(counts, (rows * down, columns * along), width),
        _offsets(units.side, cut.step, width),
    )


def _offsets(counts: tuple[int, int], step: tuple[int, int], width: int) -> NDArray[np.int64]:
    down, along = np.arange(counts[0]) * step[0] * width, np.arange(counts[1]) * step[1]
    return (down[:, None] + along).ravel().astype(np.int64)


def add_up(units: Units, plane: UnitPlane, corners: NDArray[np.intp]) -> tuple[Ints, int]:
    """The first layer's raw values for patches by their upper left corners, and the products that
    were made for them."""
    origins = corners[:, 0] * plane.width + corners[:, 1]
    used = plane.used.take(origins[:, None] + plane.unit_offsets)
    if isinstance(units.matrices, KernelWeights):
        offsets = plane.unit_offsets, plane.place_offsets
        touched_places = plane.table, plane.row_of, plane.used
        sums = units.matrices.add_units(*touched_places, origins, *offsets).astype(np.int64)
    else:
        sums = _sums(units, units.matrices, plane, origins, used)
    inputs = plane.place_offsets.size * units.order.size
    raw = (sums + units.baseline << units.first.shift) + units.first.bias
    return raw, int(np.count_nonzero(used)) * inputs * units.baseline.size


def _sums(
    units: Units,
    matrices: Matrices,
    plane: UnitPlane,
    origins: NDArray[np.intp],
    used: NDArray[np.bool_],
) -> Ints:
    """Unit by unit: the rows of its places side by side, times its matrix."""
    starts = used.astype(np.float64) @ units.starts.astype(np.float64)
    kind = np.int32 if units.in_bytes else np.float64
    sums = np.zeros((len(origins), units.baseline.size), kind)
    for number, offset in enumerate(plane.unit_offsets):
        here = np.flatnonzero(used[:, number])
        if here.size:
            rows = plane.row_of.take((origins[here] + offset)[:, None] + plane.place_offsets)
            looked_up = plane.table.take(rows, axis=0).reshape(here.size, -1)
            matrix = matrices[number]
            if isinstance(matrix, ByteMatrix):
                sums[here] += matrix.multiply(looked_up)
            else:
                sums[here] += looked_up @ matrix
    whole = starts.astype(np.int64)
    if units.in_bytes:  # what it adds up to in the end is proved to fit, whatever wraps around
        return (sums + whole.astype(np.int32)).astype(np.int64)
    return sums.astype(np.int64) + whole
