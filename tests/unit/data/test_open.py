# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A path alone is enough to find the right reader; where it is not, one paragraph says why."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import InputError, ToolMissingError
from edgeinfer.data import samples
from edgeinfer.data.formats.lariat_h5 import SHAPE as LARIAT
from edgeinfer.data.open import DataFormat, open_data, split_place
from tests.support.experiment_files import (
    write_lariat,
    write_lcd,
    write_patch_table,
    write_pixel_map,
    write_plain_patches,
    write_planes,
    write_track,
)


@pytest.fixture
def everything(tmp_path: Path, patches: Any, plane: Any, track: Any, pixel_map: Any) -> Path:
    """A folder with a file or a folder of each format."""
    import uproot

    for name in ("plain", "tracks", "maps", "classes/nue", "classes/numu", "dumps"):
        (tmp_path / name).mkdir(parents=True)
    write_patch_table(tmp_path / "table.npy", patches(5, (48, 48)))
    write_plain_patches(tmp_path / "plain/x.npy", tmp_path / "plain/y.npy", patches(90))
    for number in range(3):
        write_track(tmp_path / f"tracks/t{number}.dat", track(number))
        write_pixel_map(tmp_path / f"maps/e{number}.gz", pixel_map())
    write_pixel_map(tmp_path / "classes/nue/e.gz", pixel_map(12))
    write_pixel_map(tmp_path / "classes/numu/e.gz", pixel_map(14))
    (tmp_path / "classes/README.md").write_text("events, a class a folder")
    write_planes(tmp_path / "dumps/a.root", [plane()])
    write_lariat(tmp_path / "lariat.h5", np.ones((1, *LARIAT), np.float32), np.ones(1))
    shower = np.zeros((2, 25, 25, 25)), np.zeros((2, 5, 5, 60)), np.ones((2, 1, 3))
    write_lcd(tmp_path / "lcd.hdf5", *shower)
    with h5py.File(tmp_path / "other.h5", "w", userblock_size=512) as file:
        file["inside/x"] = np.zeros((4, 2))
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2)))
    np.save(tmp_path / "d.npy", np.zeros((4, 2)))
    (tmp_path / "d.csv").write_text("a;b\n1;2\n3;4\n")
    (tmp_path / "d.arff").write_text("% made by hand\n@relation r\n@attribute a real\n@data\n1\n")
    with uproot.recreate(tmp_path / "tree.root") as file:
        file.mktree("t", {"a": "float32"}).extend({"a": np.ones(3, np.float32)})
    return tmp_path


FOUND = {
    "table.npy": (DataFormat.PATCH_TABLE, 5),
    "plain": (DataFormat.PLAIN_PATCHES, 90),
    "tracks": (DataFormat.TRACK_PID, 3),
    "tracks/t1.dat": (DataFormat.TRACK_PID, 1),
    "maps": (DataFormat.CVN, 3),
    "maps/e2.gz": (DataFormat.CVN, 1),
    "classes": (DataFormat.CVN, 2),
    "dumps": (DataFormat.PROTODUNE, 0),
    "dumps/a.root": (DataFormat.PROTODUNE, 0),
    "lariat.h5": (DataFormat.LARIAT, 1),
    "lariat.h5:Energy": (DataFormat.HDF5, 1),
    "lcd.hdf5": (DataFormat.LCD, 2),
    "other.h5": (DataFormat.HDF5, 4),
    "other.h5:inside": (DataFormat.HDF5, 4),
    "other.h5:/inside/x": (DataFormat.HDF5, 4),
    "d.npz": (DataFormat.NPZ, 4),
    "d.npy": (DataFormat.NPY, 4),
    "d.csv": (DataFormat.CSV, 2),
    "d.arff": (DataFormat.ARFF, 1),
    "tree.root": (DataFormat.ROOT_TREE, 3),
    "tree.root:t": (DataFormat.ROOT_TREE, 3),
}


def test_every_format_is_known_by_its_content(everything: Path) -> None:
    results = {}
    for name in FOUND:
        data = open_data(everything / name)
        results[name] = (data.format, sum(shard.rows for shard in data.source.shards()))
        assert data.source.layout() and len(data.sha256) == 64
    assert results == FOUND


def test_a_name_without_a_suffix_does_no_harm(everything: Path) -> None:
    for name in ("d.npz", "d.npy", "other.h5", "tree.root", "d.arff", "tracks/t1.dat"):
        bare = (everything / name).rename(everything / f"bare_{Path(name).stem}")
        assert open_data(bare).format is FOUND[name][0]


def test_the_hash_is_that_of_the_content_and_of_what_was_chosen(everything: Path) -> None:
    whole = open_data(everything / "other.h5").sha256
    assert open_data(everything / "other.h5:inside").sha256 != whole
    before = open_data(everything / "maps").sha256
    truth = everything / "maps/e0.info"
    truth.write_text(truth.read_text() + "7\n")
    assert open_data(everything / "maps").sha256 != before


def test_a_colon_in_a_name_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "run:7.csv"
    path.write_text("1,2\n")
    assert split_place(path) == (path, "")
    assert split_place(f"{path}:x") == (path, "x")
    with pytest.raises(InputError, match="There is no file"):
        open_data(tmp_path / "d.h5:images")


def two_in_h5(folder: Path) -> str:
    with h5py.File(folder / "d.h5", "w") as file:
        for key in ("images", "Energy", "ECAL", "HCAL", "target"):
            file[key] = np.zeros(3)
    return "d.h5"


def two_in_root(folder: Path) -> str:
    import uproot

    with uproot.recreate(folder / "d.root") as file:
        file.mktree("events", {"a": "float32"}).extend({"a": np.ones(3, np.float32)})
        file.mktree("datadump/t", {"a": "float32"})
    return "d.root"


