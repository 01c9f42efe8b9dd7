# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Columns of words: names of classes as labels, and what is left out is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.cli.app import main
from edgeinfer.data.samples import Samples, read
from tests.support.jets import FEATURES, KINDS, jet_table, write_arff, write_csv

Rows = tuple[np.ndarray, Sequence[str]]


def write_parquet(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as parquet

    columns = {name: x[:, at] for at, name in enumerate(FEATURES)}
    kind = pyarrow.array(kinds).dictionary_encode()
    parquet.write_table(pyarrow.table({**columns, "class": kind}), path, row_group_size=70)


def write_h5(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    with h5py.File(path, "w") as file:
        file["features"] = x
        file["kind"] = np.array(kinds).astype("S")


def write_table(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    """A table as pandas' and PyTables' users have it: a field for each column."""
    fields = [*((name, "f4") for name in FEATURES), ("class", "S1")]
    rows = np.zeros(len(x), dtype=fields)
    for at, name in enumerate(FEATURES):
        rows[name] = x[:, at]
    rows["class"] = np.array(kinds).astype("S")
    with h5py.File(path, "w") as file:
        file["jets"] = rows


def write_npz(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    np.savez(path, x=x, y=np.array(kinds))


WRITERS: dict[str, Callable[[Path, np.ndarray, Sequence[str]], None]] = {
    "jets.arff": write_arff,
    "jets.csv": write_csv,
    "jets.parquet": write_parquet,
    "jets.h5": write_h5,
    "table.h5": write_table,
    "jets.npz": write_npz,
}


def samples_of(path: Path) -> Samples:
    return read(path, {"x": (16,)}, {"jet": (5,)})


@pytest.mark.parametrize("name", WRITERS)
def test_names_of_classes_are_labels(name: str, tmp_path: Path) -> None:
    x, kinds = jet_table(200, seed=3)
    path = tmp_path / name
    WRITERS[name](path, x, kinds)
    result = samples_of(path)
    assert np.allclose(result.inputs["x"], x, atol=1e-4)
    assert result.classes == {"jet": KINDS}
    assert [KINDS[int(number)] for number in result.labels["jet"]] == list(kinds)
    assert any("0 g, 1 q, 2 t, 3 w, 4 z" in finding for finding in result.findings)


@pytest.mark.parametrize("name", WRITERS)
def test_names_survive_a_conversion(name: str, tmp_path: Path) -> None:
    x, kinds = jet_table(100, seed=4)
    WRITERS[name](tmp_path / name, x, kinds)
    assert main(["convert", str(tmp_path / name), "-o", str(tmp_path / "again.h5")]) == 0
    result, before = samples_of(tmp_path / "again.h5"), samples_of(tmp_path / name)
    assert result.classes == before.classes
    assert (result.labels["jet"] == before.labels["jet"]).all()
    assert (result.inputs["x"] == before.inputs["x"]).all()


def test_classes_are_those_of_all_files(tmp_path: Path) -> None:
    x, _ = jet_table(6, seed=5)
    write_csv(tmp_path / "a.csv", x[:3], ["w", "z", "w"])
    write_csv(tmp_path / "b.csv", x[3:], ["g", "g", "z"])
    result = read(tmp_path, {"x": (16,)}, {"jet": (3,)})
    assert result.classes == {"jet": ("g", "w", "z")}
    assert list(result.labels["jet"]) == [1, 2, 1, 0, 0, 2]


def test_a_class_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """Numbers of the others would be wrong."""
    x, _ = jet_table(3, seed=5)
    write_csv(tmp_path / "jets.csv", x, ["q", "t", "z"])
    with pytest.raises(InputError, match=r"name 3 classes \(q, t, z\), but the output has 5"):
        samples_of(tmp_path / "jets.csv")


@pytest.mark.parametrize("name", ["jets.csv", "jets.parquet"])
def test_words_that_are_no_classes_are_left_out_with_a_finding(name: str, tmp_path: Path) -> None:
    x, _ = jet_table(1200, seed=6)
    WRITERS[name](tmp_path / name, x, [f"jet {number}" for number in range(1200)])
    result = samples_of(tmp_path / name)
    assert not result.labels and not result.classes
    assert any("class is left out" in f and "1,000 different words" in f for f in result.findings)


def test_empty_and_long_words_are_no_classes(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as parquet

    values = {"a": [1.0, 2.0], "b": [3.0, 4.0],
              "none": pyarrow.array([None, None], pyarrow.string()),
              "remark": ["a" * 300, "b"], "kind": ["no", "yes"]}  # fmt: skip
    parquet.write_table(pyarrow.table(values), tmp_path / "d.parquet")
    result = read(tmp_path / "d.parquet", {"x": (2,)}, {"y": (1,)})
    assert result.classes == {"y": ("no", "yes")}
    text = " ".join(result.findings)
    assert "none is left out: it is empty" in text and "remark is left out" in text


def test_words_are_no_features(tmp_path: Path) -> None:
    x, kinds = jet_table(20, seed=7)
    write_csv(tmp_path / "jets.csv", x, kinds)
    with pytest.raises(InputError, match="no column for the input"):
        read(tmp_path / "jets.csv", {"x": (17,)}, {"jet": (5,)})
    text = (tmp_path / "jets.csv").read_text().replace("class", "x", 1)
    (tmp_path / "named.csv").write_text(text)
    with pytest.raises(InputError, match="'x' holds words"):
        read(tmp_path / "named.csv", {"x": (1,)}, {"jet": (5,)})


def test_a_label_that_is_missing_is_named(tmp_path: Path) -> None:
    x, kinds = jet_table(20, seed=8)
    write_csv(tmp_path / "jets.csv", x, [*kinds[:9], "", *kinds[10:]])
    with pytest.raises(InputError, match=r"is empty in row 9, a class is expected"):
        samples_of(tmp_path / "jets.csv")


def test_text_of_variable_length_is_told(tmp_path: Path) -> None:
    x, kinds = jet_table(20, seed=9)
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file["x"] = x
        file["kind"] = list(kinds)
    result = samples_of(tmp_path / "jets.h5")
    assert not result.labels and any("labels.astype('S')" in f for f in result.findings)


def test_numbers_that_follow_the_features_are_labels_before_words_are(tmp_path: Path) -> None:
    lines = ["a,b,detector,truth value", "1,2,near,0.5", "3,4,far,0.25"]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    result = read(tmp_path / "d.csv", {"x": (2,)}, {"y": (1,)})
    assert result.labels["y"].reshape(-1).tolist() == [0.5, 0.25] and not result.classes
    assert any("left out: detector" in finding for finding in result.findings)


def test_a_list_of_numbers_may_be_a_feature(tmp_path: Path) -> None:
    head = "@relation r\n@attribute a real\n@attribute b {0,1}\n@attribute class {no,yes}\n@data\n"
    (tmp_path / "d.arff").write_text(f"{head}1,0,yes\n2,1,no\n")
    result = read(tmp_path / "d.arff", {"x": (2,)}, {"y": (1,)})
    assert result.inputs["x"].tolist() == [[1, 0], [2, 1]]
    assert result.labels["y"].reshape(-1).tolist() == [1, 0]
    assert result.classes == {"y": ("no", "yes")}
