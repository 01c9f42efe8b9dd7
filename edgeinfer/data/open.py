# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From what a user names (a file, `file:part` of it, a folder) to the source that reads it.

What a file is, its content tells; its name is asked only where the content tells nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edgeinfer.base import plan
from edgeinfer.base.errors import InputError, did_you_mean
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.scalings import PatchScaling
from edgeinfer.data.formats.shards import ShardSource
from edgeinfer.data.kind import KNOWN, WORDS, kind_of, kinds_in


class DataFormat(StrEnum):
    """What data can lie in, as a run's record names it."""

    NPZ = "npz"
    NPY = "npy"
    HDF5 = "hdf5"
    PARQUET = "parquet"
    ROOT_TREE = "root-tree"
    CSV = "csv"
    ARFF = "arff"
    PROTODUNE = "protodune-root"
    PATCH_TABLE = "patch-table-npy"
    PLAIN_PATCHES = "patches-npy"
    TRACK_PID = "track-pid-text"
    LARIAT = "lariat-hdf5"
    LCD = "lcd-hdf5"
    CVN = "cvn"


EXPERIMENTS = frozenset(
    {
        DataFormat.PROTODUNE,
        DataFormat.PATCH_TABLE,
        DataFormat.PLAIN_PATCHES,
        DataFormat.TRACK_PID,
        DataFormat.LARIAT,
        DataFormat.LCD,
        DataFormat.CVN,
    }
)
"""Formats whose columns have names of their own, which no network's inputs need to have."""

SCALINGS = tuple(scaling.value for scaling in PatchScaling)


@dataclass(frozen=True, slots=True)
class DataSet:
    """Data as a user named them: in which format they are, what reads them, where they lie."""

    place: Path
    choice: str
    """What followed the colon: a data set, a tree, or the scaling of patches."""
    format: DataFormat
    source: ShardSource
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """A short name, as records show it."""
        return f"{self.place.name}:{self.choice}" if self.choice else self.place.name

    @property
    def sha256(self) -> str:
        """Hash of the content; of an only file that is read as a whole, the file's own."""
        if len(self.files) == 1 and not self.choice and self.files[0] == self.place:
            return plan.sha256_of(self.place)
        state = hashlib.sha256(self.choice.encode())
        base = self.place if self.place.is_dir() else self.place.parent
        for file in self.files:
            state.update(f" {file.relative_to(base)} {plan.sha256_of(file)}".encode())
        return state.hexdigest()


def open_data(named: str | Path) -> DataSet:
    """What is at a place that a user named; nothing but heads of files is read."""
    path, choice = split_place(named)
    if path.is_dir():
        return _folder(path, choice)
    existing(path)
    kind = kind_of(path)
    return _data_set(path, choice, kind, (path,))


def split_place(named: str | Path) -> tuple[Path, str]:
    """`d.h5:images` is the part `images` of `d.h5`, unless a file is called so as a whole."""
    text = str(named)
    if not Path(text).exists():
        ends = [at for at, letter in enumerate(text) if letter == ":"]
        for end in reversed(ends):
            if Path(text[:end]).exists():
                return Path(text[:end]), text[end + 1 :]
        if ends and Path(text[: ends[-1]]).suffix:
            return Path(text[: ends[-1]]), text[ends[-1] + 1 :]
    return Path(text), ""


