# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study's folder from anyone: what does not fit the study is told in a paragraph."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.cli.app import main
from edgeinfer.sweep.page import csv_text, read_study_folder
from edgeinfer.sweep.run import SCHEMA_VERSION
from edgeinfer.sweep.study import read
from edgeinfer.sweep.trial import TrialOutcome, as_dict

TEXT = """
[study]
model = "jet-tagger"
trials = 4
[space]
reuse = [1, 2]
[[objective]]
figure = "auc"
direction = "maximize"
[[objective]]
figure = "hls.lut"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished study of two trials."""
    (tmp_path / "study.toml").write_text(TEXT)
    trials = [
        TrialOutcome(
            {"reuse": reuse}, f"{reuse}" * 24, {"auc": 0.9 + reuse / 100, "hls.lut": 1000.0}
        )
        for reuse in (1, 2)
    ]
    answer = {
        "schema_version": SCHEMA_VERSION,
        "study": asdict(read(tmp_path / "study.toml")),
        "store": str(tmp_path / "trials"),
        "seconds": 1.5,
        "trials": [as_dict(each) for each in trials],
        "front": [trials[1].key],
        "importances": {"auc": {"reuse": 1.0}},
        "failed": 0,
        "cut_short": 0,
        "saving": {},
    }
    (tmp_path / "study.json").write_text(json.dumps(answer))
    return tmp_path


def test_a_good_study_has_a_page(folder: Path) -> None:
    assert main(["report", str(folder)]) == 0


Harm = Callable[[dict[str, Any]], Any]
HARMS: dict[str, Harm] = {
    "a trial has an undeclared knob": lambda t: t["trials"][0]["point"].pop("reuse"),
    "another knob in its place": lambda t: t["trials"][0].update(point={"other": 1}),
    "a value that the study does not try": lambda t: t["trials"][0]["point"].update(reuse=3),
    "an undeclared key of a trial": lambda t: t["trials"][0].update(undeclared=1),
    "an undeclared trial on the front": lambda t: t.update(front=["f" * 24]),
    "no figure of an objective": lambda t: t["trials"][1]["figures"].pop("auc"),
    "a figure that is a word": lambda t: t["trials"][1]["figures"].update(auc="good"),
    "a key with a path": lambda t: t["trials"][0].update(key="../../etc"),
    "no importances": lambda t: t.pop("importances"),
    "importances of words": lambda t: t.update(importances={"auc": {"reuse": "much"}}),
    "importances are a list": lambda t: t.update(importances=[1]),
    "savings of half": lambda t: t.update(saving={"of": 2}),
    "no time": lambda t: t.pop("seconds"),
    "trials are a number": lambda t: t.update(trials=3),
    "a trial is a list": lambda t: t.update(trials=[[]]),
    "the store is none": lambda t: t.update(store=None),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_what_does_not_fit_the_study_is_code_2(
    harm: Harm, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "study.json"
    document = json.loads(path.read_text())
    harm(document)
    path.write_text(json.dumps(document))
    assert main(["report", str(folder)]) == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) == 1 and "study.json" in message


def test_a_study_with_an_undeclared_key_is_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "study.toml").write_text(TEXT + '[undeclared]\na = "b"\n')
    assert main(["report", str(folder)]) == 2
    assert "undeclared" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "a = " + "{a=" * 5_000, "[" * 5_000])
@pytest.mark.parametrize("name", ["study.toml", "study.json"])
def test_brackets_without_end_are_code_2(
    text: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(text)
    assert main(["report", str(folder)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_link_out_of_the_folder_is_not_followed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "kept.txt"
    outside.write_text("kept")
    (folder / "report.html").symlink_to(outside)
    assert main(["report", str(folder)]) == 2
    assert outside.read_text() == "kept"


def test_no_trial_is_a_formula(folder: Path) -> None:
    path = folder / "study.json"
    document = json.loads(path.read_text())
    document["trials"][0] |= {"error": '=HYPERLINK("http://x")', "figures": {"auc": -3.2}}
    path.write_text(json.dumps(document))
    rows = list(csv.DictReader(io.StringIO(csv_text(read_study_folder(folder)))))
    assert rows[0]["error"] == '\'=HYPERLINK("http://x")' and rows[0]["auc"] == "-3.2"
