# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What training aims at, for each kind of output and of labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.precision.qat.aims import Loss, aims, yields_logits
from edgeinfer.precision.qat.sparsity import RAMP, SparsitySchedule, masks

KERNEL = np.ones((4, 3))


def network(last: g.Node | None, outputs: tuple[str, ...] = ("y",), units: int = 3) -> g.Graph:
    name = "y" if last is None else "d"
    dense = g.DenseNode(name, name, "x", np.ones((4, units)), None)
    nodes = (g.InputNode("x", (4,)), dense, *(() if last is None else (last,)))
    return g.Graph("net", nodes, outputs)


SOFTMAX = network(g.SoftmaxNode("y", "d", -1))
SIGMOID = network(g.ActivationNode("y", "d", g.Function.SIGMOID), units=1)
LOGITS = network(None)
X = np.zeros((2, 4))


def test_labels_and_answers_are_blended() -> None:
    answers = {"y": np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]])}
    samples = Samples({"x": X}, "", {"y": np.array([2.0, 0.0])})
    (aim,) = aims(SOFTMAX, samples, answers, 0.25)
    assert aim.loss is Loss.CLASSES
    np.testing.assert_allclose(aim.values, [[0.05, 0.075, 0.875], [0.9, 0.05, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(aim.values.sum(axis=1), 1.0, rtol=1e-6)


def test_one_hot_rows_mean_the_same_as_numbers() -> None:
    answers = {"y": np.full((2, 3), 1 / 3)}
    numbers = Samples({"x": X}, "", {"y": np.array([2.0, 0.0])})
    rows = Samples({"x": X}, "", {"y": np.eye(3)[[2, 0]]})
    a, b = (aims(SOFTMAX, samples, answers, 0.5)[0] for samples in (numbers, rows))
    np.testing.assert_array_equal(a.values, b.values)


def test_logits_are_squashed_before_they_teach() -> None:
    answers = {"y": np.array([[100.0, 0.0, 0.0], [0.0, 0.0, 0.0]])}
    (aim,) = aims(LOGITS, Samples({"x": X}, "", {"y": np.array([0.0, 1.0])}), answers, 1.0)
    assert aim.loss is Loss.CLASSES
    np.testing.assert_allclose(aim.values, [[1, 0, 0], [1 / 3] * 3], atol=1e-6)


def test_one_score_is_a_yes_or_no_and_a_real_one_a_quantity() -> None:
    answers = {"y": np.array([[0.25], [0.5]])}
    yes = Samples({"x": X}, "", {"y": np.array([1.0, 0.0])})
    (aim,) = aims(SIGMOID, yes, answers, 0.5)
    assert aim.loss is Loss.YES_NO
    np.testing.assert_allclose(aim.values, [[0.625], [0.25]])
    line = network(None, units=1)
    real = Samples({"x": X}, "", {"y": np.array([3.0, 5.0])})
    (aim,) = aims(line, real, {"y": np.array([[3.0], [5.0]])}, 0.0)
    assert aim.loss is Loss.SQUARED and aim.unit == 1.0
    np.testing.assert_allclose(aim.values, [[3.0], [5.0]])


def test_an_output_without_labels_does_not_count_beside_one_that_has_them() -> None:
    both = g.Graph("two", (*SOFTMAX.nodes, g.DenseNode("z", "z", "x", KERNEL, None)), ("y", "z"))
    answers = {"y": np.full((2, 3), 1 / 3), "z": np.zeros((2, 3))}
    labelled = Samples({"x": X}, "", {"y": np.array([2.0, 0.0])})
    assert [aim.output for aim in aims(both, labelled, answers, 0.5)] == ["y"]
    assert [aim.output for aim in aims(both, Samples({"x": X}, ""), answers, 0.5)] == ["y", "z"]


def test_what_the_host_applies_leaves_logits() -> None:
    assert (
        yields_logits(SOFTMAX, "y") and yields_logits(SIGMOID, "y") and yields_logits(LOGITS, "y")
    )
    read_on = g.DenseNode("z", "z", "y", KERNEL[:3], None)
    inner = g.Graph("inner", (*SOFTMAX.nodes, read_on), ("y", "z"))
    assert not yields_logits(inner, "y")


@given(st.floats(0.01, 0.95), st.integers(2, 10_000))
def test_a_schedule_rises_to_its_end_and_stays(final: float, steps: int) -> None:
    schedule = SparsitySchedule(final, steps)
    shares = [schedule.at(step) for step in range(0, steps + 1, max(1, steps // 50))]
    assert shares == sorted(shares) and shares[0] == 0.0
    assert schedule.at(int(np.ceil(RAMP * steps)) + 1) == pytest.approx(final)
    assert schedule.changes(steps - 1) and schedule.changes(0)
    assert not SparsitySchedule(0.0, steps).changes(0)


@given(st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
def test_masks_take_the_smallest_and_leave_each_channel_its_largest(
    share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kernels = {"a": rng.normal(size=(3, 3, 2, 4)), "b": rng.normal(size=(20, 5))}
    result = masks(kernels, share)
    total = sum(kernel.size for kernel in kernels.values())
    kept = sum(int(mask.sum()) for mask in result.values())
    assert total - kept <= np.ceil(share * total)
    assert total - kept >= np.ceil(share * total) - 9  # each channel's largest stays
    for name, mask in result.items():
        columns = np.abs(kernels[name]).reshape(-1, mask.shape[-1])
        assert mask.reshape(columns.shape)[columns.argmax(axis=0), range(columns.shape[1])].all()
