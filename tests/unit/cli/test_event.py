# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``event``: tags on disk, JSON on stdout, simulated planes and an experiment's dump."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.data.formats.plane_patches import Plane, PlaneKey
from tests.support.command_line import shown
from tests.support.experiment_files import write_planes
from tests.support.small_taggers import compile_tagger


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled tagger."""
    return compile_tagger(tmp_path_factory.mktemp("tagger"))


def test_simulated_planes_are_tagged_and_saved(run: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "tags.npz"
    assert main(["event", str(run), "--planes", "2", "-o", str(output), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [plane["name"] for plane in document["planes"]] == ["simulated 0", "simulated 1"]
    tags = np.load(output)
    hits = sum(plane["hits"] for plane in document["planes"])
    assert hits > 0 and tags["wire"].shape == tags["pixel"].shape == (hits,)
    assert np.bincount(tags["plane"]).tolist() == [p["hits"] for p in document["planes"]]
    np.testing.assert_allclose(tags["out_softmax"].sum(axis=1), 1.0)
    assert all(p["macs"] < p["macs_patch_by_patch"] for p in document["planes"])
    assert all(p["checked_one_by_one"] > 0 for p in document["planes"])
    main(["event", str(run), "--planes", "2", "--way", "patches", "-o", str(tmp_path / "b.npz")])
    again = np.load(tmp_path / "b.npz")
    assert all((again[name] == tags[name]).all() for name in tags.files)
    assert "checked" not in capsys.readouterr().out  # patches against themselves prove nothing


def test_planes_of_a_dump(run: Path, tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(2)
    raw = np.where(rng.random((60, 50)) < 0.02, 20.0, 0.0).astype(np.float32)
    plane = Plane(PlaneKey(3, 1, 2, 4, 0), raw, raw * 0, np.zeros(raw.shape, np.int32))
    write_planes(tmp_path / "dump.root", [plane])
    assert main(["event", str(run), "--dump", str(tmp_path / "dump.root"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["planes"]
    assert row["name"] == "run 1 event 3 tpc 4 view 0"
    assert row["hits"] == np.count_nonzero(raw)


def test_a_dump_without_planes_is_refused(run: Path, tmp_path: Path, capsys) -> None:
    write_planes(tmp_path / "empty.root", [])
    assert main(["event", str(run), "--dump", str(tmp_path / "empty.root")]) == 2
    assert "empty.root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--planes", "0"], 2, "cannot be simulated"),
        (["--seed", "-1"], 2, "must not be below 0"),
        (["--dump", "nowhere.root"], 2, "nowhere.root"),
        (["--way", "quick"], 2, "quick"),
    ],
)
def test_what_cannot_be_tagged_is_said(run: Path, arguments, code, said, capsys) -> None:
    assert main(["event", str(run), *arguments]) == code
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys) -> None:
    assert main(["event", str(tmp_path)]) == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_planes_of_an_array(run: Path, tmp_path: Path, capsys) -> None:
    planes = np.random.default_rng(0).exponential(2.0, (3, 40, 50)).astype(np.float32)
    np.save(tmp_path / "planes.npy", planes)
    document = shown(capsys, "event", str(run), "--data", str(tmp_path / "planes.npy"))
    assert [plane["name"] for plane in document["planes"]] == [f"planes.npy {i}" for i in range(3)]
    assert [plane["hits"] for plane in document["planes"]] == [(p >= 4).sum() for p in planes]


def test_a_picture_and_wires_at_two_places(run: Path, tmp_path: Path, capsys) -> None:
    inputs = np.where(np.random.default_rng(1).random((2, 30, 40)) < 0.05, 9.0, 0.0)
    np.save(tmp_path / "channels.npy", inputs.astype(np.float32))
    np.save(tmp_path / "map.npy", [*range(30), 3, 4])
    data = ["--data", str(tmp_path / "channels.npy"), "--wires", str(tmp_path / "map.npy")]
    files = ["-o", str(tmp_path / "t.npz"), "--picture", str(tmp_path / "event.html")]
    document = shown(capsys, "event", str(run), *data, *files, "--classes", "hit,noise")
    assert [plane["hits"] for plane in document["planes"]] == [(p > 0).sum() for p in inputs]
    assert document["way"] == "footprint" and document["products"] and not document["reason"]
    assert document["members"] == {"out_softmax": "out_softmax"}
    tags = np.load(tmp_path / "t.npz")
    pairs = zip(tags["plane"], tags["channel"], tags["pixel"], strict=True)
    assert sorted(map(tuple, pairs)) == sorted(map(tuple, np.argwhere(inputs > 0)))
    page = (tmp_path / "event.html").read_text()
    assert page.count("<figure") == 2 and ">hit " in page
    assert document["pictures"] == [str(tmp_path / "event.html")]


def test_planes_are_refused_before_anything_is_built(run: Path, tmp_path: Path, capsys) -> None:
    def refuse(*arguments: str) -> str:
        assert main(["event", str(run), *arguments]) == 2
        error = capsys.readouterr().err
        assert "build:" not in error and "Traceback" not in error
        return error

    assert "480,000 pixels of simulated 0" in refuse("--threshold-adc", "-100")
    assert "no kind of picture" in refuse("--picture", "event.bmp")
    assert "is for --picture" in refuse("--classes", "a,b")
    assert "names 3 classes" in refuse("--classes", "a,b,c", "--picture", "e.svg")
    assert "--wires needs --data" in refuse("--wires", "map.npy")
    assert "for simulated planes" in refuse("--wrapped-wires", "3", "--data", "d.npy")
    assert "241 wires cannot return" in refuse("--wrapped-wires", "241")


def test_what_holds_no_planes_is_refused(run: Path, tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "rows.npy", np.zeros((3, 4)))
    assert main(["event", str(run), "--data", str(tmp_path / "rows.npy")]) == 2
    assert "array (planes, wires, pixels)" in capsys.readouterr().err
