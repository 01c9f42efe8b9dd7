# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Track PID dumps: one small text file a track, one number a line.

100 lines of dE/dx (MeV/cm, the stopping point last), the line `End of dE/dx`, the 7 scalars
(n_track, n_shower, n_grandchildren, mean dE/dx, its sigma, mean deflection angle, its sigma), then
the true PDG code, the number of hits, the true momentum in GeV/c and the purity of the truth match.
Some dumps end with the 3 scores of the network that ran when they were written; they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.file_sets import FileSet
from edgeinfer.data.formats.guard import DataFileError, file_bytes
from edgeinfer.data.formats.scalings import scale_dedx, scale_track_scalars
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard

POINTS = 100
SEPARATOR = "End of dE/dx"
SCALARS = (
    "n_track",
    "n_shower",
    "n_grandchildren",
    "dedx_mean",
    "dedx_sigma",
    "deflection_mean",
    "deflection_sigma",
)
CLASSES = {13: 0, 211: 1, 2212: 2}
"""|PDG code| to class index: mu, pi, p. Other particles are no class of the tagger: all zeros."""

_TAIL = ("PDG", "nHits", "P", "purity")
_SCORES = ("muon score", "pion score", "proton score")
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One reconstructed track and its truth."""

    dedx_mev_cm: np.ndarray
    scalars: np.ndarray
    pdg: int
    hits: int
    momentum_gev: float
    purity: float
    scores: tuple[float, ...] = ()


def read_track(path: str | Path) -> Track:
    """Read one track file; an error names the line."""
    size = file_bytes(path)
    if size > _MAX_BYTES:
        raise DataFileError(path, "", f"has {size} bytes, far more than one track")
    try:
        text = Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise DataFileError(path, "", "is not a text file") from None
    lines = text.splitlines()
    names = [f"dE/dx[{i}]" for i in range(POINTS)] + [SEPARATOR, *SCALARS, *_TAIL]
    if len(lines) == len(names) + len(_SCORES):
        names += _SCORES
    values: list[float] = []
    for number, name in enumerate(names, start=1):
        if number > len(lines):
            hint = f"A track has {len(names)} lines, this file {len(lines)}: it is truncated."
            raise DataFileError(path, name, f"line {number} is missing", hint=hint)
        line = lines[number - 1].strip()
        if name == SEPARATOR:
            if line != SEPARATOR:
                problem = f"line {number} is {line[:40]!r}, the line {SEPARATOR!r} is expected"
                hint = f"There must be exactly {POINTS} dE/dx values before it."
                raise DataFileError(path, name, problem, hint=hint)
            continue
        values.append(_number(line, path, name, number))
    if len(lines) > len(names):
        raise DataFileError(path, "", f"goes on after line {len(names)}, where a track ends")
    return _track(values, path)


def _number(line: str, path: str | Path, name: str, number: int) -> float:
    try:
        value = float(line)
    except ValueError:
        raise DataFileError(path, name, f"line {number} is {line[:40]!r}, no number") from None
    if not math.isfinite(value):
        raise DataFileError(path, name, f"line {number} is {line}")
    return value


def _track(values: list[float], path: str | Path) -> Track:
    pdg, hits, momentum_gev, purity = values[POINTS + 7 : POINTS + 11]
    for name, value in (("PDG", pdg), ("nHits", hits)):
        if value != int(value):
            raise DataFileError(path, name, f"is {value}, an integer is expected")
    if hits < 0 or momentum_gev < 0:
        name = "nHits" if hits < 0 else "P"
        raise DataFileError(path, name, "is negative")
    if not 0 <= purity <= 1:
        raise DataFileError(path, "purity", f"is {purity}, outside [0, 1]")
    return Track(
        np.array(values[:POINTS], dtype=np.float32),
        np.array(values[POINTS : POINTS + 7], dtype=np.float32),
        int(pdg),
        int(hits),
        momentum_gev,
        purity,
        tuple(values[POINTS + 11 :]),
    )


@dataclass(frozen=True, slots=True)
class TrackFiles:
    """Tracks of a list of files, a shard being some tens of files."""

    files: FileSet
    normalise: bool = True
    """Off for dumps that hold normalised values already."""

    def layout(self) -> Layout:
        """Profile, scalars, one-hot class [mu, pi, p], PDG code and momentum (GeV/c)."""
        return {
            "profile": ColumnSpec((POINTS, 1), np.dtype(np.float32)),
            "scalars": ColumnSpec((len(SCALARS),), np.dtype(np.float32)),
            "labels": ColumnSpec((len(CLASSES),), np.dtype(np.uint8)),
            "pdg": ColumnSpec((), np.dtype(np.int32)),
            "momentum_gev": ColumnSpec((), np.dtype(np.float32)),
        }

    def shards(self) -> tuple[Shard, ...]:
        """Runs of files; nothing is opened yet."""
        return self.files.shards(rows_a_shard=64, held_a_row=8 * 1024)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The tracks of the files of one shard."""
        tracks = self.files.read_each(shard, read_track)
        profile = np.stack([track.dedx_mev_cm for track in tracks])[..., np.newaxis]
        scalars = np.stack([track.scalars for track in tracks])
        pdg = np.array([track.pdg for track in tracks], dtype=np.int32)
        labels = np.stack([np.abs(pdg) == code for code in CLASSES], axis=1).astype(np.uint8)
        yield {
            "profile": scale_dedx(profile) if self.normalise else profile,
            "scalars": scale_track_scalars(scalars) if self.normalise else scalars,
            "labels": labels,
            "pdg": pdg,
            "momentum_gev": np.array([t.momentum_gev for t in tracks], dtype=np.float32),
        }
