# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A malformed file is refused with its name, the offending key, and the reason, in one paragraph.

Each case spoils a sound file in one way; the table says which key and which words the error names.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.lib import format as npy_format

from edgeinfer.data.formats.cvn import PixelMaps
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.lcd_h5 import LcdFiles
from edgeinfer.data.formats.patches_npy import PatchTable, PlainPatches
from edgeinfer.data.formats.shards import ShardSource
from edgeinfer.data.formats.track_pid_text import TrackFiles
from tests.support.experiment_files import (
    find_files,
    write_patch_table,
    write_pixel_map,
    write_plain_patches,
    write_track,
)


def read_all(source: ShardSource) -> int:
    """Read every row; how many there were."""
    shards = source.shards()
    blocks = (block for shard in shards for block in source.read(shard))
    return sum(len(next(iter(block.values()))) for block in blocks)


def expect(source: ShardSource, name: str, key: str, words: str) -> None:
    """Reading raises the error."""
    with pytest.raises(DataFileError) as caught:
        read_all(source)
    error = caught.value
    assert Path(error.path).name == name
    assert key in error.key
    assert words in error.problem
    assert name in str(error)
    assert "\n" not in str(error)
    assert error.exit_code == 2


def keep(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:count])


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, change(np.load(path, max_header_size=100_000)))


def set_field(name: str, row: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(table: np.ndarray) -> np.ndarray:
        table[name][row] = value
        return table

    return change


def drop_field(table: np.ndarray) -> np.ndarray:
    return table[[n for n in table.dtype.names if n != "x7"]].astype(
        [(n, table.dtype[n]) for n in table.dtype.names if n != "x7"]
    )


def rename_field(table: np.ndarray) -> np.ndarray:
    table.dtype.names = tuple("yy0" if n == "y0" else n for n in table.dtype.names)
    return table


def retype_field(table: np.ndarray) -> np.ndarray:
    fields = [(n, "<f8" if n == "x3" else table.dtype[n]) for n in table.dtype.names]
    return table.astype(fields)


def claim(path: Path, rows: int, descr: object = "|u1") -> None:
    with path.open("wb") as file:
        header = {"descr": descr, "fortran_order": False, "shape": (rows,)}
        npy_format.write_array_header_1_0(file, header)
        file.write(b"\0" * 100)


TABLE = {
    "absent": (lambda p: p.unlink(), "", "no such file"),
    "empty": (lambda p: keep(p, 0), "", "empty"),
    "half a magic": (lambda p: keep(p, 4), "", "npy header"),
    "half a header": (lambda p: keep(p, 60), "", "npy header"),
    "truncated": (lambda p: keep(p, p.stat().st_size - 5), "", "truncated"),
    "too long": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "", "longer"),
    "a terabyte claimed": (lambda p: claim(p, 10**12), "", "claims 1000000000000 bytes"),
    "more rows than an integer holds": (lambda p: claim(p, 10**30), "", "claims 10"),
    "negative rows": (lambda p: claim(p, -4), "", "claims the shape"),
    "python objects": (lambda p: claim(p, 10, "|O"), "", "pickle"),
    "code for a header": (
        lambda p: p.write_bytes(
            b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').abort()".ljust(32)
        ),
        "",
        "npy header",
    ),
    "endless brackets": (
        lambda p: p.write_bytes(b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000),
        "",
        "npy header",
    ),
    "no table": (lambda p: np.save(p, np.zeros((4, 8, 8))), "", "is not a table"),
    "field missing": (lambda p: rewrite(p, drop_field), "x7", "missing"),
    "field renamed": (lambda p: rewrite(p, rename_field), "y0", "missing"),
    "field of another type": (lambda p: rewrite(p, retype_field), "x3", "float64"),
    "NaN": (lambda p: rewrite(p, set_field("x5", 33, np.nan)), "x", "row 33"),
    "infinity": (lambda p: rewrite(p, set_field("x5", 7, np.inf)), "x", "row 7"),
    "label of 7": (lambda p: rewrite(p, set_field("y0", 12, 7)), "y0..y3", "row 12"),
    "two classes": (lambda p: rewrite(p, lambda t: _all_ones(t, 3)), "y0..y3", "row 3"),
}


def _all_ones(table: np.ndarray, row: int) -> np.ndarray:
    for name in ("y0", "y1", "y3"):
        table[name][row] = 1
    return table


