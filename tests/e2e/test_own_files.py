# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A physicist's own files, from the file to accuracy in the report, whatever format they are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.cli.app import main
from edgeinfer.data.formats.npz import Archive
from edgeinfer.report.result import Result, from_json
from tests.support import small_models as small

COUNT = 60
NAMES = [f"feature{number}" for number in range(small.INPUTS)]


def table() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Inputs of the small classifier, and its own answers as their labels."""
    x = np.random.default_rng(3).normal(size=(COUNT, small.INPUTS)).astype(np.float32)
    weights = small.weights()
    hidden = np.maximum(x @ weights["hidden/0"] + weights["hidden/1"], 0)
    return x, (hidden @ weights["out/0"] + weights["out/1"]).argmax(axis=1)


def result_of(work: Path, model: str, named: str) -> Result:
    """What compile and report make of a model and of data, called by hand."""
    assert main(["compile", model, "--target", "none", "--data", named, "-o", "RUN"]) == 0
    assert main(["report", "RUN"]) == 0
    page = (work / "RUN" / "report.html").read_text()
    result = from_json((work / "RUN" / "result.json").read_text(), "result.json")
    assert result.accuracy["float"].accuracy is None or "accuracy" in page
    return result


def as_npz(folder: Path) -> str:
    x, y = table()
    np.savez_compressed(folder / "d.npz", x=x, y=y)
    return "d.npz"


def as_npz_in_columns(folder: Path) -> str:
    x, y = table()
    np.savez(folder / "d.npz", x=np.asfortranarray(x), y=y)
    return "d.npz"


def as_npy(folder: Path) -> str:
    x, y = table()
    np.save(folder / "X_test.npy", x)
    np.save(folder / "y_test.npy", y)
    return "X_test.npy"


def as_npy_folder(folder: Path) -> str:
    x, y = table()
    (folder / "arrays").mkdir()
    np.save(folder / "arrays/x.npy", x)
    np.save(folder / "arrays/out.npy", np.eye(small.CLASSES)[y])
    return "arrays"


def as_record_npy(folder: Path) -> str:
    x, y = table()
    records = np.zeros(COUNT, [("x", "<f4", (small.INPUTS,)), ("y", "<i4")])
    records["x"], records["y"] = x, y
    np.save(folder / "records.npy", records)
    return "records.npy"


def as_hdf5(folder: Path) -> str:
    x, y = table()
    with h5py.File(folder / "d.h5", "w") as file:
        file.create_dataset("test/jets", data=x, chunks=(7, small.INPUTS), compression="gzip")
        file.create_dataset("test/labels", data=y)
        file.create_dataset("train/jets", data=np.zeros((3, 2)))
    return "d.h5:test"


def as_hdf5_data_sets(folder: Path) -> str:
    as_hdf5(folder)
    return "d.h5:/test/jets,test/labels"


def as_hdf5_table(folder: Path) -> str:
    x, y = table()
    records = np.zeros(COUNT, [(name, "<f4") for name in NAMES] + [("label", "u1")])
    for at, name in enumerate(NAMES):
        records[name] = x[:, at]
    records["label"] = y
    with h5py.File(folder / "d.h5", "w") as file:
        file.create_dataset("t_all", data=records, chunks=(16,), compression="gzip", shuffle=True)
    return "d.h5:t_all"


def as_csv(folder: Path) -> str:
    x, y = table()
    lines = [",".join(["", *NAMES, "class"])]  # as pandas writes it, its index first
    lines += [
        ",".join([str(n), *map(repr, row.tolist()), str(k)])
        for n, (row, k) in enumerate(zip(x, y, strict=True))
    ]
    (folder / "d.csv").write_text("\n".join(lines) + "\n")
    return "d.csv"


def as_savetxt(folder: Path) -> str:
    x, y = table()
    np.savetxt(folder / "d.txt", np.column_stack([x, y]))
    return "d.txt"


def as_arff(folder: Path) -> str:
    x, y = table()
    lines = ["% jets", "@RELATION jets", *(f"@ATTRIBUTE {name} NUMERIC" for name in NAMES)]
    lines += ["@ATTRIBUTE class {gluon, quark, top}", "@DATA"]
    words = ("gluon", "quark", "top")
    lines += [",".join([*map(repr, row.tolist()), words[k]]) for row, k in zip(x, y, strict=True)]
    (folder / "d.arff").write_text("\n".join(lines))
    return "d.arff"


def as_parquet(folder: Path) -> str:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra tables")
    parquet = pytest.importorskip("pyarrow.parquet")
    x, y = table()
    columns = {name: x[:, at] for at, name in enumerate(NAMES)} | {"label": y}
    parquet.write_table(pyarrow.table(columns), folder / "d.parquet", row_group_size=25)
    return "d.parquet"


def as_parquet_of_lists(folder: Path) -> str:
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra tables")
    parquet = pytest.importorskip("pyarrow.parquet")
    x, y = table()
    held = pyarrow.table({"jet": pyarrow.array(x.tolist()), "label": y})
    parquet.write_table(held, folder / "d.parquet")
    return "d.parquet"


def as_tree(folder: Path) -> str:
    import uproot

    x, y = table()
    kinds: dict[str, Any] = dict.fromkeys(NAMES, "float32") | {"label": "int32"}
    with uproot.recreate(folder / "d.root") as file:
        tree = file.mktree("events/jets", kinds)
        for part in (slice(0, 20), slice(20, None)):
            tree.extend({n: x[part, at] for at, n in enumerate(NAMES)} | {"label": y[part]})
        file.mktree("other", {"a": "int32"}).extend({"a": np.arange(3)})
    return "d.root:events/jets"


def as_tree_of_arrays(folder: Path) -> str:
    import uproot

    x, y = table()
    with uproot.recreate(folder / "d.root") as file:
        kinds = {"jet": np.dtype((np.float32, (small.INPUTS,))), "label": "int32"}
        file.mktree("jets", kinds).extend({"jet": x, "label": y})
    return "d.root"


WRITERS: list[tuple[Callable[[Path], str], str]] = [
    (as_npz, "npz"),
    (as_npz_in_columns, "npz"),
    (as_npy, "npy"),
    (as_npy_folder, "npy"),
    (as_record_npy, "npy"),
    (as_hdf5, "hdf5"),
    (as_hdf5_data_sets, "hdf5"),
    (as_hdf5_table, "hdf5"),
    (as_csv, "csv"),
    (as_savetxt, "csv"),
    (as_arff, "arff"),
    (as_parquet, "parquet"),
    (as_parquet_of_lists, "parquet"),
    (as_tree, "root-tree"),
    (as_tree_of_arrays, "root-tree"),
]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of 6 inputs and 3 classes."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("write", "format_name"), WRITERS, ids=[w.__name__ for w, _ in WRITERS])
def test_a_table_of_ones_own_is_judged_as_an_archive_is(
    work: Path, write: Callable[[Path], str], format_name: str
) -> None:
    result = result_of(work, "net.keras", write(work))
    assert result.data is not None and result.data.format == format_name
    assert result.data.samples == COUNT
    assert result.accuracy["float"].accuracy == 1.0  # its own answers
    assert result.accuracy["quantized"].accuracy == pytest.approx(1.0, abs=0.02)


def test_the_record_names_what_was_taken_for_what(work: Path) -> None:
    result = result_of(work, "net.keras", as_csv(work))
    (findings,) = [line for line in result.findings if line.startswith("d.csv, read as csv")]
    assert "x from feature0, feature1" in findings and "out_softmax from class" in findings


def test_an_archive_is_read_a_piece_at_a_time(work: Path) -> None:
    as_npz(work)
    source = Archive("d.npz")
    (shard,) = source.shards()
    assert shard.rows == COUNT and shard.read_bytes < 3 << 20