def two_in_a_folder(folder: Path) -> str:
    (folder / "d").mkdir()
    np.savez(folder / "d/a.npz", x=np.zeros(3))
    (folder / "d/a.csv").write_text("1,2\n")
    return "d"


def patches_or_four_classes(folder: Path) -> str:
    np.save(folder / "x.npy", np.zeros((6, 8, 8, 1)))
    np.save(folder / "y.npy", np.eye(4)[[0, 1, 3, 0, 1, 3]])
    return "x.npy"


def two_groups(folder: Path) -> str:
    with h5py.File(folder / "d.h5", "w") as file:
        file["train/x"] = file["test/x"] = np.zeros((3, 2))
    return "d.h5"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (two_in_h5, "fits two formats: LArIAT and LCD. Name the data sets: .*d.h5:images,Energy"),
        (two_in_root, "fits two formats: a ProtoDUNE dump, and trees. Name one: .*d.root:signed"),
        (two_in_a_folder, r"fits 2 formats: it holds .*\.csv.*\. Keep one format in a folder"),
        (patches_or_four_classes, "fits two formats: patches .* x.npy:unit|x.npy:arrays"),
        (two_groups, "holds data sets in several groups .test, train.*Name one: .*d.h5:test"),
    ],
)
def test_what_fits_two_formats_asks_which(
    tmp_path: Path, write: Callable[[Path], str], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_data(tmp_path / write(tmp_path))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_four_classes_are_no_patches_once_the_labels_tell(tmp_path: Path) -> None:
    patches_or_four_classes(tmp_path)
    np.save(tmp_path / "y.npy", np.eye(4)[[0, 1, 2, 3, 1, 3]])  # michel alone is no patch's label
    assert open_data(tmp_path / "x.npy").format is DataFormat.NPY
    np.save(tmp_path / "y.npy", np.eye(4)[[0, 1, 3, 0, 1, 3]] + np.eye(4)[[0, 2, 3, 0, 2, 3]] > 0)
    assert open_data(tmp_path / "x.npy").format is DataFormat.PLAIN_PATCHES


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("d.bin", b"\x00\x01\x02\x03" * 9, "no format that is read here. Tried: NumPy.*00 01 02"),
        ("d.dat", b"\xff\xfe\xfd" * 99, "no format that is read here. Tried: NumPy"),
        ("d.h5", b"hello, world", "is not an HDF5 file, although its name says so: it begins with"),
        ("d.root", b"\x89HD", "is not a ROOT file, although its name says so"),
        ("d.csv", b"", "the file is empty"),
        ("d.csv", b"a,b,c\n", "holds no row of numbers"),
        ("d.txt", b"dear diary\n", "holds no row of numbers"),
        ("d.csv", b"a,b\nred,blue\n", "no column for the input 'in'"),
        ("d.csv", b"a,b\n1,2\n3", "row 1 has 1 fields, 2 are expected. The file may be truncated"),
        ("d.csv", b"a,b\n1,2\n3,\n", "'b' is empty in row 1, a number is expected"),
        ("d.csv", b"a,b\n1,2\n3,red\n", "'b' is 'red' in row 1, a number is expected"),
        ("d.csv", b"a,a\n1,2\n", "'a': names two columns"),
        ("d.csv", b"a,b\n1,2,3\n", "its header names 2 columns, its first row has 3"),
        ("d.arff", b"@relation r\n@attribute a real\n", "no line @data. The file is truncated"),
        ("d.arff", b"@relation r\n@attribute a {u,v}\n@data\nw\n", "no column for the input 'in'"),
        ("d.npy", b"\x93NUMPY\x01\x00", "not a readable npy header"),
        ("d.npz", b"PK\x03\x04", "not a NumPy archive that can be read"),
    ],
)
def test_what_fits_no_format_says_what_was_tried(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        samples.read(tmp_path / name, {"in": (2,)}, {"out": (3,)})
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(
        InputError, match=r"is a folder without data that are read here\. Expected .* Parquet"
    ):
        open_data(tmp_path)


NETWORKS: dict[DataFormat, tuple[int, ...]] = {
    DataFormat.CVN: (500, 500, 3),
    DataFormat.PROTODUNE: (48, 48, 1),
    DataFormat.TRACK_PID: (100, 1),
    DataFormat.PATCH_TABLE: (48, 48, 1),
}


@pytest.mark.parametrize(
    "name", [n for n in FOUND if ":" not in n and n not in ("d.csv", "d.arff")]
)
def test_what_was_cut_off_is_named_with_its_format(everything: Path, name: str) -> None:
    place = everything / name
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if file.is_file() and file.suffix != ".md":
            file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with pytest.raises(InputError) as caught:
        samples.read(place, {"in": NETWORKS.get(FOUND[name][0], (2,))}, {"out": (3,)})
    message = str(caught.value)
    assert str(everything) in message and "\n" not in message
    known = ("truncated", "damaged", "ends early", "can be read", "is missing", "not a readable")
    assert any(word in message for word in known), message


def test_parquet_without_its_extra_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'edgeinfer\[tables\]'") as caught:
        samples.read(tmp_path / "d.parquet", {"in": (2,)}, {"out": (3,)})
    assert caught.value.exit_code == 3


def test_a_bomb_is_no_pixel_map(tmp_path: Path, pixel_map: Any) -> None:
    write_pixel_map(tmp_path / "e.gz", pixel_map())
    (tmp_path / "e.gz").write_bytes(zlib.compress(bytes(1 << 24)))
    with pytest.raises(InputError, match="decompresses to more than"):
        samples.read(tmp_path / "e.gz", {"in": (500, 500, 3)}, {"out": (4,)})
