# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""CVN pixel maps: `NAME.gz`, a zlib stream of 3 x 500 x 500 uint8, beside `NAME.info`, its truth.

Despite its name the .gz is bare zlib; real gzip is read as well. The .info has one number a line:
interaction, neutrino energy and lepton energy (GeV), four reconstruction-dependent numbers that are
kept as they are, the neutrino PDG code (1 for neutral current), and the number of protons, charged
pions, neutral pions and neutrons. Further lines, which newer writers add, are kept too.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.file_sets import FileSet
from edgeinfer.data.formats.guard import DataFileError, file_bytes, inflate
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard

SHAPE = (3, 500, 500)
"""Views, wires, ticks."""

CLASSES = {1: 0, 12: 1, 14: 2, 16: 3}
"""|PDG code| to class index: neutral current, nu_e, nu_mu, nu_tau."""

FLAVOURS = {14: 0, 12: 1, 16: 2, 1: 3}
"""|PDG code| to the class of CVN's output `flavour`: nu_mu, nu_e, nu_tau, neutral current."""

PARTICLES = {
    "protons": "protons",
    "pions": "charged_pions",
    "pizeros": "neutral_pions",
    "neutrons": "neutrons",
}
"""CVN's outputs that count particles, and whose number they tell."""

MANY = 3
"""The last class of a count: so many, or more."""

_BYTES = math.prod(SHAPE)
_MAX_FILE_BYTES = _BYTES + _BYTES // 500 + 1024
"""zlib and gzip lengthen what they cannot compress by less than this."""
_MAX_INFO_BYTES = 4096
_ANY_HEADER = zlib.MAX_WBITS | 32
_INTEGERS = {0: "interaction", 7: "NuPDG", 8: "NProton", 9: "NPion", 10: "NPizero", 11: "NNeutron"}
_LINES = 12


@dataclass(frozen=True, slots=True)
class EventInfo:
    """The truth of an event."""

    interaction: int
    neutrino_energy_gev: float
    lepton_energy_gev: float
    neutrino_pdg: int
    protons: int
    charged_pions: int
    neutral_pions: int
    neutrons: int
    others: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    """Lines 4 to 7."""
    more: tuple[float, ...] = ()
    """Lines from 13 on."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelMap:
    """One event: three views, and its truth."""

    views: np.ndarray
    info: EventInfo


def read_pixel_map(path: str | Path) -> PixelMap:
    """Read `NAME.gz` and the `NAME.info` beside it."""
    size = file_bytes(path)
    if size > _MAX_FILE_BYTES:
        problem = f"has {size} bytes, more than {SHAPE} pixels can compress to"
        raise DataFileError(path, "", problem)
    data = inflate(Path(path).read_bytes(), _BYTES, path, "", _ANY_HEADER)
    views = np.frombuffer(data, dtype=np.uint8).reshape(SHAPE)
    return PixelMap(views, read_info(Path(path).with_suffix(".info")))


def read_info(path: str | Path) -> EventInfo:
    """Read the truth of an event."""
    size = file_bytes(path)
    if size > _MAX_INFO_BYTES:
        raise DataFileError(path, "", f"has {size} bytes, more than a list of numbers needs")
    lines = Path(path).read_bytes().split()
    if len(lines) < _LINES:
        problem = f"has {len(lines)} numbers, at least {_LINES} are expected"
        raise DataFileError(path, "", problem)
    values: list[float] = []
    for index, line in enumerate(lines):
        name = _INTEGERS.get(index, f"line {index + 1}")
        try:
            value = float(line)
        except ValueError:
            raise DataFileError(path, name, f"is {line[:40]!r}, no number") from None
        if not math.isfinite(value) or (index in _INTEGERS and value != int(value)):
            due = "an integer" if index in _INTEGERS else "a finite number"
            raise DataFileError(path, name, f"is {value}, {due} is expected")
        values.append(value)
    pdg = int(values[7])
    if abs(pdg) not in CLASSES:
        hint = f"|NuPDG| is one of {', '.join(map(str, CLASSES))}."
        raise DataFileError(path, "NuPDG", f"is {pdg}, no neutrino", hint=hint)
    return EventInfo(
        interaction=int(values[0]),
        neutrino_energy_gev=values[1],
        lepton_energy_gev=values[2],
        neutrino_pdg=pdg,
        protons=int(values[8]),
        charged_pions=int(values[9]),
        neutral_pions=int(values[10]),
        neutrons=int(values[11]),
        others=tuple(values[3:7]),
        more=tuple(values[_LINES:]),
    )


@dataclass(frozen=True, slots=True)
class PixelMaps:
    """Events of a folder of `.gz` files; a shard is two events."""

    files: FileSet

    def layout(self) -> Layout:
        """Views (wires, ticks, 3) as written and one by one, one-hot flavour, interaction and
        energy, and what CVN's own outputs tell, under their names."""
        one = ColumnSpec((*SHAPE[1:], 1), np.dtype(np.uint8))
        return {
            "views": ColumnSpec((*SHAPE[1:], SHAPE[0]), np.dtype(np.uint8)),
            **{f"view{view}": one for view in range(SHAPE[0])},
            "labels": ColumnSpec((len(CLASSES),), np.dtype(np.uint8)),
            "interaction_code": ColumnSpec((), np.dtype(np.int32)),
            "neutrino_energy_gev": ColumnSpec((), np.dtype(np.float32)),
            "flavour": ColumnSpec((), np.dtype(np.uint8)),
            **{name: ColumnSpec((), np.dtype(np.uint8)) for name in PARTICLES},
        }

    def shards(self) -> tuple[Shard, ...]:
        """Pairs of files; nothing is opened yet."""
        return self.files.shards(rows_a_shard=2, held_a_row=5 * _BYTES)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The events of one shard."""
        events = self.files.read_each(shard, read_pixel_map)
        infos = [event.info for event in events]
        pdg = np.abs([info.neutrino_pdg for info in infos])
        energies = [info.neutrino_energy_gev for info in infos]
        views = np.stack([np.moveaxis(event.views, 0, -1) for event in events])
        counts = {
            name: np.array([min(getattr(info, kind), MANY) for info in infos], dtype=np.uint8)
            for name, kind in PARTICLES.items()
        }
        yield {
            "views": views,
            **{f"view{view}": views[..., view : view + 1] for view in range(SHAPE[0])},
            "labels": np.stack([pdg == code for code in CLASSES], axis=1).astype(np.uint8),
            "interaction_code": np.array([info.interaction for info in infos], dtype=np.int32),
            "neutrino_energy_gev": np.array(energies, dtype=np.float32),
            "flavour": np.array([FLAVOURS[code] for code in pdg], dtype=np.uint8),
            **counts,
        }
