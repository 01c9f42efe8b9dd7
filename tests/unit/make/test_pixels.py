# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed table of a pixel network in few bits: what it says is true on other planes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.graph.nodes import Graph
from edgeinfer.readers import load
from edgeinfer.zoo.evaluate import JudgedOutputs
from edgeinfer.zoo.reference import load_reference
from reports.make.pixels import FIGURES, NAME, WIDTHS, PixelJudge, calibrate, markdown
from tests.support.places import ROOT

FOLDER = ROOT / "reports" / "reference" / "pixels"
TABLE = json.loads((FOLDER / "pixels.json").read_text())
ROWS = TABLE["rows"]
TRAINED = [name for name, row in ROWS.items() if row["file"]]


@pytest.fixture(scope="module")
def network() -> Graph:
    return load_reference(NAME)


@pytest.fixture(scope="module")
def judged(network: Graph) -> PixelJudge:
    """Fewer planes of the seed that judges."""
    return PixelJudge.of(network, 150)


def test_the_page_shows_the_table() -> None:
    assert (FOLDER / "pixels.md").read_text() == markdown(TABLE)


def test_eight_bits_lose_at_most_half_a_percent_of_the_pixels() -> None:
    for name in ("ptq 8", "qat 8"):
        for figure in FIGURES:
            row = ROWS[name]
            lost = row["losses"][figure]["value"]
            assert lost <= 0.005
            exact = ROWS["float"]["figures"][figure]["value"]
            assert row["figures"][figure]["value"] == pytest.approx(exact - lost)


def test_a_loss_counts_pixels_of_both_networks_alike(judged: PixelJudge) -> None:
    """Against arithmetic by hand, with every second plane made wrong in all pixels."""
    outputs = {name: values.copy() for name, values in judged.exact.outputs.items()}
    truth = judged.samples.targets["label"]
    for values in outputs.values():
        values[::2] = 1.0 - truth[::2]
    row = judged.row(JudgedOutputs(outputs, judged.samples))
    lit = truth.any(axis=-1)
    exact = judged.exact.outputs["label"].argmax(axis=-1) == truth.argmax(axis=-1)
    assert row.losses["pixel_accuracy"].value == pytest.approx((exact & lit)[::2].sum() / lit.sum())
    assert row.figures["pixel_accuracy"].value == pytest.approx(
        (exact & lit)[1::2].sum() / lit.sum()
    )
    same = judged.row(judged.exact).losses["track_shower_accuracy"]
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "name", [*TRAINED, *(pytest.param(f"ptq {bits}", marks=pytest.mark.slow) for bits in WIDTHS)]
)
def test_the_table_is_true_on_fewer_planes(name: str, network: Graph, judged: PixelJudge) -> None:
    """The loss lies where the interval says, widened for the number of planes."""
    row = ROWS[name]
    if row["file"]:
        path: Path = FOLDER / row["file"]
        assert sha256_of(path) == row["sha256"]
        model = load(path)
        graph, recipe = model.graph, model.recipe
    else:
        quantized = calibrate(network, int(name.split()[1]))
        graph, recipe = quantized.graph, quantized.recipe
    assert {q.type.bits for _, q in recipe.activations} == {int(name.split()[1])}
    again = judged.row(judged.integers(graph, recipe))
    for figure in FIGURES:
        table, now = row["losses"][figure], again.losses[figure]
        width = table["high"] - table["low"] + now.high - now.low
        assert abs(now.value - table["value"]) <= width
        assert np.isfinite(width) and width > 0
