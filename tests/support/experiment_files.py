# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files of the experiments' layouts, written from arrays: edgeinfer itself only reads them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edgeinfer.data.formats import cvn, lariat_h5
from edgeinfer.data.formats.file_sets import FileSet
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.patch_rows import join_labels
from edgeinfer.data.formats.patches_npy import write_table
from edgeinfer.data.formats.plane_patches import CODE_MASK, Plane
from edgeinfer.data.formats.protodune_root import DIRECTORY, PARTS, stem_of
from edgeinfer.data.formats.shards import Columns
from edgeinfer.data.formats.track_pid_text import SEPARATOR, Track


def write_planes(path: str | Path, planes: Iterable[Plane]) -> None:
    """Write planes as a dump of the experiment's layout."""
    import uproot

    with uproot.recreate(path) as file:
        for plane in planes:
            for part in PARTS:
                name = f"{DIRECTORY}/{stem_of(plane.key)}_{part}"
                file[name] = histogram_of(part, getattr(plane, part), plane)


def histogram_of(part: str, values: np.ndarray, plane: Plane) -> Any:
    from uproot.writing.identify import to_TAxis, to_TH2x

    wires, drifts = values.shape
    bins = np.zeros((drifts + 2, wires + 2), dtype=np.int32 if part == "pdg" else np.float32)
    bins[1:-1, 1:-1] = values.T
    x = to_TAxis("xaxis", "", wires, plane.first_wire, plane.first_wire + wires)
    y = to_TAxis("yaxis", "", drifts, plane.first_drift, plane.first_drift + drifts)
    total = float(values.sum(dtype=np.float64))
    title = {"raw": "ADC", "deposit": "Deposit", "pdg": "PDG"}[part]
    return to_TH2x("", title, bins.ravel(), values.size, total, 0, 0, 0, 0, 0, 0, None, x, y)


def pack_pdg(code: np.ndarray, flags: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """|particle code|, flags and vertex bits to the int32 pdg word."""
    word = (np.abs(code).astype(np.int64) & CODE_MASK) | (flags.astype(np.int64) & 0xF) << 12
    return (word | (vertex.astype(np.int64) & 0xFFFF) << 16).astype(np.uint32).view(np.int32)


def write_patch_table(path: str | Path, columns: Columns) -> None:
    """Write one block of unscaled patches as a structured table."""
    with write_table(path, columns["patch"].shape[1:3]) as writer:
        writer.write(columns)


def write_plain_patches(x_path: str | Path, y_path: str | Path, columns: Columns) -> None:
    """Write unscaled patches as a plain `x.npy` with its `y.npy`."""
    np.save(x_path, columns["patch"])
    np.save(y_path, join_labels(columns["labels"], columns["michel"]))


def write_pixel_map(path: str | Path, event: cvn.PixelMap) -> None:
    """Write `NAME.gz` and the `NAME.info` beside it."""
    if event.views.shape != cvn.SHAPE or event.views.dtype != np.uint8:
        raise ValueError(
            f"views are {event.views.dtype} {event.views.shape}, uint8 {cvn.SHAPE} is expected"
        )
    info = event.info
    numbers = [info.interaction, info.neutrino_energy_gev, info.lepton_energy_gev, *info.others]
    numbers += [info.neutrino_pdg, info.protons, info.charged_pions]
    numbers += [info.neutral_pions, info.neutrons, *info.more]
    Path(path).write_bytes(zlib.compress(event.views.tobytes()))
    text = "".join(f"{number}\n" for number in numbers)
    Path(path).with_suffix(".info").write_text(text, encoding="ascii")


def write_lariat(path: str | Path, images: np.ndarray, energy_gev: np.ndarray) -> None:
    """Write unscaled images and energies, an event a chunk, with gzip."""
    with h5py.File(path, "w") as file:
        options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        file.create_dataset("images", data=images, chunks=(1, *lariat_h5.SHAPE), **options)
        file.create_dataset("Energy", data=energy_gev)


def write_lcd(path: str | Path, ecal: np.ndarray, hcal: np.ndarray, target: np.ndarray) -> None:
    """Write unscaled showers, about a megabyte a chunk, with gzip."""
    rows = max(1, min(len(ecal), 16))
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    with h5py.File(path, "w") as file:
        for key, values in (("ECAL", ecal), ("HCAL", hcal)):
            chunks = (rows, *values.shape[1:])
            file.create_dataset(key, data=values, chunks=chunks, **options)
        file.create_dataset("target", data=target)


def write_track(path: str | Path, track: Track) -> None:
    """Write one track file."""
    numbers = [*track.dedx_mev_cm, SEPARATOR, *track.scalars]
    numbers += [track.pdg, track.hits, track.momentum_gev, track.purity, *track.scores]
    lines = [n if isinstance(n, str) else str(n) for n in numbers]
    Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def find_files(folder: str | Path, pattern: str) -> FileSet:
    """The files of a folder that match a pattern, sorted; none at all is an error."""
    if not Path(folder).is_dir():
        raise DataFileError(folder, "", "no such folder")
    names = tuple(sorted(path.name for path in Path(folder).glob(pattern)))
    if not names:
        raise DataFileError(folder, pattern, "no file of the folder matches")
    return FileSet(str(folder), names)
