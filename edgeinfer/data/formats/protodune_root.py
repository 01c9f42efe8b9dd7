# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The ProtoDUNE training dump: planes of (raw, deposit, pdg) as 2D histograms in a ROOT file.

The directory `datadump` holds for each plane `raw_event_E_run_R_subrun_S_tpc_T_view_V` followed by
`_raw` (TH2F, deconvolved ADC), `_deposit` (TH2F, GeV) and `_pdg` (TH2I, see `plane_patches`).
The x axis is the wire, the y axis the downsampled tick; an axis that begins above zero is a plane
cropped around its event. Reading goes through uproot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.data.formats.guard import (
    DataFileError,
    check_finite,
    file_bytes,
    missing_key,
)
from edgeinfer.data.formats.patch_rows import DEFAULT_SHAPE, patch_layout
from edgeinfer.data.formats.plane_patches import EdgePolicy, Plane, PlaneKey, patch_blocks
from edgeinfer.data.formats.root_blocks import check_blocks
from edgeinfer.data.formats.scalings import PatchScaling
from edgeinfer.data.formats.shards import SHARD_BYTES, Columns, Layout, Shard

DIRECTORY = "datadump"
PARTS = {"raw": "TH2F", "deposit": "TH2F", "pdg": "TH2I"}
"""The histograms of a plane, and their classes."""

_STEM = re.compile(r"raw_event_(\d+)_run_(\d+)_subrun_(\d+)_tpc_(\d+)_view_(\d+)")


def stem_of(key: PlaneKey) -> str:
    """The common part of a plane's three histogram names."""
    return f"raw_event_{key.event}_run_{key.run}_subrun_{key.subrun}_tpc_{key.tpc}_view_{key.view}"


def parse_stem(stem: str) -> PlaneKey | None:
    """The plane that a histogram name stands for, or None if it is no such name."""
    match = _STEM.fullmatch(stem)
    return PlaneKey(*(int(group) for group in match.groups())) if match else None


def list_planes(path: str | Path) -> tuple[PlaneKey, ...]:
    """The planes of a dump, in order; an error where one lacks a histogram."""
    with _Dump(path) as dump:
        return tuple(key for key, _ in dump.planes())


def read_plane(path: str | Path, key: PlaneKey) -> Plane:
    """Read one plane of a dump."""
    with _Dump(path) as dump:
        return dump.plane(key)


class _Dump:
    """An open dump: every failure of uproot becomes an error that names the file and the key."""

    def __init__(self, path: str | Path) -> None:
        import uproot

        self.path = path
        file_bytes(path)
        try:
            # uproot would keep the last hundred planes of all files in memory.
            self._file = uproot.open(path, object_cache=None, array_cache=None)
        except Exception as error:  # uproot raises whatever its parsing ran into
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise DataFileError(path, "", f"is not a readable ROOT file ({reason})") from None
        try:
            names = self._file.keys(recursive=False, cycle=False)
            if DIRECTORY not in names:
                raise missing_key(path, DIRECTORY, names)
            self._directory = self._named(DIRECTORY, lambda: self._file[DIRECTORY])
            self._names = self._named(
                DIRECTORY, lambda: dict.fromkeys(self._directory.keys(recursive=False, cycle=False))
            )
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> _Dump:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def _named(self, key: str, read: Any) -> Any:
        try:
            return read()
        except DataFileError:
            raise
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            hint = "The file is damaged or truncated; copy it again."
            raise DataFileError(self.path, key, f"cannot be read ({reason})", hint=hint) from None

    def planes(self) -> Iterator[tuple[PlaneKey, int]]:
        """Each complete plane with the bytes of its three histograms."""
        stems = dict.fromkeys(name.rpartition("_")[0] for name in self._names)
        for stem in stems:
            key = parse_stem(stem)
            if key is None:
                hint = "Keys are raw_event_E_run_R_subrun_S_tpc_T_view_V_{raw,deposit,pdg}."
                problem = "is not the name of a plane"
                raise DataFileError(self.path, f"{DIRECTORY}/{stem}", problem, hint=hint)
            yield key, sum(self._checked_key(stem, part).fObjlen for part in PARTS)

    def _checked_key(self, stem: str, part: str) -> Any:
        name = f"{stem}_{part}"
        if name not in self._names:
            raise missing_key(self.path, f"{DIRECTORY}/{name}", self._full_names())
        full = f"{DIRECTORY}/{name}"
        key = self._named(full, lambda: self._directory.key(name))
        if key.fClassName != PARTS[part]:
            raise DataFileError(
                self.path, full, f"is a {key.fClassName}, a {PARTS[part]} is expected"
            )
        return key

    def _full_names(self) -> list[str]:
        return [f"{DIRECTORY}/{name}" for name in self._names]

    def plane(self, key: PlaneKey) -> Plane:
        """One plane, its three histograms checked against each other."""
        parts = {part: self._part(stem_of(key), part) for part in PARTS}
        (raw, edges), others = parts["raw"], [parts["deposit"], parts["pdg"]]
        for part, (_, other_edges) in zip(("deposit", "pdg"), others, strict=True):
            if other_edges != edges:
                name = f"{DIRECTORY}/{stem_of(key)}_{part}"
                problem = f"covers {other_edges}, its raw histogram covers {edges}"
                raise DataFileError(self.path, name, problem)
        deposit, pdg = parts["deposit"][0], parts["pdg"][0]
        return Plane(key, raw, deposit, pdg, first_wire=edges[0][0], first_drift=edges[1][0])

    def _part(self, stem: str, part: str) -> tuple[np.ndarray, tuple[tuple[int, int], ...]]:
        key = self._checked_key(stem, part)
        name = f"{DIRECTORY}/{stem}_{part}"
        payload = self._named(name, lambda: _payload(self._file, key))
        check_blocks(payload, key.fObjlen, self.path, name)
        histogram = self._named(name, lambda: self._directory[f"{stem}_{part}"])
        edges = (self._axis(histogram, 0, name), self._axis(histogram, 1, name))
        values = self._named(name, lambda: _bin_contents(histogram, edges))
        _take_apart(histogram)
        check_finite(values, self.path, name)
        return values, edges

    def _axis(self, histogram: Any, index: int, name: str) -> tuple[int, int]:
        axis = self._named(name, lambda: histogram.axis(index))
        low, high = float(axis.low), float(axis.high)
        bins = int(axis.member("fNbins"))
        if low != int(low) or high - low != bins:
            which = "xy"[index]
            problem = (
                f"its {which} axis runs from {low} to {high} in {bins} bins, one a bin is expected"
            )
            raise DataFileError(self.path, name, problem)
        return int(low), int(high)


