# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of the zoo, as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.reference import load_reference


def test_models_as_json(capsys):
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(ENTRIES)
    assert rows["hit-tagger"]["parameters"] == 11_900_420
    assert rows["hit-tagger"]["metrics"] == {}
    assert rows["energy-regression"]["task"] == "regression"
    for name, row in rows.items():
        assert {"name", "parameters", "macs", "task", "metrics"} <= row.keys()
        for metric, value in row["metrics"].items():
            low, high = row["intervals"][metric]
            assert low <= value <= high, (name, metric)


def test_models_for_people(capsys):
    assert main(["models"]) == 0
    output = capsys.readouterr().out
    assert all(name in output for name in ENTRIES)
    assert "11,900,420 parameters" in output
    assert "simulated" in output


def test_models_does_not_import_tensorflow():
    code = (
        "import sys\n"
        "from edgeinfer.cli.app import main\n"
        "main(['models', '--json'])\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_an_archive_has_the_networks_names(tmp_path):
    path = tmp_path / "d.npz"
    assert main(["data", "track-pid", "-o", str(path), "-n", "60", "--seed", "3"]) == 0
    graph = load_reference("track-pid")
    with np.load(path) as arrays:
        assert set(arrays) == {node.name for node in graph.inputs} | set(graph.outputs)
        assert all(len(arrays[name]) == 60 for name in arrays)
        expected = ENTRIES["track-pid"].data(3, 60)
        np.testing.assert_array_equal(arrays["scalars"], expected.inputs["scalars"])


def test_an_archive_can_be_used_as_data(tmp_path):
    from edgeinfer.data import samples

    path = tmp_path / "d.npz"
    assert main(["data", "hit-tagger-pooled", "-o", str(path), "-n", "50"]) == 0
    graph = load_reference("hit-tagger-pooled")
    inputs = {node.name: node.shape for node in graph.inputs}
    result = samples.read(path, inputs, {name: graph.shapes[name] for name in graph.outputs})
    assert set(result.labels) == {"label", "michel"}


def test_preview_writes_a_picture(tmp_path, capsys):
    path = tmp_path / "p.png"
    assert main(["data", "jet-tagger", "--preview", str(path), "-n", "2"]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "gluon, quark, W, Z, top" in capsys.readouterr().err


def test_train_writes_model_and_history(tmp_path, capsys):
    path = tmp_path / "m.keras"
    command = ["train", "jet-tagger", "-o", str(path), "--samples", "2000", "--epochs", "2"]
    assert main([*command, "--seed", "5", "--json"]) == 0
    captured = capsys.readouterr()
    history = json.loads(captured.out)
    assert history["seed"] == 5
    assert len(history["epochs_run"]) == 2
    assert "epoch 2" in captured.err
    assert path.exists()
    assert (tmp_path / "m.history.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "jet-taggr", "-o", "m.keras"], "jet-tagger"),
        (["train", "jet-tagger", "-o", "m.h5"], "m.keras"),
        (["train", "jet-tagger", "-o", "m.keras", "--minutes", "-1"], "--minutes"),
        (["train", "jet-tagger", "-o", "m.keras", "--resume"], "Train without --resume"),
        (["data", "jet-tagger", "--preview", "p.jpg"], "p.png"),
        (["data", "jet-tagger", "-o", "d.csv"], "d.npz"),
        (["data", "jet-tagger", "-o", "d.npz", "-n", "0"], "-n"),
        (["data", "jet-tagger", "-o", "d.npz", "--seed", "-1"], "--seed"),
        (["data", "nothing", "-o", "d.npz"], "hit-tagger"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_paragraph(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert not list(tmp_path.iterdir())