@pytest.mark.parametrize("case", TABLE)
def test_patch_tables(tmp_path: Path, patches, case: str) -> None:
    spoil, key, words = TABLE[case]
    path = tmp_path / "patches.npy"
    write_patch_table(path, patches(50))
    spoil(path)
    expect(PatchTable((str(path),), (8, 8)), path.name, key, words)


def test_a_patch_table_of_another_patch_size(tmp_path: Path, patches) -> None:
    write_patch_table(tmp_path / "p.npy", patches(20, (8, 8)))
    expect(PatchTable((str(tmp_path / "p.npy"),)), "p.npy", "x64", "missing")


PLAIN = {
    "x of another shape": ("x.npy", lambda x: x[:, :4], "x", "rows of shape"),
    "x complex": ("x.npy", lambda x: x.astype(complex), "", "complex128"),
    "x in Fortran order": ("x.npy", np.asfortranarray, "", "Fortran"),
    "x with NaN": ("x.npy", lambda x: np.where(x == 9, np.nan, x), "x", "row 9"),
    "y short": ("y.npy", lambda y: y[:-1], "y", "19 rows"),
    "y one-dimensional": ("y.npy", lambda y: y[:, 0].copy(), "y", "rows of shape"),
    "michel without em": ("y.npy", lambda y: y * 0 + [1, 0, 1, 0], "y0..y3", "row 0"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_plain_patches(tmp_path: Path, patches, case: str) -> None:
    name, change, key, words = PLAIN[case]
    pair = (str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    write_plain_patches(*pair, patches(20))
    rewrite(tmp_path / name, change)
    expect(PlainPatches((pair,), (8, 8)), name, key, words)


def line(number: int, text: str | None) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        return [*lines[: number - 1], *([] if text is None else [text]), *lines[number:]]

    return change


TRACK = {
    "a word": (line(3, "two"), "dE/dx[2]", "line 3"),
    "NaN": (line(9, "nan"), "dE/dx[8]", "line 9"),
    "a profile point short": (line(50, None), "dE/dx[99]", "line 100"),
    "no separator": (line(101, "end"), "End of dE/dx", "line 101"),
    "truncated": (lambda lines: lines[:110], "P", "line 111 is missing"),
    "too long": (lambda lines: [*lines, "1"], "", "goes on after line 112"),
    "half a particle": (line(109, "13.5"), "PDG", "an integer"),
    "purity of 3": (line(112, "3"), "purity", "outside"),
    "negative momentum": (line(111, "-1"), "P", "negative"),
    "a megabyte": (lambda lines: lines * 2000, "", "far more than one track"),
}


@pytest.mark.parametrize("case", TRACK)
def test_track_files(tmp_path: Path, track, case: str) -> None:
    change, key, words = TRACK[case]
    path = tmp_path / "track.dat"
    write_track(path, track())
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    expect(TrackFiles(find_files(tmp_path, "*.dat")), path.name, key, words)


def test_a_track_file_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "t.dat").write_bytes(b"\xff\xfe" * 50)
    expect(TrackFiles(find_files(tmp_path, "*.dat")), "t.dat", "", "not a text")


CVN = {
    "truncated": (lambda d: d[:-40], "ends early"),
    "not zlib": (lambda d: b"PK" + d[2:], "damaged"),
    "one pixel short": (lambda d: zlib.compress(bytes(749_999)), "749999 of 750000"),
    "a bomb": (lambda d: zlib.compress(bytes(400_000_000)), "more than the 750000"),
    "a large file": (lambda d: bytes(2_000_000), "more than"),
}


@pytest.mark.parametrize("case", CVN)
def test_pixel_maps(tmp_path: Path, pixel_map, case: str) -> None:
    change, words = CVN[case]
    path = tmp_path / "event.gz"
    write_pixel_map(path, pixel_map())
    path.write_bytes(change(path.read_bytes()))
    expect(PixelMaps(find_files(tmp_path, "*.gz")), path.name, "", words)


INFO = {
    "absent": (None, "", "no such file"),
    "short": ("1\n2\n", "", "2 numbers"),
    "a word": ("1 2 3 4 5 6 7 muon 0 0 0 0", "NuPDG", "no number"),
    "NaN": ("1 nan 3 4 5 6 7 14 0 0 0 0", "line 2", "finite"),
    "half a proton": ("1 2 3 4 5 6 7 14 0.5 0 0 0", "NProton", "integer"),
    "no neutrino": ("1 2 3 4 5 6 7 2212 0 0 0 0", "NuPDG", "no neutrino"),
}


@pytest.mark.parametrize("case", INFO)
def test_pixel_map_infos(tmp_path: Path, pixel_map, case: str) -> None:
    text, key, words = INFO[case]
    write_pixel_map(tmp_path / "event.gz", pixel_map())
    info = tmp_path / "event.info"
    info.unlink()
    if text is not None:
        info.write_text(text)
    expect(PixelMaps(find_files(tmp_path, "*.gz")), info.name, key, words)


def spoil_h5(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return spoil


def replace(key: str, **options: object) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        del file[key]
        file.create_dataset(key, **options)

    return spoil_h5(change)


def link_elsewhere(file: h5py.File) -> None:
    del file["ECAL"]
    file["ECAL"] = h5py.ExternalLink("other.h5", "ECAL")


def virtual(file: h5py.File) -> None:
    del file["ECAL"]
    layout = h5py.VirtualLayout((4, 25, 25, 25), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "ECAL", (4, 25, 25, 25))
    file.create_virtual_dataset("ECAL", layout)


def external(file: h5py.File) -> None:
    del file["ECAL"]
    shape = (4, 25, 25, 25)
    file.create_dataset("ECAL", shape, "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def bomb(file: h5py.File) -> None:
    del file["ECAL"]
    chunks = (4, 25, 25, 25)
    data = file.create_dataset("ECAL", chunks, "f4", chunks=chunks, compression="gzip")
    data.id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(500_000_000)))


def nan_at_3(file: h5py.File) -> None:
    file["HCAL"][3, 2, 2, 30] = np.nan


def rename(file: h5py.File) -> None:
    file["ECAl"] = file["ECAL"]
    del file["ECAL"]


def group(file: h5py.File) -> None:
    del file["target"]
    file.create_group("target")


SHAPE = (4, 25, 25, 25)
LCD = {
    "truncated": (lambda p: keep(p, p.stat().st_size // 2), "", "HDF5"),
    "no HDF5": (lambda p: p.write_bytes(b"hello" * 100), "", "HDF5"),
    "key misspelt": (spoil_h5(rename), "ECAL", "not found"),
    "a group": (spoil_h5(group), "target", "no data set"),
    "wrong shape": (replace("ECAL", data=np.zeros((4, 25, 25, 24))), "ECAL", "(N, 25, 25, 25)"),
    "fewer rows": (replace("HCAL", data=np.zeros((3, 5, 5, 60))), "HCAL", "3 rows"),
    "text": (replace("target", data=np.full((4, 5), b"ab")), "target", "numbers are expected"),
    "never filled": (replace("ECAL", shape=SHAPE, dtype="f4"), "ECAL", "stores 0"),
    "half filled": (
        replace("ECAL", shape=(10**9, 25, 25, 25), dtype="f4", chunks=SHAPE),
        "ECAL",
        "chunks",
    ),
    "an unknown filter": (
        replace("ECAL", data=np.zeros(SHAPE), chunks=SHAPE, compression="lzf"),
        "ECAL",
        "filter",
    ),
    "NaN": (spoil_h5(nan_at_3), "HCAL", "row 3"),
    "a link": (spoil_h5(link_elsewhere), "ECAL", "link"),
    "virtual": (spoil_h5(virtual), "ECAL", "other files"),
    "external": (spoil_h5(external), "ECAL", "other files"),
    "a bomb": (spoil_h5(bomb), "ECAL chunk", "more than the 250000"),
}


@pytest.mark.parametrize("case", LCD)
def test_lcd_files(tmp_path: Path, case: str) -> None:
    spoil, key, words = LCD[case]
    path = tmp_path / "showers.h5"
    with h5py.File(path, "w") as file:
        file["ECAL"] = np.ones(SHAPE, dtype=np.float32)
        file["HCAL"] = np.ones((4, 5, 5, 60), dtype=np.float32)
        file["target"] = np.ones((4, 5), dtype=np.float32)
    spoil(path)
    expect(LcdFiles((str(path),)), path.name, key, words)


def test_the_nearest_key_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["ECAl"] = np.ones(SHAPE)
    with pytest.raises(DataFileError, match="Did you mean 'ECAl'"):
        read_all(LcdFiles((str(tmp_path / "s.h5"),)))


def test_the_nearest_file_is_named(tmp_path: Path, patches) -> None:
    write_patch_table(tmp_path / "patches_train.npy", patches(4))
    with pytest.raises(DataFileError, match=r"Did you mean 'patches_train\.npy'"):
        read_all(PatchTable((str(tmp_path / "patches_trian.npy"),), (8, 8)))
