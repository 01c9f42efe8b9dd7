# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Stages are compared bit for bit, and a disagreement is traced to the first value that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from edgeinfer.evaluate import judge
from edgeinfer.evaluate.judge import Stage
from edgeinfer.ir import agreement as cosim
from edgeinfer.ir.agreement import AgreementTally
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.ops import Dense, Input, Requant
from edgeinfer.ir.program import HostFunction, Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Rounding

X = Fixed(True, 4, 2)  # raw -8..7
WEIGHT = np.array([[1, -1], [2, 3]], dtype=np.int8)


def program() -> Program:
    """Two inputs, two sums, rounded to halves."""
    return Program(
        "two",
        (
            Input("x", X, (2,)),
            Dense("sum", Fixed(True, 7, 5), "x", WEIGHT, Fixed(True, 3, 3), np.zeros(2, np.int8)),
            Requant("y", Fixed(True, 6, 5), "sum", Rounding.TRN, Overflow.SAT),
        ),
        (Output("scores", "y"),),
    )


RAW = {"x": np.array([[1, 2], [-8, 7], [3, 0]])}


def test_the_engine_equals_the_interpreter() -> None:
    tried = judge.try_stages(program(), RAW, (Stage.ENGINE,), lambda done, total: None)
    agreement = tried.agreement
    assert agreement.bit_identical and agreement.samples == 3
    assert agreement.pair == ("interpret", "engine")
    assert (agreement.max_abs_diff, agreement.decision_flips) == (0.0, 0)
    assert agreement.first_divergence is None
    assert tried.observed == ()


def test_the_interpreter_tells_which_widths_were_used() -> None:
    tried = judge.try_stages(program(), RAW, (Stage.INTERPRET,), lambda done, total: None)
    assert tried.agreement.bit_identical
    (metric,) = tried.observed
    # the sums are 5, 5; 6, 29; 3, -3: six bits hold -3..29, seven were proved to suffice
    assert (metric.name, metric.layer, metric.value) == ("observed_bits", "sum", 6)


def test_a_wrong_engine_is_caught_and_the_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Engine.run

    def wrong(self: Engine, inputs: Mapping[str, Ints], taps: Sequence[str] = ()) -> Any:
        results = dict(right(self, inputs, taps))
        negative = inputs["x"][:, 0] < 0
        for name in set(results) - {"x"}:
            results[name] = results[name] + np.where(negative, 2, 0)[:, None] * np.array([0, 1])
        return results

    monkeypatch.setattr(Engine, "run", wrong)
    tried = judge.try_stages(program(), RAW, (Stage.ENGINE,), lambda done, total: None)
    agreement = tried.agreement
    assert not agreement.bit_identical
    assert agreement.max_abs_diff == 1.0  # two units of a half
    divergence = agreement.first_divergence
    assert divergence is not None
    assert (divergence.value, divergence.sample, divergence.index) == ("sum", 1, (1,))
    assert (divergence.expected, divergence.got) == (29, 31)
    assert "%sum (Dense, fixed<7,5>), sample 1, element [1]: 31 instead of 29" in str(divergence)


def test_flips_of_the_decision_are_counted() -> None:
    comparison = AgreementTally(program(), ("interpret", "csim"))
    comparison.add(
        {"scores": np.array([[1, 2], [5, 3]])},
        {"scores": np.array([[2, 1], [4, 3]])},
    )
    agreement = comparison.agreement()
    assert (agreement.samples, agreement.decision_flips, agreement.max_abs_diff) == (2, 1, 0.5)


def test_an_only_value_decides_by_its_sign() -> None:
    assert cosim.decisions(np.array([[3], [0], [-1]])).ravel().tolist() == [True, False, False]
    assert cosim.decisions(np.array([[0.6], [0.4]]), 0.5).ravel().tolist() == [True, False]


def test_inputs_are_rounded_as_the_recipe_says_and_saturation_is_told() -> None:
    from edgeinfer.data.samples import Samples
    from quantization.fixed import Quantizer
    from quantization.recipe import Recipe

    inputs = Samples({"x": np.array([[0.3, 9.0], [-0.3, -0.1]])}, "a test")
    rounded = judge.raw_inputs(program(), Recipe(), inputs)
    floored = judge.raw_inputs(
        program(), Recipe.of({"x": Quantizer(X, Rounding.TRN, Overflow.SAT)}), inputs
    )
    assert rounded["x"].tolist() == [[1, 7], [-1, 0]]
    assert floored["x"].tolist() == [[1, 7], [-2, -1]]
    assert judge.saturation(program(), inputs) == [
        "x: 25.00% of the input values lie beyond fixed<4,2>, -2..1.75."
    ]


def test_the_host_applies_what_is_left_to_it() -> None:
    logits = np.array([[0.0, np.log(3.0)], [1000.0, -1000.0]])
    assert judge.apply_host_functions(logits, HostFunction.SOFTMAX) == pytest.approx(
        np.array([[0.25, 0.75], [1.0, 0.0]])
    )
    assert judge.apply_host_functions(logits, HostFunction.SIGMOID)[0] == pytest.approx([0.5, 0.75])
    assert judge.apply_host_functions(logits, HostFunction.NONE) is logits
