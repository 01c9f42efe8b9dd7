# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a file is, told by its first bytes; its name is asked only where these tell nothing."""

from __future__ import annotations

import zlib
from pathlib import Path

from edgeinfer.data.formats.guard import DataFileError, file_bytes

KNOWN = (
    "NumPy (.npz, .npy), HDF5, Parquet, ROOT (a tree or a ProtoDUNE dump), CSV, ARFF, a track's "
    "text, CVN pixel maps"
)
_HEAD_BYTES = 4096
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "npz"),
    (b"PK\x05\x06", "npz"),
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"PAR1", "parquet"),
    (b"root", "root"),
    (b"\x1f\x8b", "cvn"),
)
_NAMED = {
    ".npz": "npz",
    ".npy": "npy",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".parquet": "parquet",
    ".root": "root",
    ".gz": "cvn",
}
WORDS = {
    "npz": "a NumPy archive",
    "npy": "a NumPy array",
    "hdf5": "an HDF5 file",
    "parquet": "a Parquet file",
    "root": "a ROOT file",
    "cvn": "a CVN pixel map",
    "track": "a track's text",
    "arff": "an ARFF file",
    "csv": "a table of text",
}
_BESIDE = ("", ".info", ".json", ".md", ".toml", ".py")
"""Suffixes of files that lie beside data in a folder, and are none."""
_LOOKED_AT = 4


def kind_of(path: Path) -> str:
    """What a file is by its first bytes; an error that says what was tried where they fit none."""
    suffix = path.suffix.lower()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    file_kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if file_kind is None and _is_zlib(head):
        file_kind = "cvn"
    if file_kind is not None:
        return file_kind
    named = _NAMED.get(suffix)
    if b"\0" in head and _is_hdf5(path):
        return "hdf5"
    if named == "npz":
        return named  # its reader says what is wrong
    file_bytes(path)
    if named is not None:
        begin = head[:8].hex(" ")
        problem = f"is not {WORDS[named]}, although its name says so: it begins with "
        hint = "It may be truncated, or of another format: rename it if so."
        raise DataFileError(path, "", f"{problem}the bytes {begin}", hint=hint)
    text = _text_kind(head)
    if text == "csv" and suffix == ".dat" and len(head.split()) == len(head.splitlines()):
        return "track"  # one number a line: one that ends before its points do
    if text is None:
        problem = f"is of no format that is read here. Tried: {KNOWN}; it begins with the bytes "
        raise DataFileError(path, "", problem + head[:8].hex(" "))
    return text


def _is_hdf5(path: Path) -> bool:
    """Whether HDF5 begins later in the file, after a block of the user's own."""
    import h5py

    return bool(h5py.is_hdf5(path))


def _is_zlib(head: bytes) -> bool:
    if len(head) < 2 or head[0] & 0x0F != 8 or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        zlib.decompressobj().decompress(head, 64)
    except zlib.error:
        return False
    return True


def _text_kind(head: bytes) -> str | None:
    from edgeinfer.data.formats.track_pid_text import SEPARATOR

    if b"\0" in head:
        return None
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return None
        text = head[: error.start].decode("utf-8-sig", errors="replace")
    if SEPARATOR in text:
        return "track"
    lines = [line.strip().lower() for line in text.splitlines()]
    if any(line.startswith(("@relation", "@attribute")) for line in lines):
        return "arff"
    return "csv" if any(lines) else None


def kinds_in(files: tuple[Path, ...]) -> dict[str, str]:
    """The formats of a folder's files, with their suffixes; a few of a suffix stand for all."""
    some: dict[str, list[Path]] = {}
    for file in files:
        some.setdefault(file.suffix.lower(), []).append(file)
    suffixes: dict[str, str] = {}
    for suffix, alike in some.items():
        kinds = {} if suffix in _BESIDE else dict.fromkeys(map(_kind_or_none, alike[:_LOOKED_AT]))
        for kind in kinds:
            if kind == "csv" and suffix in (".txt", ".dat"):
                suffixes["track"] = suffix  # its reader says what is wrong with it
            elif kind is not None and (kind != "csv" or suffix in (".csv", ".tsv")):
                suffixes[kind] = suffix
    return suffixes


def _kind_or_none(file: Path) -> str | None:
    try:
        return kind_of(file)
    except DataFileError:
        return None
