# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``convert``: every row arrives once, mixed and divided by event where asked."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.cli.app import main
from edgeinfer.data.open import DataFormat, open_data
from edgeinfer.data.samples import read
from edgeinfer.data.stream.batches import StreamSettings
from edgeinfer.data.stream.standards import measure_standards
from tests.support.command_line import shown
from tests.support.jets import KINDS, jet_table, write_arff, write_csv
from tests.support.reader_files import write_patches

ROWS = 700


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of numbered rows, and a table of patches of 70 events."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{row},{row * row}" for row in range(ROWS)]
    Path("d.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    write_patches("hits.npy", ROWS)
    return tmp_path


def column(path: str, name: str) -> list[float]:
    with h5py.File(path) as file:
        return np.asarray(file[name]).reshape(len(file[name]), -1)[:, 0].tolist()


def test_rows_keep_their_order_unless_they_are_mixed(work: Path, capsys) -> None:
    document = shown(capsys, "convert", "d.csv", "-o", "d.h5")
    assert document["rows"] == ROWS and document["format"] == "csv"
    assert column("d.h5", "a") == list(range(ROWS))
    assert open_data("d.h5").format is DataFormat.HDF5
    assert main(["convert", "d.csv", "-o", "mixed.h5", "--shuffle", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "d.csv (csv): 700 rows of a, b\nwritten   mixed.h5\n"
    mixed = column("mixed.h5", "a")
    assert mixed != sorted(mixed) == list(range(ROWS))
    assert column("mixed.h5", "b") == [row * row for row in mixed]


def test_workers_bring_every_row_once(work: Path) -> None:
    assert main(["convert", "hits.npy:raw", "-o", "h.h5", "--shuffle", "--workers", "2"]) == 0
    assert sorted(column("h.h5", "patch")) == list(range(ROWS))


def test_an_event_is_on_one_side(work: Path) -> None:
    for name, share in (("teach", "0:0.8"), ("judge", "0.8:1")):
        assert main(["convert", "hits.npy:raw", "-o", f"{name}.h5", "--events", share]) == 0
    teach, judge = (column(f"{name}.h5", "patch") for name in ("teach", "judge"))
    assert sorted(teach + judge) == list(range(ROWS)) and 0 < len(judge) < len(teach)
    assert not {row // 10 for row in teach} & {row // 10 for row in judge}


def test_rows_that_name_no_event_are_divided_one_by_one(work: Path) -> None:
    sizes = []
    for name, share in (("teach", "0:0.5"), ("judge", "0.5:1"), ("all", "0:1")):
        assert main(["convert", "d.csv", "-o", f"{name}.h5", "--events", share]) == 0
        with h5py.File(f"{name}.h5") as file:
            sizes.append(len(next(iter(file.values()))))
    assert sizes[0] + sizes[1] == sizes[2] and 0 < sizes[0] < sizes[2]


def test_a_table_of_patches_is_mixed_as_a_whole(work: Path) -> None:
    assert main(["convert", "hits.npy", "-o", "mixed.npy", "--shuffle"]) == 0
    mixed = np.load("mixed.npy")["x0"].tolist()
    assert mixed != sorted(mixed) == list(range(ROWS))


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["d.csv", "-o", "d.txt"], "Name it *.h5"),
        (["d.csv", "-o", "d.npy"], "only tables of patches"),
        (["hits.npy", "-o", "d.npy"], "Give --shuffle alone"),
        (["d.csv", "-o", "d.h5", "--events", "1:0"], "Write 0:0.8"),
        (["d.csv", "-o", "d.h5", "--workers", "-1"], "--workers"),
        (["e.csv", "-o", "d.h5"], "Did you mean 'd.csv'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(work: Path, capsys, tokens: list[str], words: str) -> None:
    assert main(["convert", *tokens]) == 2
    assert words in capsys.readouterr().err
    assert not Path("d.h5").exists()


def test_features_are_standardised_and_others_like_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x, kinds = jet_table(500, seed=1)
    write_arff(Path("jets.arff"), x, kinds)
    write_csv(Path("more.csv"), x[:100], kinds[:100])
    assert main(["convert", "jets.arff", "-o", "jets.h5", "--standardize", "*"]) == 0
    assert main(["convert", "more.csv", "-o", "more.h5", "--standardize-as", "jets.h5"]) == 0
    result = read(Path("jets.h5"), {"x": (16,)}, {"jet": (5,)})
    expected = (x - x.mean(axis=0, dtype=np.float64)) / x.std(axis=0, dtype=np.float64)
    assert np.allclose(result.inputs["x"], expected, atol=1e-5)
    assert result.classes == {"jet": KINDS}
    again = read(Path("more.h5"), {"x": (16,)}, {"jet": (5,)})
    assert np.allclose(again.inputs["x"], expected[:100], atol=1e-5)
    for wrong, words in (
        (["--standardize", "class"], "holds no numbers"),
        (["--standardize", "mas_mmdt"], "mass_mmdt"),
        (["--standardize-as", "d.csv", "--standardize", "*"], "Give one"),
    ):
        assert main(["convert", "jets.arff", "-o", "a.h5", *wrong]) == 2, words
    assert main(["convert", "more.h5", "-o", "plain.h5"]) == 0
    assert main(["convert", "jets.arff", "-o", "a.h5", "--standardize-as", "plain.h5"]) == 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.floats(1e-3, 1e4), st.floats(-1e3, 1e3))
@settings(max_examples=20)
def test_means_and_deviations_do_not_depend_on_how_rows_are_read(
    seed: int, rows: int, scale: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    values = offset + scale * rng.normal(size=(50, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.npy"
        np.save(path, values)
        result = measure_standards(
            open_data(path).source, ["x"], StreamSettings(rows, mixing="in-order")
        )
    assert np.allclose(result["x"].mean, values.mean(axis=0), rtol=1e-9, atol=1e-9 * scale)
    assert np.allclose(result["x"].deviation, values.std(axis=0), rtol=1e-6)