def _bin_contents(histogram: Any, edges: tuple[tuple[int, int], ...]) -> np.ndarray:
    """A copy of a 2D histogram's bins (x, y), without under- and overflow."""
    wires, drifts = (high - low for low, high in edges)
    # Not histogram.values(), which keeps a second copy inside the histogram.
    bins = np.asarray(histogram.bases[-1]).reshape(drifts + 2, wires + 2)
    return bins[1:-1, 1:-1].T.astype(bins.dtype.newbyteorder("="), order="C")


def _take_apart(model: Any) -> None:
    """Cut the cycles within an uproot object, of which every part keeps the whole buffer alive.

    Otherwise planes pile up in memory until the garbage collector happens to run.
    """
    parts = [*model.bases, *model.members.values()]
    model.bases.clear()
    model.members.clear()
    for part in parts:
        if hasattr(part, "bases"):
            _take_apart(part)


def _payload(file: Any, key: Any) -> bytes:
    start = key.fSeekKey + key.fKeylen
    stop = start + key.fNbytes - key.fKeylen
    return bytes(file.file.source.chunk(start, stop).raw_data)


@dataclass(frozen=True, slots=True)
class PlaneDump:
    """Patches cut from the planes of one or several dumps: one shard a plane, one group a file."""

    paths: tuple[str, ...]
    shape: tuple[int, int] = DEFAULT_SHAPE
    scaling: PatchScaling = PatchScaling.SIGNED
    edge: EdgePolicy = "skip"
    none_fraction: float = 1e-3
    """The fraction of the allowed empty pixels that becomes 'none' patches."""
    seed: int = 0

    def layout(self) -> Layout:
        """Patch, labels and identity."""
        return patch_layout(self.shape, ids=True)

    def shards(self) -> tuple[Shard, ...]:
        """Every complete plane of every readable dump."""
        pieces: list[Shard] = []
        for path in self.paths:
            with _Dump(path) as dump:
                for key, object_bytes in dump.planes():
                    memory_bytes = 4 * object_bytes + 4 * SHARD_BYTES
                    pieces.append(Shard(path, stem_of(key), 0, 0, path, memory_bytes))
        return tuple(pieces)

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The labelled patches of one plane, about a megabyte at a time."""
        key = parse_stem(shard.key)
        if key is None:
            raise ValueError(f"{shard.key} is not a plane of a dump")
        plane = read_plane(shard.path, key)
        yield from patch_blocks(
            plane, self.shape, self.scaling, self.edge, self.none_fraction, self.seed
        )
