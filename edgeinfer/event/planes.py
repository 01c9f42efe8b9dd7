# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Wire planes to tag: simulated ones, those of an experiment's dump, or arrays of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.formats.guard import check_finite
from edgeinfer.data.formats.protodune_root import list_planes, read_plane
from edgeinfer.data.open import DataFormat, open_data
from edgeinfer.data.stream.batches import BatchStream, StreamSettings
from edgeinfer.data.stream.thin import READING_BYTES
from edgeinfer.event.wires import Channels, lay_wires, wrap_wires
from edgeinfer.lartpc.events import EventSettings, simulate

WIRES, PIXELS = 480, 1000  # of a ProtoDUNE collection plane, six ticks to a pixel
MOST_PIXELS = 1 << 27  # of one plane, so that a mistyped size does not take the memory


@dataclass(frozen=True, slots=True)
class WirePlane:
    """One plane's deconvolved signal in ADC counts (wires, pixels), and what it is called."""

    name: str
    adc: NDArray[np.float32]
    channel_of: NDArray[np.int64] | None = None  # of each wire; None: every wire is its own


def simulate_planes(
    seed: int, count: int, wires: int = WIRES, pixels: int = PIXELS, wrapped_wires: int = 0
) -> Iterator[WirePlane]:
    """Planes of simulated events, one an event. Their last `wrapped_wires` are the first ones
    again: wires that return on the other face."""
    if min(count, wires, pixels) < 1 or wrapped_wires < 0 or wires * pixels > MOST_PIXELS:
        raise UsageError(
            f"{count} planes of {wires} x {pixels} cannot be simulated.",
            hint=f"Ask for 1 or more, of at most {MOST_PIXELS:,} pixels each.",
        )
    children = np.random.SeedSequence(seed).spawn(count)
    settings = plane_settings(wires, pixels)
    for number, child in enumerate(children):
        adc = simulate(child, 1, settings).adc[0]
        read, channel_of = wrap_wires(adc, wrapped_wires)
        yield WirePlane(f"simulated {number}", read, channel_of if wrapped_wires else None)


def plane_settings(wires: int, pixels: int) -> EventSettings:
    """A plane of that size: cosmic rays come by its area, the interaction happens once."""
    small = EventSettings()
    area = wires * pixels / (small.wires * small.pixels)
    cosmics = small.primaries.cosmics * area
    primaries = replace(small.primaries, cosmics=cosmics)
    return replace(small, wires=wires, pixels=pixels, primaries=primaries)


def of_data(path: Path, channel_of: Channels | None = None) -> Iterator[WirePlane]:
    """Every plane of a file; one at a time. With a map of wires, the file's rows are channels, and
    the plane has each at every wire that shows it."""
    for plane in _of_file(path):
        if channel_of is None:
            yield plane
        else:
            yield WirePlane(plane.name, lay_wires(plane.adc, channel_of, plane.name), channel_of)


def _of_file(path: Path) -> Iterator[WirePlane]:
    """Every plane of a ProtoDUNE training dump, or of the only column of planes (wires, pixels) in
    any other file."""
    data = open_data(path)
    if data.format is DataFormat.PROTODUNE:
        for file in data.files:
            yield from _of_dump(file)
        return
    layout = data.source.layout()
    planes = [name for name in layout if _plane_of(layout[name].shape) is not None]
    if len(planes) != 1:
        columns_text = ", ".join(f"{name} {column.shape}" for name, column in layout.items())
        raise InputError(
            f"{path} holds {len(planes) or 'no'} columns of wire planes: {columns_text[:200]}.",
            hint="Give a ProtoDUNE dump, or an array (planes, wires, pixels) of ADC counts.",
        )
    (name,), number = planes, 0
    _check_kind(path, name, layout[name].dtype)
    wires, pixels = _plane_of(layout[name].shape) or (0, 0)
    if wires * pixels > MOST_PIXELS:
        raise InputError(f"{path}: planes of {wires} x {pixels} pixels are too large.")
    settings = StreamSettings(1, mixing="in-order", memory_cap_bytes=READING_BYTES)
    for block in BatchStream(data.source, settings).epoch():
        for plane in block[name]:
            adc = plane.reshape(wires, pixels).astype(np.float32)
            check_finite(adc, path, f"{name} {number}")
            yield WirePlane(f"{data.name} {number}", adc)
            number += 1


def _check_kind(path: Path, name: str, dtype: np.dtype) -> None:
    """ADC counts are numbers."""
    if dtype.kind not in "fiu":
        raise InputError(f"{path}: {name!r} holds {dtype}, not numbers.")


def _plane_of(shape: tuple[int, ...]) -> tuple[int, int] | None:
    bare = shape[:2] if shape[2:] == (1,) else shape
    return (bare[0], bare[1]) if len(bare) == 2 else None


def _of_dump(path: Path) -> Iterator[WirePlane]:
    """Every plane of a ProtoDUNE training dump."""
    keys = list_planes(path)
    for key in keys:
        name = f"run {key.run} event {key.event} tpc {key.tpc} view {key.view}"
        yield WirePlane(name, read_plane(path, key).raw.astype(np.float32))
