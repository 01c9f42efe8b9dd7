# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed table of what quantization costs: within what was asked, and true on a sample."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.evaluate import judge
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.readers import load
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import stage_seed
from edgeinfer.zoo.reference import load_reference
from quantization.fixed import dequantize
from reports.make.quantization import (
    JUDGED,
    SCHEDULES,
    TEACH_SEED,
    judging_samples,
    limits_of,
    markdown,
)
from reports.make.unseen import Unseen
from tests.support.places import ROOT
from tests.support.sampling import sample_cases

FOLDER = ROOT / "reports" / "reference" / "quantization"
TABLE = json.loads((FOLDER / "quantization.json").read_text())
ROWS = TABLE["rows"]
SAMPLE = 4_000
TRAINED = [key for key in ROWS if ROWS[key]["file"]]
SHIPPED = [key for key in ROWS if entry_of(ROWS[key]["model"]).reference is not None]
LONG = [key for key in SHIPPED if ROWS[key]["model"] in JUDGED]  # whole events are simulated
QUICK = [key for key in SHIPPED if key not in LONG]


def lowered(row: dict[str, Any]) -> LoweredModel:
    """A row's integer network, from its file or quantized again."""
    if row["file"]:
        found = load(FOLDER / row["file"])
        return lower(found.graph, found.recipe)
    entry = entry_of(row["model"])
    teach, _ = simulate_samples(entry, stage_seed(TEACH_SEED, "fresh"), 5_000)
    result = quantize(load_reference(row["model"]), teach.inputs, PtqSettings(row["bits"]))
    return lower(result.graph, result.recipe)


def test_every_model_and_width_is_there_and_within_what_was_asked() -> None:
    assert len(ROWS) == sum(len(limits_of(name)) for name in SCHEDULES)
    for key, row in ROWS.items():
        assert row["limit"] == limits_of(row["model"])[row["method"], row["bits"]], key
        assert row["loss"]["low"] <= row["loss"]["value"] <= row["loss"]["high"], key
        assert row["loss"]["value"] <= row["limit"], key


def test_the_page_shows_the_table() -> None:
    assert (FOLDER / "quantization.md").read_text() == markdown(TABLE)


@pytest.mark.parametrize(
    "key",
    [
        *sample_cases(sorted(QUICK, reverse=True), 5),
        *(pytest.param(key, marks=pytest.mark.slow) for key in LONG),
    ],
)
def test_the_table_is_true_on_a_sample(key: str) -> None:
    """On some other events the loss lies where the interval says, widened for their number."""
    row = ROWS[key]
    graph = load_reference(row["model"])
    samples, event = judging_samples(entry_of(row["model"]), SAMPLE)
    result = lowered(row)
    seen = Unseen.of(graph, samples, event).loss(result, replicas=60)
    width = row["loss"]["high"] - row["loss"]["low"] + (seen.high - seen.low)
    assert abs(seen.value - row["loss"]["value"]) <= width
    assert seen.low <= row["limit"]
    if row["file"]:
        assert sha256_of(FOLDER / row["file"]) == row["sha256"]
        costs = costs_of(result.program)
        assert (costs.ebops, costs.weight_bits) == (row["ebops"], row["weight_bits"])
    widths = {q.type.bits for _, q in result.recipe.activations}
    assert max(widths) == row["bits"] and (len(widths) == 1) == (row["method"] != "mixed")


@pytest.mark.parametrize("key", sample_cases(sorted(TRAINED), 5))
def test_the_engine_is_the_trained_model_bit_for_bit(key: str) -> None:
    import keras
    import qkeras  # noqa: F401  # its layers are found by name

    row = ROWS[key]
    result = lowered(row)
    model = keras.models.load_model(FOLDER / row["file"])
    samples, _ = judging_samples(entry_of(row["model"]), SAMPLE)
    raw = judge.raw_inputs(result.program, result.recipe, samples)
    held = Engine(result.program).run(raw)
    outputs = result.program.outputs
    before = [model.get_layer(output.value.partition(".")[0]).output for output in outputs]
    logits = keras.Model(model.inputs, before)
    fed = [samples.inputs[op.name].astype(np.float32) for op in result.program.inputs]
    actual = logits.predict(fed, batch_size=1000, verbose=0)
    for output, values in zip(outputs, actual if len(before) > 1 else [actual], strict=True):
        expected = dequantize(held[output.name], result.program.type(output.value))
        np.testing.assert_array_equal(
            np.asarray(values, np.float64).reshape(expected.shape), expected
        )
