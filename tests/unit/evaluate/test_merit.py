# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of merit against what their definitions give; intervals hold what repeats of the samples
give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.base.metrics import auc
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.merit import FloatReference
from edgeinfer.graph import nodes as g

Floats = NDArray[np.float64]


def network(outputs: int) -> g.Graph:
    """A dense layer: only its output's shape counts here."""
    kernel = np.ones((2, outputs))
    nodes = (g.InputNode("x", (2,)), g.DenseNode("out", "out", "x", kernel, None))
    return g.Graph("net", nodes, ("out",))


def reference(outputs: Floats, labels: Floats | None) -> FloatReference:
    """The float network, whose outputs are given."""
    values = {} if labels is None else {"out": labels}
    samples = Samples({"x": np.zeros((len(outputs), 2))}, "drawn here", values)
    return FloatReference.of(network(outputs.shape[1]), samples, {"out": outputs})


def noisy(rng: np.random.Generator, count: int) -> tuple[Floats, Floats, Floats]:
    """Truth, a regression of it, and a worse one."""
    truth = rng.normal(size=(count, 1))
    return truth, truth + rng.normal(0, 0.5, (count, 1)), truth + rng.normal(0, 0.6, (count, 1))


def test_an_error_and_what_it_grew_by() -> None:
    truth, before, after = noisy(np.random.default_rng(1), 500)
    merit = reference(before, truth).merit({"out": after})
    errors = [float(np.sqrt(np.mean((v - truth) ** 2))) for v in (before, after)]
    assert merit.name == "rms_error" and merit.is_error
    assert merit.value.value == pytest.approx(errors[1])
    assert merit.lost.value == pytest.approx(errors[1] - errors[0])
    assert merit.float_value == pytest.approx(errors[0])


def test_intervals_of_an_error_hold_19_of_20_times() -> None:
    held = 0
    for seed in range(200):
        truth, before, after = noisy(np.random.default_rng(seed), 400)
        lost = reference(before, truth).merit({"out": after}).lost
        held += lost.low <= 0.1 <= lost.high
    assert 175 <= held <= 200  # of 190 expected


def test_a_classifier_is_ranked_by_its_area() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 400)
    before = labels[:, None] + rng.normal(0, 1.0, (400, 1))
    after = before + rng.normal(0, 0.5, (400, 1))
    merit = reference(before, labels).merit({"out": after})
    areas = [auc(v, labels == 1) for v in (before, after)]
    assert areas[0] is not None and areas[1] is not None
    assert merit.name == "auc" and merit.value.value == pytest.approx(areas[1])
    assert merit.lost.value == pytest.approx(areas[0] - areas[1])
    assert merit.lost.low < merit.lost.value < merit.lost.high


def test_without_labels_decisions_are_counted() -> None:
    before = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    after = before[:, ::-1].copy()
    after[1:] = before[1:]
    merit = reference(before, None).merit({"out": after})
    assert merit.name == "same_decision_as_float"
    assert merit.value.value == 0.75 and merit.lost.value == 0.25
