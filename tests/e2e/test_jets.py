# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The field's jet benchmark as people have it, 16 features of any scale and a letter for the kind:
standardised, trained on, compiled and reported with the letters."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest

from edgeinfer.cli.app import main
from edgeinfer.run.samples import read_samples
from edgeinfer.zoo.reference import load_reference
from tests.support.jets import FEATURES, KINDS, jet_table, write_arff, write_csv


@pytest.mark.slow
def test_a_jet_file_is_trained_on_and_its_classes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("keras", reason="training needs the extra [train]")
    monkeypatch.chdir(tmp_path)
    x, kinds = jet_table(3000, seed=2)
    write_arff(Path("jets.arff"), x, kinds)
    assert main(["train", "jet-tagger", "--data", "jets.arff", "-o", "raw.keras", "--epochs", "1",
                 "--samples", "200"]) == 0  # fmt: skip
    assert "edgeinfer convert jets.arff -o jets.h5 --standardize '*'" in capsys.readouterr().out
    assert main(["convert", "jets.arff", "-o", "jets.h5", "--standardize", "*"]) == 0
    assert main(["train", "jet-tagger", "--data", "jets.h5", "-o", "jets.keras",
                 "--epochs", "8"]) == 0  # fmt: skip
    assert json.loads(Path("jets.history.json").read_text())["classes"] == {"jet": list(KINDS)}
    write_csv(Path("new.csv"), *jet_table(500, seed=12))
    assert main(["convert", "new.csv", "-o", "new.h5", "--standardize-as", "jets.h5"]) == 0
    assert main(["compile", "jets.keras", "--bits", "8", "--data", "new.h5", "-o", "run"]) == 0
    result = json.loads(Path("run/result.json").read_text())
    assert result["data"]["classes"] == {"jet": list(KINDS)}
    assert result["accuracy"]["float"]["accuracy"] > 0.6  # five kinds, whose means lie apart
    assert result["accuracy"]["quantized"]["accuracy"] > 0.6
    assert main(["report", "run"]) == 0
    page = Path("run/report.html").read_text()
    assert all(f"<title>{kind}, quantized: AUC" in page for kind in KINDS)


def write_formats(x: np.ndarray, kinds: list[str]) -> None:
    """The file as OpenML has it, as a table of HDF5, and as pandas writes what OpenML gives: kinds
    are categories."""
    write_arff(Path("jets.arff"), x, kinds)
    frame = pandas.DataFrame(x.astype(np.float64), columns=FEATURES)
    frame["class"] = pandas.Categorical(kinds)
    frame.to_parquet("jets.parquet")
    columns = [(name, np.float64) for name in FEATURES]
    with h5py.File("jets.h5", "w") as file:
        rows = [(*row, kind.encode()) for row, kind in zip(x.tolist(), kinds, strict=True)]
        file["jets"] = np.array(rows, [*columns, ("class", "S1")])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arff", "parquet", "h5"])
def test_one_command_goes_from_the_file_to_hardware(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pytest.importorskip("keras", reason="training needs the extra [train]")
    monkeypatch.chdir(tmp_path)
    write_formats(*jet_table(3000, seed=2))
    command = ["tailor", "jet-tagger", "--data", f"jets.{kind}", "--standardize", "*",
               "--float-epochs", "8", "--epochs", "6", "--batch", "128", "--points", "2",
               "--stages", "6",
               "--device", "xcvu9p"]  # fmt: skip
    assert main([*command, "-o", "made"]) == 0
    made = Path("made")
    result = json.loads((made / "result.json").read_text())
    with h5py.File(made / "teach.h5") as teach, h5py.File(made / "judge.h5") as judge:
        sizes = [len(file["class"]) for file in (teach, judge)]
        seen = {tuple(row) for row in np.stack([teach[f][:] for f in FEATURES], 1).tolist()}
        new = {tuple(row) for row in np.stack([judge[f][:] for f in FEATURES], 1).tolist()}
    assert sum(sizes) == 3000 and sizes[1] == result["data"]["samples"]
    assert any("rows teach" in finding for finding in result["findings"])
    assert not seen & new and 0.75 < sizes[0] / 3000 < 0.85
    assert result["accuracy"]["quantized"]["accuracy"] > 0.5  # of five kinds
    pairs = {tuple(entry["pair"]): entry["bit_identical"] for entry in result["agreement"]}
    assert pairs[("engine", "rtl")] and all(pairs.values())
    files = made / "float.keras", made / "front/chosen.keras"
    times = [path.stat().st_mtime_ns for path in files]
    assert main([*command, "-o", "made"]) == 0
    assert [path.stat().st_mtime_ns for path in files] == times
    other = ["8" if word == "6" else word for word in command]  # epochs, and stages
    assert main([*other, "-o", "made"]) == 0
    assert files[0].stat().st_mtime_ns == times[0]
    assert files[1].stat().st_mtime_ns != times[1]


def test_every_format_of_the_jets_file_becomes_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_formats(*jet_table(60, seed=2))
    data = []
    for kind in ("arff", "parquet", "h5"):
        assert main(["convert", f"jets.{kind}", "-o", f"of_{kind}.h5", "--standardize", "*"]) == 0
        data.append(read_samples(Path(f"of_{kind}.h5"), load_reference("jet-tagger")))
    for samples in data:
        assert samples.classes == {"jet": KINDS}
        np.testing.assert_allclose(samples.inputs["features"].mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(samples.inputs["features"], data[0].inputs["features"])
        np.testing.assert_array_equal(samples.labels["jet"], data[0].labels["jet"])


def test_data_without_labels_teach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, _ = jet_table(50, seed=2)
    Path("jets.csv").write_text("\n".join(",".join(map(str, row)) for row in x.tolist()))
    assert main(["train", "jet-tagger", "--data", "jets.csv", "-o", "a.keras"]) == 2
    assert "no labels for jet" in capsys.readouterr().err
