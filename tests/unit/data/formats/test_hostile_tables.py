# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables that lie, or lead elsewhere: refused before memory is taken, and never followed."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import EdgeInferError, InputError
from edgeinfer.data import samples
from edgeinfer.data.formats.root_tree import RootTrees

IN, OUT = {"in": (2,)}, {"out": (3,)}


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["group/x"] = np.zeros((3, 2))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["mine"] = np.zeros((3, 2))
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/group")
        file["soft"] = h5py.SoftLink("/mine")
    for part in ("elsewhere", "elsewhere/x", "soft"):
        with pytest.raises(InputError, match="is a link to another place"):
            samples.read(tmp_path / f"d.h5:{part}", IN, OUT)
    assert len(samples.read(tmp_path / "d.h5", IN, OUT)) == 3


def test_rows_that_were_declared_and_never_written_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("x", (1 << 40, 2), "f8", chunks=(64, 2), compression="gzip")
    with pytest.raises(InputError, match="stores 0 of its"):
        samples.read(tmp_path / "d.h5", IN, OUT)


def test_text_and_objects_in_hdf5_are_no_numbers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["words"] = ["a", "b"]
        file["x"] = np.zeros((2, 2))
    with pytest.raises(InputError, match="numbers are expected"):
        samples.read(tmp_path / "d.h5:words", IN, OUT)
    with pytest.raises(InputError, match=r"'wrods': not found in the file\. It holds 'x'"):
        samples.read(tmp_path / "d.h5:wrods", IN, OUT)
    assert len(samples.read(tmp_path / "d.h5", IN, OUT)) == 2


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose baskets are compressed."""
    import uproot

    path = tmp_path / "d.root"
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree("t", {"a": "float32", "b": "float32"}).extend(
            {"a": np.zeros(5000, np.float32), "b": np.arange(5000, dtype=np.float32)}
        )
    return path


def test_a_basket_that_holds_more_than_it_says_is_refused(tree: Path) -> None:
    content = bytearray(tree.read_bytes())
    zeros = content.index(b"ZL", content.index(b"TBasket"))
    block = int.from_bytes(content[zeros + 3 : zeros + 6], "little")
    bomb = zlib.compress(bytes(block * 900), 9)[:block]
    content[zeros + 9 : zeros + 9 + len(bomb)] = bomb
    tree.write_bytes(content)
    with pytest.raises(InputError, match=r"does not hold its|damaged|add up"):
        samples.read(tree, IN, OUT)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_tree_cut_off_anywhere_is_an_error_that_names_the_file(tree: Path, share: float) -> None:
    content = tree.read_bytes()
    tree.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"d\.root"):
        samples.read(tree, IN, OUT)


def test_branches_of_changing_length_are_left_out(tmp_path: Path) -> None:
    import awkward
    import uproot

    with uproot.recreate(tmp_path / "d.root") as file:
        file.mktree("t", {"a": "float32", "many": "var * float32"}).extend(
            {"a": np.ones(2, np.float32), "many": awkward.Array([[1.0], [2.0, 3.0]])}
        )
    assert "a" in RootTrees((str(tmp_path / "d.root"),), "t").layout()
    assert "many" not in RootTrees((str(tmp_path / "d.root"),), "t").layout()


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A Parquet file of two columns."""
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra tables")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"a": np.arange(500.0), "b": np.arange(500.0)}), path)
    return path


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_parquet_cut_off_anywhere_is_an_error_that_names_the_file(rows: Path, share: float) -> None:
    content = rows.read_bytes()
    rows.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"d\.parquet.*not a readable Parquet file"):
        samples.read(rows, IN, OUT)


def test_damaged_parquet_is_an_error_or_numbers(rows: Path) -> None:
    content, generator = rows.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(generator.integers(4, len(content)))] ^= int(generator.integers(1, 256))
        rows.write_bytes(damaged)
        try:
            samples.read(rows, IN, OUT)
        except EdgeInferError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ([1.0, None], "is empty in some row from 0 on"),
        ([[1.0, 2.0], [3.0]], "row 1 holds a list of another length"),
        ([[1.0, 2.0], None], "is empty in some row"),
        (["a", "b"], "holds words, and the network takes numbers"),
    ],
)
def test_columns_that_are_no_arrays_are_named(tmp_path: Path, column: Any, words: str) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra tables")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": column}), tmp_path / "d.parquet")
    with pytest.raises(InputError, match=words):
        samples.read(tmp_path / "d.parquet", IN, OUT)


def test_a_sample_too_large_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path, size = tmp_path / "d.npz", 1 << 28
    header = io.BytesIO()
    answer = {"descr": "<f8", "fortran_order": False, "shape": (1, size // 8)}
    np.lib.format.write_array_header_1_0(header, answer)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w") as held,
    ):
        held.write(header.getvalue())
        for _ in range(size >> 20):
            held.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"d\.npz: .* too small.*smaller pieces"):
            samples.read(path, IN, OUT)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 << 20


def test_a_line_without_end_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"1," * (3 << 20))
    with pytest.raises(InputError, match="has a line of more than"):
        samples.read(tmp_path / "d.csv", IN, OUT)
