# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a float32 framework computes exactly, and that it stays within the bound elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.ir import ops
from edgeinfer.ir.float32 import Float32Entry, float32_report
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Overflow, Rounding, dequantize, fixed_of_range

BYTE = Fixed(False, 8, 8)


def net(*body: ops.Op, type_: Fixed = BYTE, size: int = 2) -> Program:
    return Program("net", (ops.Input("x", type_, (size,)), *body), (Output("y", body[-1].name),))


def entries(program: Program) -> dict[str, Float32Entry]:
    return {entry.value: entry for entry in float32_report(program)}


def dense(weight: list[list[int]], bias: list[int] | None = None, bits: int = 40) -> ops.Dense:
    raw, type_ = np.array(weight), Fixed(True, 32, 32)
    shift = np.zeros(raw.shape[1], np.int64) if bias is None else np.array(bias)
    return ops.Dense("d", Fixed(True, bits, bits), "x", raw, type_, shift)


def requant(x: str, type_: Fixed, rounding: Rounding = Rounding.RND_CONV) -> ops.Requant:
    return ops.Requant("q", type_, x, rounding, Overflow.SAT)


@pytest.mark.parametrize(
    ("weight", "bias", "exact"),
    [
        ([[32768], [32768]], [0], True),  # 255 x 65536 < 2^24
        ([[32768], [32768]], [65536], True),  # 2^24 sharp
        ([[32768], [32769]], [65536], False),  # one more, and odd
        ([[1 << 28], [3 << 28]], [0], True),  # far up, but in steps of 2^28
        ([[1 << 28, 5], [3 << 28, -7]], [0, 1], True),  # each channel counts in its own steps
        ([[1 << 28], [3 << 28]], [1], False),  # the bias lies on a finer grid
        ([[60001], [-60001]], [0], True),  # partial sums go either way, not both
        ([[60001], [60001]], [0], False),
    ],
)
def test_sums_are_exact_up_to_2_24_steps(
    weight: list[list[int]], bias: list[int], exact: bool
) -> None:
    result = entries(net(dense(weight, bias)))["d"]
    assert result.exact is exact
    assert (result.bound_value == 0.0) is exact
    assert result.reason == "" if exact else "a float32 counts to 2^24" in result.reason


def test_one_rounding_error_may_move_a_rounded_value_by_one_step() -> None:
    body = dense([[1 << 20], [(1 << 20) + 1]])
    coarse = entries(net(body, requant("d", Fixed(True, 20, 40))))["q"]
    assert coarse.bound_steps == pytest.approx(1.5, rel=1e-3)  # a step, and half a step of slack
    assert "%d" in coarse.reason
    floor = entries(net(body, requant("d", Fixed(True, 40, 40), Rounding.TRN)))["q"]
    assert not floor.exact


def test_a_saturation_from_very_far_is_inexact() -> None:
    far = net(requant("x", Fixed(True, 8, 1)), type_=Fixed(True, 24, 34))
    result = entries(far)["q"]
    x = dequantize(np.array([-(1 << 23) + 1, (1 << 23) - 1]), Fixed(True, 24, 34)).astype("f4")
    q = dequantize(
        interpret(far, {"x": np.array([[-(1 << 23) + 1, (1 << 23) - 1]])})["q"][0], far["q"].type
    )
    straight_through = x + (q.astype("f4") - x)
    off = float(np.abs(straight_through - q).max())
    assert 0 < off <= result.bound_value
    assert "saturates" in result.reason


def test_a_step_function_of_an_inexact_value_may_flip() -> None:
    body = dense([[1 << 20], [(1 << 20) + 1]])
    sign = ops.Clip("c", Fixed(True, 2, 2), "d", -1, 0)
    assert entries(net(body, sign))["c"].bound_value >= 1.0
    relu = ops.Clip("c", Fixed(False, 39, 39), "d", 0, None)
    assert entries(net(body, relu))["c"].bound_value >= entries(net(body))["d"].bound_value


def test_tables_are_off_by_a_step_and_beyond_float32s_range_nothing_is_bounded() -> None:
    sigmoid = np.rint(255 / (1 + np.exp(-np.arange(-8, 8)))).astype(np.int64)
    table = ops.Table("t", Fixed(False, 8, 0), "x", -8, sigmoid)
    result = entries(net(table, type_=Fixed(True, 4, 4)))["t"]
    assert not result.exact and 1.0 <= result.bound_steps < 2.0
    huge = entries(net(requant("x", Fixed(False, 8, 200)), type_=Fixed(False, 8, 200)))
    assert math.isinf(huge["x"].bound_value)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(4, 24), st.integers(4, 24))
def test_float32_sums_in_any_order_stay_within_the_bound(
    seed: int, terms: int, x_bits: int, w_bits: int
) -> None:
    rng = np.random.default_rng(seed)
    x_type, w_type = Fixed(True, x_bits, 3), Fixed(True, w_bits, 1)
    weight = rng.integers(w_type.raw_min, w_type.raw_max, (terms, 2), endpoint=True)
    bias = rng.integers(-(1 << 10), 1 << 10, 2)
    frac = x_type.frac + w_type.frac
    layer = ops.Dense("d", fixed_of_range(-(1 << 58), 1 << 58, frac), "x", weight, w_type, bias)
    narrow = requant("d", Fixed(True, 9, 4))
    program = net(layer, narrow, type_=x_type, size=terms)
    report = entries(program)
    raw = rng.integers(x_type.raw_min, x_type.raw_max, (1, terms), endpoint=True)
    exact = interpret(program, {"x": raw})
    order = rng.permutation(terms)
    total = np.zeros(2, np.float32)
    for i in order:
        total += np.float32(dequantize(raw[0, i], x_type)) * dequantize(weight[i], w_type).astype(
            "f4"
        )
    total += dequantize(bias, layer.type).astype("f4")
    off = np.abs(total.astype(float) - dequantize(exact["d"][0], layer.type)).max()
    assert off <= report["d"].bound_value
    scaled = np.rint(total * np.float32(2.0**narrow.type.frac))
    rounded = np.clip(scaled, narrow.type.raw_min, narrow.type.raw_max) * narrow.type.lsb
    assert np.abs(rounded - dequantize(exact["q"][0], narrow.type)).max() <= report["q"].bound_value
