# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures keep their origin; ranks and areas agree with their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base import metrics
from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin, Scores, Task

GATES = DesignState.LOGIC_SYNTHESIS


def test_what_no_type_checker_reads_is_refused_too() -> None:
    with pytest.raises(ValueError, match="error band"):
        Metric("lut", 900, "LUT", Origin.ESTIMATED, state=GATES)
    with pytest.raises(TypeError, match="which state"):
        Metric("lut", 900, "LUT", Origin.ESTIMATED, low=700, high=1100)
    with pytest.raises(TypeError, match="origin"):
        Metric("lut", 900, "LUT")
    assert Metric("lut", 900, "LUT", Origin.ESTIMATED, 700, 1100, state=GATES).high == 1100
    assert Metric("lut", 900, "LUT", Origin.ROUTED).state is DesignState.ROUTING


def test_a_band_holds_its_value_and_has_two_ends() -> None:
    with pytest.raises(ValueError, match="outside its band"):
        Metric("lut", 900, "LUT", Origin.ESTIMATED, low=910, high=1100, state=GATES)
    with pytest.raises(ValueError, match="two ends"):
        Metric("lut", 900, "LUT", Origin.SYNTHESISED, low=1, state=GATES)


def _auc_by_pairs(scores: list[int], positive: list[bool]) -> float:
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p, chosen in zip(scores, positive, strict=True)
        for n, other in zip(scores, positive, strict=True)
        if chosen and not other
    ]
    return sum(wins) / len(wins)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_chance_that_a_positive_ranks_higher(pairs: list[tuple[int, bool]]) -> None:
    scores, positive = [p[0] for p in pairs], [p[1] for p in pairs]
    result = metrics.auc(scores, positive)
    if all(positive) or not any(positive):
        assert result is None
    else:
        assert result == pytest.approx(_auc_by_pairs(scores, positive), abs=1e-12)


def test_macro_auc_averages_the_classes_that_labels_show() -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.7, 0.3, 0.0]])
    # class 2 never occurs and does not count; three of four pairs are in order for 0 and for 1
    assert metrics.macro_auc(scores, np.array([0, 1, 1, 0])) == pytest.approx(1.0)
    assert metrics.macro_auc(scores, np.array([0, 1, 0, 1])) == pytest.approx(0.75)
    assert metrics.macro_auc(scores, np.zeros(4)) is None


def test_accuracy_of_one_score_is_its_side_of_a_half() -> None:
    assert metrics.accuracy([[0.9], [0.2], [0.5], [0.6]], [1, 0, 0, 0]) == 0.75


def test_one_hot_labels_are_read_as_classes() -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert metrics.accuracy(scores, np.array([[1, 0], [0, 1], [0, 1]])) == pytest.approx(2 / 3)


def test_heads_are_scored_each_and_on_average() -> None:
    pid = metrics.score_head([[0.9, 0.1], [0.1, 0.9]], [0, 1], Task.CLASSIFICATION)
    stopping = metrics.score_head([[0.3], [0.2]], [0, 1], Task.CLASSIFICATION)
    energy = metrics.score_head([[1.0], [4.0]], [1.0, 1.0], Task.REGRESSION)
    result = metrics.join_scores({"pid": pid, "stopping": stopping, "energy": energy})
    assert (pid.auc, stopping.auc) == (1.0, 0.0)
    assert result.auc == 0.5
    assert result.accuracy == pytest.approx((1.0 + 0.5) / 2)
    assert result.heads["energy"].rms_error == pytest.approx(np.sqrt(4.5))
    assert metrics.join_scores({"pid": pid}) == pid
    assert result.rms_error is None
    both = metrics.join_scores({"x": Scores(2, rms_error=3.0), "y": Scores(2, rms_error=1.0)})
    assert both.rms_error == pytest.approx(5**0.5)


def test_a_decision_at_every_position_counts() -> None:
    scores = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.7, 0.3]]])
    assert metrics.accuracy(scores, np.array([[0, 1], [1, 0]])) == 0.75


@pytest.mark.parametrize(
    ("labels", "words"),
    [([0, 3], "classes"), ([0, -1], "classes"), ([0, 1, 1], "do not fit")],
)
def test_labels_that_do_not_fit_are_refused(labels: list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        metrics.macro_auc([[0.1, 0.9], [0.5, 0.5]], labels)


def test_nan_scores_have_no_order() -> None:
    with pytest.raises(InputError, match="NaN"):
        metrics.auc([0.1, float("nan")], [True, False])
