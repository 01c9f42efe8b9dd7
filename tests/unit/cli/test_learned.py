# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`quantize --method learned` and `lookup` as a user calls them: folder, choice, and
options that do nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.zoo import entry_of, reference_path
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import stage_seed

TEACHER = reference_path(entry_of("jet-tagger"))  # itself, so nothing else is taught


@pytest.mark.slow
@pytest.mark.parametrize(
    "method, epochs, score",
    [
        (f"learned --teacher {TEACHER}", 8, 0.9),
        ("lookup", 6, 0.85),
        ("lookup --tables neurons", 6, 0.8),
    ],
)
def test_a_front_is_written_chosen_from_and_compiled(
    method: str, epochs: int, score: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, _ = simulate_samples(entry_of("jet-tagger"), stage_seed(7, "fresh"), 12_000)
    np.savez(tmp_path / "jets.npz", **samples.inputs, **samples.labels)  # type: ignore[arg-type]
    folder = tmp_path / "front"
    order = [
        "quantize", "jet-tagger", "--method", *method.split(), "--points", "3", "--epochs", epochs,
        "--batch", "256", "--data", tmp_path / "jets.npz", "--at-most", "lut=1e6", "-o", folder,
        "--json",
    ]  # fmt: skip
    assert main([str(token) for token in order]) == 0
    document = json.loads(capsys.readouterr().out)
    taught = [one for one in document["findings"] if one.startswith("Taught by jet-tagger.keras")]
    assert len(taught) == ("--teacher" in method)
    costs = [point["costs"]["additions"] for point in document["points"]]
    assert costs == sorted(costs, reverse=True)
    assert document["points"][0]["score"] > score
    best = max(document["points"], key=lambda point: point["score"])
    assert document["chosen"] == best["name"]
    assert (folder / "front.svg").read_text(encoding="utf-8").startswith("<svg")
    assert json.loads((folder / "front.json").read_text(encoding="utf-8"))["chosen"] == best["name"]
    assert (folder / "chosen.keras").read_bytes() == (
        folder / "models" / f"{best['name']}.keras"
    ).read_bytes()
    order = [
        "compile", folder / "chosen.keras", "--target", "rtl", "--unroll", "full", "--interface",
        "bare", "--stages", "6", "--device", "xcvu9p", "--data", tmp_path / "jets.npz", "-o",
        tmp_path / "run", "--json",
    ]  # fmt: skip
    assert main([str(token) for token in order]) == 0
    result = json.loads(capsys.readouterr().out)
    assert all(entry["bit_identical"] for entry in result["agreement"])
    assert {"engine", "rtl"} in [set(entry["pair"]) for entry in result["agreement"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "learned", "--bits", "6"), "--bits"),
        (("--method", "learned", "--sparsity", "0.5"), "--sparsity"),
        (("--method", "learned", "--points", "0"), "--points"),
        (("--method", "lookup", "--cost", "folded"), "--cost folded"),
        (("--method", "lookup", "--start", "float"), "--start"),
        (("--method", "qat", "--device", "xczu7ev"), "--method learned"),
        (("--method", "learned", "--cost-low", "2", "--cost-high", "1"), "--cost-low"),
        (("--method", "learned", "--at-most", "lut"), "NAME=NUMBER"),
        (("--method", "qat", "--points", "3"), "--method learned"),
        (("--method", "qat", "--teacher", "large.keras"), "--method learned"),
        (("--at-least", "auc=0.9"), "--method learned"),
        (("--method", "learned", "--neurons", "4"), "--method lookup"),
        (("--method", "lookup", "--neurons", "0"), "--neurons"),
        (("--method", "lookup", "--fan-in", "2"), "--tables neurons"),
        (("--method", "lookup", "--tables", "neurons", "--fan-in", "7"), "14 bits"),
        (("--method", "qat", "--tables", "neurons"), "--method lookup"),
        (("--method", "lookup", "--bits", "6"), "--method lookup"),
    ],
)
def test_options_that_do_nothing_are_refused(
    options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", "jet-tagger", *options, "-o", str(tmp_path / "front")]) == 2
    assert said in capsys.readouterr().err


def test_a_front_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order = ["quantize", "jet-tagger", "--method", "learned", "-o", str(tmp_path / "q.keras")]
    assert main(order) == 2
    assert "folder" in capsys.readouterr().err
