# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The field's jet benchmark as people have it, 16 features of any scale and a letter for the kind:
standardised, trained on, compiled and reported with the letters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from tests.support.jets import KINDS, jet_table, write_arff, write_csv


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


def test_data_without_labels_teach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x, _ = jet_table(50, seed=2)
    Path("jets.csv").write_text("\n".join(",".join(map(str, row)) for row in x.tolist()))
    assert main(["train", "jet-tagger", "--data", "jets.csv", "-o", "a.keras"]) == 2
    assert "no labels for jet" in capsys.readouterr().err
