# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions as tables: every result is the rounded function, however wide the input is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph import nodes as g
from edgeinfer.graph.functions import CURVES as TABLES
from edgeinfer.graph.functions import evaluate
from edgeinfer.ir import ops
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.ir.lower_tables import MOST_ENTRIES
from quantization.fixed import (
    HUGE,
    Fixed,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    dequantize,
    quantize,
)
from quantization.recipe import Recipe
from tests.support.function_examples import TABULATED

Curve = tuple[g.Function, tuple[float, ...]]
CURVES: list[Curve] = [
    *(example for example in TABULATED if not TABLES[example[0]].winds),
    (g.Function.ELU, (-0.7,)),
    (g.Function.HARD_SIGMOID, (-0.3, 0.5)),
    (g.Function.HARD_SWISH, (3.0, 6.0)),
]


def q(text: str) -> Quantizer:
    return Quantizer.parse(text)


def lowered_curve(curve: Curve, x: Quantizer, y: Quantizer) -> LoweredModel:
    node = g.ActivationNode("y", "x", *curve)
    recipe = Recipe.of({"x": x, "y": y})
    graph = g.Graph("net", (g.InputNode("x", (1,)), node), ("y",))
    return lower(graph, recipe, host_functions=False)


def results_of(lowered: LoweredModel, raw: Ints) -> Ints:
    program = lowered.program
    result = interpret(program, {"x": raw[:, None]})[program.outputs[0].value]
    few = raw[:: max(1, len(raw) // 4000), None]
    same = result[:: max(1, len(raw) // 4000)]
    np.testing.assert_array_equal(Engine(program).run({"x": few})["y"], same)
    assert program.type(program.outputs[0].value).frac == lowered.recipe.activation("y").type.frac
    return result[:, 0]


def rounded(curve: Curve, raw: Ints, x: Fixed, y: Quantizer) -> Ints:
    inside = np.clip(dequantize(raw, x), *TABLES[curve[0]].domain(*curve[1]))
    return quantize(np.clip(evaluate(*curve, inside), -HUGE, HUGE), y)


def every(type_: Fixed) -> Ints:
    return np.arange(type_.raw_min, type_.raw_max + 1, dtype=np.int64)


@pytest.mark.parametrize("x", ["fixed<17,8>", "fixed<19,4>"])
@pytest.mark.parametrize("y", ["ufixed<1,0>", "fixed<4,1>", "ufixed<8,0,TRN>"])
@pytest.mark.parametrize("curve", CURVES, ids=str)
def test_few_levels_of_a_wide_input_are_exact(curve: Curve, x: str, y: str) -> None:
    lowered = lowered_curve(curve, q(x), q(y))
    raw = every(q(x).type)
    np.testing.assert_array_equal(results_of(lowered, raw), rounded(curve, raw, q(x).type, q(y)))
    assert all("has no value outside" in finding for finding in lowered.findings)
    tables = [op for op in lowered.program.ops if isinstance(op, ops.Table)]
    assert max(table.entries.size for table in tables) <= MOST_ENTRIES


@settings(max_examples=30)
@given(
    curve=st.sampled_from(CURVES),
    bits=st.integers(17, 40),
    integer=st.integers(-2, 20),
    out=st.builds(
        lambda bits, integer, rounding, overflow: Quantizer(
            Fixed(True, bits, integer), rounding, overflow
        ),
        st.integers(2, 8),
        st.integers(0, 3),
        st.sampled_from(list(Rounding)),
        st.sampled_from([Overflow.SAT, Overflow.SAT_SYM]),
    ),
    seed=st.integers(0, 2**32),
)
def test_wide_inputs_are_exact_at_every_step(
    curve: Curve, bits: int, integer: int, out: Quantizer, seed: int
) -> None:
    x = Fixed(True, bits, integer)
    lowered = lowered_curve(curve, Quantizer(x), out)
    rng = np.random.default_rng(seed)
    near = np.rint(np.ldexp(rng.uniform(-9, 9, 2000), x.frac)).astype(np.int64)
    raw = np.concatenate([rng.integers(x.raw_min, x.raw_max, 500), near])
    raw = np.unique(np.clip(raw, x.raw_min, x.raw_max))
    low, high = raw[:-1], raw[1:]
    for _ in range(bits):  # close in on a change between each two neighbours
        middle = low + (high - low) // 2
        same = rounded(curve, middle, x, out) == rounded(curve, low, x, out)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    raw = np.concatenate([raw, low, high])
    np.testing.assert_array_equal(results_of(lowered, raw), rounded(curve, raw, x, out))


def test_a_step_lies_at_its_own_input_and_not_at_a_rounded_index() -> None:
    """sigmoid(x) = 0.5 rounds to zero, what is one step of x above it to one."""
    x = Fixed(True, 24, 6)
    lowered = lowered_curve((g.Function.SIGMOID, ()), Quantizer(x), q("ufixed<1,1>"))
    assert results_of(lowered, np.asarray([-1, 0, 1, 2])).tolist() == [0, 0, 1, 1]


def test_an_index_that_saturates_only_stays_as_it_was() -> None:
    """A wide sum on a grid that the index has too needs no other tables."""
    lowered = lowered_curve((g.Function.SIGMOID, ()), q("fixed<30,20>"), q("ufixed<6,0>"))
    kinds = [type(op) for op in lowered.program.ops]
    assert kinds == [ops.Input, ops.Requant, ops.Table]
    assert not lowered.findings
    raw = np.arange(-(1 << 15), 1 << 15)
    expected = rounded((g.Function.SIGMOID, ()), raw, Fixed(True, 30, 20), q("ufixed<6,0>"))
    np.testing.assert_array_equal(results_of(lowered, raw), expected)


def test_a_function_that_winds_needs_a_narrow_input() -> None:
    sine: Curve = (g.Function.SIN, ())
    lowered = lowered_curve(sine, q("fixed<16,5>"), q("fixed<8,1>"))
    raw = every(q("fixed<16,5>").type)
    expected = rounded(sine, raw, q("fixed<16,5>").type, q("fixed<8,1>"))
    np.testing.assert_array_equal(results_of(lowered, raw), expected)
    with pytest.raises(ProgramError, match="sin over 131072 inputs is too large"):
        lowered_curve(sine, q("fixed<17,5>"), q("fixed<8,1>"))


def test_a_finding_says_where_a_function_has_no_value() -> None:
    lowered = lowered_curve((g.Function.LOG, ()), q("fixed<6,3>"), q("fixed<8,4>"))
    (finding,) = lowered.findings
    assert "log has no value outside of 0 to inf" in finding
    assert not lowered_curve((g.Function.LOG, ()), q("ufixed<6,3>"), q("fixed<8,4>")).findings


@pytest.mark.parametrize("function", [g.Function.LOG, g.Function.RECIPROCAL, g.Function.ATANH])
def test_a_pole_saturates_where_no_format_is_given(function: g.Function) -> None:
    node = g.ActivationNode("y", "x", function)
    graph = g.Graph("net", (g.InputNode("x", (1,)), node), ("y",))
    program = lower(graph, Recipe.of({"x": q("fixed<6,1>")}), host_functions=False).program
    raw = np.arange(-32, 32)
    result = dequantize(interpret(program, {"x": raw[:, None]})["y"][:, 0], program.type("y"))
    values = evaluate(function, (), np.clip(raw / 32, *TABLES[function].domain()))
    finite = np.isfinite(values)
    np.testing.assert_allclose(result[finite], values[finite], atol=program.type("y").lsb)
    assert (np.abs(result[~finite]) >= np.abs(values[finite]).max()).all()


def test_too_many_levels_get_a_rounded_index_and_a_finding_that_bounds_the_error() -> None:
    curve, x, y = (g.Function.TANH, ()), q("fixed<24,4>"), q("fixed<16,1>")
    lowered = lowered_curve(curve, x, y)
    (finding,) = lowered.findings
    assert "too large" in finding
    most = int(finding.split("by up to ")[1].split()[0])
    raw = np.random.default_rng(3).integers(x.type.raw_min, x.type.raw_max, 20000)
    off = np.abs(results_of(lowered, raw) - rounded(curve, raw, x.type, y)).max()
    assert 0 < off <= most <= off + 2


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (g.Function.SIGMOID, ()),
        (g.Function.TANH, ()),
        (g.Function.SOFTSIGN, ()),
        (g.Function.HARD_SIGMOID, (0.01, 0.5)),
        (g.Function.HARD_SIGMOID, (0.2, 0.5)),
    ],
)
def test_a_rounded_index_saturates_only_where_the_function_is_flat(function, parameters) -> None:
    """Where no format is given, so that the table has one of its own."""
    x, node = q("fixed<20,8>"), g.ActivationNode("y", "x", function, parameters)
    graph = g.Graph("net", (g.InputNode("x", (1,)), node), ("y",))
    program = lower(graph, Recipe.of({"x": x}), host_functions=False).program
    values = np.linspace(-127, 127, 1001)[:, None]
    result = interpret(program, {"x": quantize(values, x)})["y"]
    off = np.abs(dequantize(result, program.type("y")) - evaluate(function, parameters, values))
    assert off.max() < 2.0**-6  # half a step of an index up to 128
