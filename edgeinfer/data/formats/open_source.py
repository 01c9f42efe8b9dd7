# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a path that a user names to the source that reads it, by what the files are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgeinfer.data.formats.file_sets import find_files
from edgeinfer.data.formats.guard import DataFileError, file_bytes
from edgeinfer.data.formats.shards import Source

KNOWN = (
    "a .root dump, a structured .npy table, an .h5 with 'images' or with 'ECAL', or a folder of "
    "those, of x.npy and y.npy, of track .dat or .txt files, or of .gz pixel maps"
)
_SUFFIX = {".hdf5": ".h5", ".txt": ".dat"}


def open_source(path: str | Path) -> Source:
    """The source for a file, or for a folder of files of one format."""
    place = Path(path)
    if not place.is_dir():
        file_bytes(place)
        return _source_of_files(place, (str(place),))
    if (place / "x.npy").exists():
        from edgeinfer.data.formats.patches_npy import PlainPatches

        return PlainPatches(((str(place / "x.npy"), str(place / "y.npy")),))
    files = sorted(str(entry) for entry in place.iterdir() if entry.is_file())
    kinds = Counter(_kind(file) for file in files if _kind(file) != ".info")
    if not kinds:
        raise DataFileError(path, "", "the folder holds no files", hint=f"Expected is {KNOWN}.")
    kind = kinds.most_common(1)[0][0]
    return _source_of_files(place, tuple(file for file in files if _kind(file) == kind))


def _kind(file: str) -> str:
    suffix = Path(file).suffix.lower()
    return _SUFFIX.get(suffix, suffix)


def _source_of_files(place: Path, paths: tuple[str, ...]) -> Source:
    match _kind(paths[0]):
        case ".root":
            from edgeinfer.data.formats.protodune_root import PlaneDump

            return PlaneDump(paths)
        case ".npy":
            from edgeinfer.data.formats.patches_npy import PatchTable

            return PatchTable(paths)
        case ".h5":
            return _h5_source(paths)
        case ".dat" if place.is_dir():
            from edgeinfer.data.formats.track_pid_text import TrackFiles

            return TrackFiles(find_files(place, f"*{Path(paths[0]).suffix}"))
        case ".gz" if place.is_dir():
            from edgeinfer.data.formats.cvn import PixelMaps

            return PixelMaps(find_files(place, "*.gz"))
        case _:
            problem = "is of no format that is read here"
            raise DataFileError(place, "", problem, hint=f"Expected is {KNOWN}.")


def _h5_source(paths: tuple[str, ...]) -> Source:
    from edgeinfer.data.formats.h5_guard import open_h5
    from edgeinfer.data.formats.lariat_h5 import LariatFiles
    from edgeinfer.data.formats.lcd_h5 import LcdFiles

    with open_h5(paths[0]) as file:
        keys = set(file)
    if "images" in keys:
        return LariatFiles(paths)
    if "ECAL" in keys:
        return LcdFiles(paths)
    problem = f"holds {', '.join(sorted(keys)) or 'nothing'}; 'images' or 'ECAL' is due"
    raise DataFileError(paths[0], "", problem)
