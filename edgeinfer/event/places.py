# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The shared part of a network all over a plane, at the places that charge touches.

Where no charge is near, every place yields the same channels: the empty row. Only touched places
have rows of their own, numbered from 1 in the order of the plane; row 0 is the empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.event.prefix import Cut, PlaceStage
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.ops import PoolKind
from quantization.fixed import Ints

CHUNK = 1 << 14  # places whose windows are in memory at once
BATCH = 2048  # of those for the engine


@dataclass(frozen=True, slots=True)
class PlaceField:
    """Channels at every place of a plane: a table of distinct rows, and which row is where."""

    table: NDArray[np.integer]  # (rows, channels)
    row_of: NDArray[np.int32]  # (rows of places, columns of places)
    macs: int  # spent on it


@dataclass(frozen=True, slots=True)
class SharedPart:
    """The stages of a cut, ready to run. May be used from several threads at once."""

    cut: Cut
    engines: tuple[Engine | None, ...]


def build_shared_part(cut: Cut) -> SharedPart:
    """Every engine is compiled once; planes share the processors, so each keeps to one."""
    engines = (
        None if stage.program is None else Engine(stage.program, threads=1, batch=BATCH)
        for stage in cut.stages
    )
    return SharedPart(cut, tuple(engines))


def fill_places(shared: SharedPart, picture: Ints) -> PlaceField:
    """The last shared value all over a picture (rows, columns, channels) of raw integers."""
    source = shared.cut.program.inputs[0]
    field = _charged_pixels(picture, source.type.raw_min, source.type.raw_max)
    for stage, engine in zip(shared.cut.stages, shared.engines, strict=True):
        field = _run_stage(stage, engine, field)
    return field


def count_touched(charged: NDArray[np.bool_], reach: tuple[int, int]) -> int:
    """How many places see charge, if each sees so many rows and columns of pixels."""
    grown = np.pad(charged, [(size - 1, size - 1) for size in reach])
    touched = mark_within(mark_within(grown, reach[0], 0), reach[1], 1)
    return int(np.count_nonzero(touched))


def empty_row(shared: SharedPart) -> Ints:
    """The channels of a place without charge."""
    field = fill_places(shared, np.zeros(shared.cut.program.inputs[0].shape, np.int64))
    row: Ints = field.table[0].astype(np.int64)
    return row


def narrowest(low: int, high: int) -> np.dtype[np.integer]:
    """The smallest integer type for a range."""
    kinds = [np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "i4", "i8")]
    return next(k for k in kinds if np.iinfo(k).min <= low and high <= np.iinfo(k).max)


def _charged_pixels(picture: Ints, low: int, high: int) -> PlaceField:
    channels = picture.shape[-1]
    charged = picture[..., 0] != 0
    for channel in range(1, channels):
        charged |= picture[..., channel] != 0
    pixels = np.flatnonzero(charged)
    table = np.zeros((len(pixels) + 1, channels), narrowest(low, high))
    table[1:] = picture.reshape(-1, channels)[pixels]
    return PlaceField(table, number_places(pixels, charged.shape), 0)


def flat_places(touched: NDArray[np.bool_], width: int) -> NDArray[np.intp]:
    """Where the touched places are in a flat plane whose rows are so wide."""
    places = np.flatnonzero(touched)
    flat: NDArray[np.intp] = places + places // touched.shape[1] * (width - touched.shape[1])
    return flat


def number_places(touched: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Touched places, given in the order of the plane, numbered from 1, others 0."""
    row_of = np.zeros(shape, np.int32)
    row_of.reshape(-1)[touched] = np.arange(1, len(touched) + 1, dtype=np.int32)
    return row_of


def mark_within(
    touched: NDArray[np.bool_], count: int, axis: int, step: int = 1
) -> NDArray[np.bool_]:
    """Where one of `count` places, `step` apart, is touched."""
    return join_places(touched.view(np.uint8), count, axis, step, 0).view(np.bool_)


def join_places(
    bits: NDArray[np.uint8], count: int, axis: int, step: int, shift: int
) -> NDArray[np.uint8]:
    """At each place, the bits of `count` places from there on, `step` apart, each `shift` higher
    than the one before it."""
    covered = 1
    while covered < count:  # two windows, side by side or over each other, make a wider one
        more = min(covered, count - covered)
        size = bits.shape[axis] - more * step
        if axis == 0:
            first, second = bits[:size], bits[more * step :]
        else:
            first, second = bits[:, :size], bits[:, more * step :]
        bits = first | (second << np.uint8(more * shift) if shift else second)
        covered += more
    return bits


def _run_stage(stage: PlaceStage, engine: Engine | None, field: PlaceField) -> PlaceField:
    (rows, columns), (down, along) = stage.window, stage.step
    touched = mark_within(mark_within(field.row_of > 0, rows, 0, down), columns, 1, along)
    width = field.row_of.shape[1]
    begins = flat_places(touched, width)
    taps = (np.arange(rows)[:, None] * down * width + np.arange(columns) * along).ravel()
    kind = narrowest(stage.low, stage.high)
    flat = field.row_of.reshape(-1)
    parts = [_window_values(stage, engine, field.table, np.zeros((1, taps.size), np.int32))]
    for here in _chunks(begins):
        window_values = flat.take(here[:, None] + taps)
        parts.append(_window_values(stage, engine, field.table, window_values))
    table = np.concatenate([part.astype(kind) for part in parts])
    row_of = number_places(np.flatnonzero(touched), touched.shape)
    return PlaceField(table, row_of, field.macs + stage.macs * (len(table) - 1))


def _chunks(places: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    for start in range(0, len(places), CHUNK):
        yield places[start : start + CHUNK]


def _window_values(
    stage: PlaceStage,
    engine: Engine | None,
    table: NDArray[np.integer],
    window_values: NDArray[np.int32],
) -> NDArray[np.integer]:
    """What the stage yields for windows of rows of the table: (windows, channels)."""
    if stage.pool is not None:
        return _pool(stage, table, window_values)
    assert engine is not None  # a stage pools or has a program
    source = engine.program.inputs[0]
    windows = table.take(window_values, axis=0).reshape(len(window_values), *source.shape)
    return engine.run({source.name: windows})["y"].reshape(len(window_values), -1)


def _pool(
    stage: PlaceStage, table: NDArray[np.integer], window_values: NDArray[np.int32]
) -> NDArray[np.integer]:
    combine = np.maximum if stage.pool is PoolKind.MAX else np.add
    kind = narrowest(stage.low, stage.high) if stage.pool is PoolKind.SUM else table.dtype
    pooled = table.take(window_values[:, 0], axis=0).astype(kind)
    for tap in window_values.T[1:]:
        combine(pooled, table.take(tap, axis=0), out=pooled, casting="unsafe")
    return pooled
