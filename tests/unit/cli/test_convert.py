# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``convert``: every row arrives once, mixed and divided by event where asked."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.data.formats.patches_npy import write_patch_table
from edgeinfer.data.open import DataFormat, open_data
from tests.support.command_line import shown

ROWS = 700


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of numbered rows, and a table of patches of 70 events."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{row},{row * row}" for row in range(ROWS)]
    Path("d.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    patch = np.zeros((ROWS, 8, 8, 1), np.float32)
    patch[:, 0, 0, 0] = np.arange(ROWS)
    numbers = {"evt": np.arange(ROWS) // 10, "run": np.ones(ROWS), "subrun": np.ones(ROWS)}
    kind = np.eye(3, dtype=np.uint8)[np.arange(ROWS) % 3]
    labels = {"labels": kind, "michel": np.zeros((ROWS, 1), np.uint8)}
    write_patch_table("hits.npy", {"patch": patch, **labels, **numbers})
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
        (["d.csv", "-o", "d.h5", "--events", "0:1"], "needs run, subrun and evt"),
        (["d.csv", "-o", "d.h5", "--events", "1:0"], "Write 0:0.8"),
        (["d.csv", "-o", "d.h5", "--workers", "-1"], "--workers"),
        (["e.csv", "-o", "d.h5"], "Did you mean 'd.csv'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(work: Path, capsys, tokens: list[str], words: str) -> None:
    assert main(["convert", *tokens]) == 2
    assert words in capsys.readouterr().err
    assert not Path("d.h5").exists()
