# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Wire planes to tag: simulated ones, or those of an experiment's dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.data.formats.guard import refuse
from edgeinfer.data.formats.protodune_root import list_planes, read_plane
from edgeinfer.lartpc.events import EventSettings, simulate

WIRES, PIXELS = 480, 1000  # of a ProtoDUNE collection plane, six ticks to a pixel
MOST_PIXELS = 1 << 27  # of one plane, so that a mistyped size does not take the memory


@dataclass(frozen=True, slots=True)
class WirePlane:
    """One plane's deconvolved signal in ADC counts (wires, pixels), and what it is called."""

    name: str
    adc: NDArray[np.float32]


def simulated(
    seed: int, count: int, wires: int = WIRES, pixels: int = PIXELS
) -> Iterator[WirePlane]:
    """Planes of simulated events, one an event."""
    if min(count, wires, pixels) < 1 or wires * pixels > MOST_PIXELS:
        raise UsageError(f"{count} planes of {wires} x {pixels} cannot be simulated.")
    children = np.random.SeedSequence(seed).spawn(count)
    settings = plane_settings(wires, pixels)
    for number, child in enumerate(children):
        yield WirePlane(f"simulated {number}", simulate(child, 1, settings).adc[0])


def plane_settings(wires: int, pixels: int) -> EventSettings:
    """A plane of that size: cosmic rays come by its area, the interaction happens once."""
    small = EventSettings()
    area = wires * pixels / (small.wires * small.pixels)
    cosmics = small.primaries.cosmics * area
    primaries = replace(small.primaries, cosmics=cosmics)
    return replace(small, wires=wires, pixels=pixels, primaries=primaries)


def of_dump(path: Path) -> Iterator[WirePlane]:
    """Every plane of a ProtoDUNE training dump."""
    keys = list_planes(path, refuse)
    for key in keys:
        name = f"run {key.run} event {key.event} tpc {key.tpc} view {key.view}"
        yield WirePlane(name, read_plane(path, key).raw.astype(np.float32))
