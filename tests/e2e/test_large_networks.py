# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is done for networks of gigaMACs, on a small one: an architecture without weights, labels by
the names of its heads, and judged on some of the samples unless more are asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.cli.app import main
from edgeinfer.evaluate import judge
from edgeinfer.report.result import Result, from_json


def layer(kind: str, name: str, reads: list[str], **config: Any) -> dict[str, Any]:
    """A layer of a Functional model as Keras 2 writes it."""
    nodes = [[[read, 0, 0, {}] for read in reads]] if reads else []
    entry = {"class_name": kind, "config": {"name": name, **config}, "name": name}
    return {**entry, "inbound_nodes": nodes}


def architecture() -> dict[str, Any]:
    """Two views through convolutions of their own, and two heads of as many classes."""
    layers = [
        layer("InputLayer", view, [], batch_input_shape=[None, 8, 8, 1])
        for view in ("view0", "view1")
    ]
    for number in range(2):
        conv = {"filters": 3, "kernel_size": [3, 3], "activation": "relu"}
        layers.append(layer("Conv2D", f"conv{number}", [f"view{number}"], **conv))
        layers.append(layer("GlobalAveragePooling2D", f"mean{number}", [f"conv{number}"]))
    layers.append(layer("Concatenate", "both", ["mean0", "mean1"], axis=-1))
    heads = ("flavour", "protons")
    layers += [
        layer("Dense", head, ["both"], units=3, activation="softmax", use_bias=True)
        for head in heads
    ]
    ends = {
        "input_layers": [[f"view{number}", 0, 0] for number in range(2)],
        "output_layers": [[head, 0, 0] for head in heads],
    }
    return {"class_name": "Model", "config": {"name": "small_cvn", "layers": layers, **ends}}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the architecture and forty labelled samples."""
    (tmp_path / "net.json").write_text(json.dumps(architecture()))
    rng = np.random.default_rng(1)
    views = {f"view{number}": rng.integers(0, 9, (40, 8, 8, 1)) for number in range(2)}
    labels = {name: rng.integers(0, 3, 40) for name in ("flavour", "protons")}
    np.savez(tmp_path / "d.npz", **views, **labels)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    """A command, and the result that it leaves in the run folder."""
    assert main([*words]) == 0
    return from_json(Path("RUN/result.json").read_text(), "result.json")


def test_some_samples_are_judged_unless_more_are_asked_for(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "MOST_MACS", 1)
    results = run("compile", "net.json", "--target", "none", "--data", "d.npz", "-o", "RUN")
    assert results.data is not None
    assert results.data.samples == judge.FEWEST_JUDGED
    assert any("random ones were drawn" in finding for finding in results.findings)
    assert any(
        "8 of 40 samples were judged, spread evenly" in finding for finding in results.findings
    )
    assert set(results.accuracy["float"].heads) == {"flavour_softmax", "protons_softmax"}
    assert all(entry.bit_identical for entry in results.agreement)
    more = run("simulate", "RUN", "--samples", "25", "--data", "d.npz")
    assert more.data is not None
    assert more.data.samples == 25


def figure(metric: dict[str, Any]) -> tuple[Any, ...]:
    """What a figure says, its band and its origin too."""
    return tuple(metric[key] for key in ("name", "layer", "value", "unit", "low", "high", "origin"))


@pytest.mark.parametrize("bits", ["8", pytest.param("16", marks=pytest.mark.slow)])
def test_an_estimate_says_what_compile_says(
    work: Path, capsys: pytest.CaptureFixture[str], bits: str
) -> None:
    """Figure by figure. 16 bits have no int8 equal: the float network is calibrated in their
    stead, and that is said."""
    results = run(
        *("compile", "net.json", "--target", "edgetpu", "--bits", bits),
        *("--data", "d.npz", "-o", "RUN"),
    )
    capsys.readouterr()
    assert main(["estimate", "net.json", "--target", "edgetpu", "--bits", bits, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert any("no int8 equal" in each for each in document["findings"]) == (bits == "16")
    compiled = {figure(asdict(each)) for each in results.metrics}
    estimated = {figure(each) for each in document["metrics"]}
    assert estimated <= compiled
    names = {name for name, *_ in estimated}
    assert {"mapped_ops", "cached_bytes", "streamed_bytes", "latency_us"} <= names
