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
    charged = (picture != 0).any(axis=-1)
    row_of = _number(charged)
    table = np.zeros((int(row_of.max(initial=0)) + 1, picture.shape[-1]), narrowest(low, high))
    table[1:] = picture[charged]
    return PlaceField(table, row_of, 0)


def _number(touched: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Touched places numbered from 1, others 0."""
    row_of = np.zeros(touched.shape, np.int32)
    row_of[touched] = np.arange(1, np.count_nonzero(touched) + 1, dtype=np.int32)
    return row_of


def mark_within(
    touched: NDArray[np.bool_], count: int, axis: int, step: int = 1
) -> NDArray[np.bool_]:
    """Where one of `count` places, `step` apart, is touched."""
    size = touched.shape[axis] - (count - 1) * step
    along = np.moveaxis(touched, axis, 0)
    seen = along[:size].copy()
    for place in range(1, count):
        seen |= along[place * step : place * step + size]
    return np.moveaxis(seen, 0, axis)


def _run_stage(stage: PlaceStage, engine: Engine | None, field: PlaceField) -> PlaceField:
    (rows, columns), (down, along) = stage.window, stage.step
    touched = mark_within(mark_within(field.row_of > 0, rows, 0, down), columns, 1, along)
    row_of = _number(touched)
    width = field.row_of.shape[1]
    y, x = np.nonzero(touched)
    taps = (np.arange(rows)[:, None] * down * width + np.arange(columns) * along).ravel()
    kind = narrowest(stage.low, stage.high)
    flat = field.row_of.reshape(-1)
    parts = [_window_values(stage, engine, field.table, np.zeros((1, taps.size), np.int32))]
    for here in _chunks(y * width + x):
        window_values = flat.take(here[:, None] + taps)
        parts.append(_window_values(stage, engine, field.table, window_values))
    table = np.concatenate([part.astype(kind) for part in parts])
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
