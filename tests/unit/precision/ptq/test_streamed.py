# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Calibration in one pass: what is kept says the same as all values, and does not grow."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize, sketch, streamed
from edgeinfer.precision.ptq.sketch import extreme_rows, sketch_tensors
from edgeinfer.precision.search.objective import objective_on
from quantization.calibrate import Method, fit_quantizer
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
DATA = bars(300, seed=1)
JUDGE = objective_on(GRAPH, bars(1000, seed=2))


def all_values() -> dict[str, np.ndarray]:
    """Every tensor of the network in every sample."""
    inputs = {name: values.astype(np.float32) for name, values in DATA.inputs.items()}
    return FloatEngine(GRAPH).run(inputs, tuple(GRAPH.shapes)) | inputs


def test_ends_rows_and_channels_are_those_of_all_values() -> None:
    seen = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs)
    for name, values in all_values().items():
        assert (seen[name].low, seen[name].high) == (values.min(), values.max())
        flat = values.reshape(len(values), -1)
        rows = (int(flat.min(axis=1).argmin()), int(flat.max(axis=1).argmax()))
        assert tuple(row for _, row in seen[name].ends) == rows
        alive = values.reshape(-1, values.shape[-1]).any(axis=0)
        np.testing.assert_array_equal(seen[name].alive, alive)
        assert set(rows) <= set(extreme_rows(seen).tolist())


def test_few_values_are_all_kept_and_many_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    values = all_values()
    whole = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs, GRAPH.shapes)
    small = min(GRAPH.shapes, key=lambda name: values[name].size)
    np.testing.assert_array_equal(np.sort(whole[small].values), np.sort(values[small].ravel()))
    monkeypatch.setattr(sketch, "MOST_KEPT", 100)  # fewer than there are samples
    few = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs, GRAPH.shapes)
    for name, every in values.items():
        kept = few[name].values
        assert kept.size <= 102
        assert kept.min() == every.min()
        assert kept.max() == every.max()
        assert np.isin(kept, every).all()


def test_what_is_kept_does_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch, "MOST_KEPT", 3000)
    first = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs, GRAPH.shapes)
    monkeypatch.setattr(sketch, "AT_ONCE", 7)
    second = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs, GRAPH.shapes)
    for name, seen in first.items():
        assert seen.ends[0][1] == second[name].ends[0][1]
        np.testing.assert_allclose(seen.values, second[name].values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", list(Method))
def test_formats_from_what_is_kept_are_as_good_as_those_from_all_values(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sketch, "MOST_KEPT", 4000)
    seen = sketch_tensors(GRAPH, GRAPH.shapes, DATA.inputs, GRAPH.shapes)
    for name, values in all_values().items():
        expected = fit_quantizer(values, 8, method=method, percentile=99.0).type
        actual = fit_quantizer(seen[name].values, 8, method=method, percentile=99.0).type
        apart = 0 if method is Method.MINMAX else 1  # a share may lie beside a power of two
        assert actual.signed == expected.signed
        assert abs(actual.integer - expected.integer) <= apart


def test_a_network_too_large_to_try_formats_is_quantized_in_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streamed, "MOST_WORK", 1 << 20)
    result = quantize(GRAPH, DATA.inputs, PtqSettings(8))
    assert any("too large to try formats one by one" in finding for finding in result.findings)
    lowered = lower(result.graph, result.recipe)
    score = JUDGE.of_program(lowered.program, lowered.recipe)
    assert score > JUDGE.exact_score - 0.005