def existing(path: Path) -> Path:
    """The path, if a file is there; else an InputError that names its neighbours."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, where a file is needed.", hint="Check the path.")
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) or "Check the path."
        raise InputError(f"There is no file {path}.", hint=hint)
    return path


def _data_set(path: Path, choice: str, kind: str, files: tuple[Path, ...]) -> DataSet:
    """One file, or several of one kind, as the source that reads them."""
    makers: dict[str, Callable[[Path, str, tuple[Path, ...]], DataSet]] = {
        "npz": _npz,
        "npy": _npy,
        "hdf5": _hdf5,
        "parquet": _parquet,
        "root": _root,
        "cvn": _cvn,
        "track": _tracks,
        "arff": _text,
        "csv": _text,
    }
    return makers[kind](path, choice, files)


def _npz(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.npz import Archive

    _refuse_choice(path, choice)
    _refuse_many(path, files, "npz")
    return DataSet(path, "", DataFormat.NPZ, Archive(str(files[0])), files)


def _npy(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.npy_arrays import NpyArrays, labels_beside
    from edgeinfer.data.formats.npy_guard import read_npy_header
    from edgeinfer.data.formats.patches_npy import PatchTable, PlainPatches, patches_in

    first = read_npy_header(files[0])
    names = first.dtype.names or ()
    if {"run", "evt", "wire", "tck", "y0", "x0"} <= set(names):
        shape = _patch_shape(path, len([name for name in names if name[1:].isdecimal()]) - 4)
        table = PatchTable(tuple(map(str, files)), shape, _scaling(path, choice))
        return DataSet(path, choice, DataFormat.PATCH_TABLE, table, files)
    if path.is_dir():
        pair = [path / "x.npy", path / "y.npy"]
        by_name = tuple((file.stem, str(file)) for file in files)
    else:
        beside = labels_beside(path)
        pair = [path] if beside is None else [path, beside]
        files = tuple(pair)
        by_name = tuple(zip(("x", "y"), map(str, pair), strict=False))
    if set(pair) == set(files) and len(pair) == 2 and choice != "arrays":
        side = patches_in(pair[0], pair[1], stated=choice in SCALINGS)
        if side is not None:
            pairs = ((str(pair[0]), str(pair[1])),)
            patches = PlainPatches(pairs, side, _scaling(path, choice))
            return DataSet(path, choice, DataFormat.PLAIN_PATCHES, patches, files)
    if choice not in ("", "arrays"):
        _refuse_choice(path, choice)
    return DataSet(path, choice, DataFormat.NPY, NpyArrays(by_name), files)


def _patch_shape(path: Path, pixels: int) -> tuple[int, int]:
    side = round(max(pixels, 0) ** 0.5)
    if side * side != pixels:
        raise DataFileError(path, "", f"has patches of {pixels} pixels, which are not square")
    return side, side


def _scaling(path: Path, choice: str) -> PatchScaling:
    if choice not in ("", *SCALINGS):
        hint = f"Write {path}:unit, for example."
        problem = f"is not a scaling of patches; these are {', '.join(SCALINGS)}"
        raise DataFileError(path, choice, problem, hint=hint)
    return PatchScaling(choice) if choice else PatchScaling.SIGNED


def _hdf5(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.h5_arrays import H5Arrays, keys_of
    from edgeinfer.data.formats.h5_guard import open_h5
    from edgeinfer.data.formats.lariat_h5 import LariatFiles
    from edgeinfer.data.formats.lcd_h5 import LcdFiles, target_length_of

    names = tuple(map(str, files))
    with open_h5(names[0]) as file:
        keys = set(file)
    fits = [name for name, due in (("LArIAT", {"images", "Energy"}),
                                   ("LCD", {"ECAL", "HCAL", "target"})) if due <= keys]  # fmt: skip
    if not choice and len(fits) > 1:
        hint = f"Name the data sets: {path}:images,Energy or {path}:ECAL,HCAL,target."
        raise DataFileError(path, "", "fits two formats: LArIAT and LCD", hint=hint)
    if not choice and fits == ["LArIAT"]:
        return DataSet(path, "", DataFormat.LARIAT, LariatFiles(names), files)
    if not choice and fits == ["LCD"]:
        files_of_lcd = LcdFiles(names, target_length_of(names[0]))
        return DataSet(path, "", DataFormat.LCD, files_of_lcd, files)
    arrays = H5Arrays(names, keys_of(names[0], choice))
    return DataSet(path, choice, DataFormat.HDF5, arrays, files)


def _parquet(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.parquet_rows import ParquetFiles

    _refuse_choice(path, choice)
    return DataSet(path, "", DataFormat.PARQUET, ParquetFiles(tuple(map(str, files))), files)


def _root(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.protodune_root import DIRECTORY, PlaneDump
    from edgeinfer.data.formats.root_tree import RootTrees, trees_in

    names = tuple(map(str, files))
    trees, folders = trees_in(names[0])
    dump = DIRECTORY in folders
    if dump and (choice in SCALINGS or not (choice or trees)):
        plane_dump = PlaneDump(names, scaling=_scaling(path, choice))
        return DataSet(path, choice, DataFormat.PROTODUNE, plane_dump, files)
    if not choice and dump:
        hint = f"Name one: {path}:signed for patches of the planes, or {path}:{trees[0]}."
        raise DataFileError(path, "", "fits two formats: a ProtoDUNE dump, and trees", hint=hint)
    if not choice and len(trees) != 1:
        if not trees:
            problem = f"holds neither a tree nor the folder {DIRECTORY!r} of a ProtoDUNE dump"
            raise DataFileError(path, "", problem)
        hint = f"Name one: {path}:{trees[0]}."
        raise DataFileError(
            path, "", f"holds {len(trees)} trees: {', '.join(trees[:5])}", hint=hint
        )
    tree = choice or trees[0]
    return DataSet(path, tree, DataFormat.ROOT_TREE, RootTrees(names, tree), files)


def _cvn(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.cvn import PixelMaps
    from edgeinfer.data.formats.file_sets import FileSet

    _refuse_choice(path, choice)
    base = path if path.is_dir() else path.parent
    maps = FileSet(str(base), tuple(str(file.relative_to(base)) for file in files))
    truths = tuple(file.with_suffix(".info") for file in files)
    for truth in truths:
        if not truth.is_file():
            raise DataFileError(truth, "", "there is no such file, and it holds an event's truth")
    return DataSet(path, "", DataFormat.CVN, PixelMaps(maps), (*files, *truths))


def _tracks(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.file_sets import FileSet
    from edgeinfer.data.formats.track_pid_text import TrackFiles

    if choice not in ("", "raw"):
        _refuse_choice(path, choice)
    base = path if path.is_dir() else path.parent
    tracks = FileSet(str(base), tuple(str(file.relative_to(base)) for file in files))
    source = TrackFiles(tracks, normalise=choice != "raw")
    return DataSet(path, choice, DataFormat.TRACK_PID, source, files)


def _text(path: Path, choice: str, files: tuple[Path, ...]) -> DataSet:
    from edgeinfer.data.formats.text_tables import TextTable

    _refuse_choice(path, choice)
    arff = kind_of(files[0]) == "arff"
    table = TextTable(tuple(map(str, files)), arff)
    return DataSet(path, "", DataFormat.ARFF if arff else DataFormat.CSV, table, files)


def _refuse_choice(path: Path, choice: str) -> None:
    if choice:
        hint = f"Leave it out: {path}."
        raise DataFileError(path, choice, "the format has no parts that could be named", hint=hint)


def _refuse_many(path: Path, files: tuple[Path, ...], what: str) -> None:
    if len(files) > 1:
        hint = f"Name one of them: {files[0]}."
        raise DataFileError(path, "", f"holds {len(files)} files of the format {what}", hint=hint)


def _folder(path: Path, choice: str) -> DataSet:
    """Files of one kind in a folder, or in its folders; what stands beside them does not count."""
    files = tuple(sorted(file for file in path.iterdir() if file.is_file()))
    inside = [part for part in sorted(path.iterdir()) if part.is_dir()]
    kinds = kinds_in(files)
    if not kinds:
        files = tuple(file for part in inside for file in sorted(part.iterdir()) if file.is_file())
        kinds = kinds_in(files)
    if not kinds:
        hint = f"Expected are files of one of these formats: {KNOWN}."
        raise DataFileError(path, "", "is a folder without data that are read here", hint=hint)
    if len(kinds) > 1:
        listed = " and ".join(f"{WORDS[kind]} ({suffix})" for kind, suffix in kinds.items())
        hint = "Keep one format in a folder, or name a file."
        raise DataFileError(path, "", f"fits {len(kinds)} formats: it holds {listed}", hint=hint)
    kind, suffix = next(iter(kinds.items()))
    return _data_set(path, choice, kind, tuple(f for f in files if f.suffix.lower() == suffix))
