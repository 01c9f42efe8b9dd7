# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Products of bytes on processors that add two of them in 16 bits: what is proved is exact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.ir.engine import byte_products
from edgeinfer.ir.engine.byte_products import (
    PLAIN_CPU,
    ByteMatrix,
    bytes_saturate,
    multiply_bytes,
    safe_order,
    space_rows,
    wide_pairs,
)
from edgeinfer.ir.engine.values import Carrier
from tests.unit.ir.test_engine_cases import S8, U8, Input, assert_exact, built, carriers, dense


def saturating(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What a processor without dot-product instructions makes of x @ weight."""
    if len(weight) % 2:
        x, weight = np.pad(x, ((0, 0), (0, 1))), np.pad(weight, ((0, 1), (0, 0)))
    products = x.astype(np.int64)[:, :, None] * weight.astype(np.int64)
    pairs = products.reshape(len(x), -1, 2, weight.shape[1]).sum(axis=2)
    return np.asarray(np.clip(pairs, -(1 << 15), (1 << 15) - 1).sum(axis=1))


def extremes(rng: np.random.Generator, weight: np.ndarray, largest: int) -> np.ndarray:
    """Inputs that push each output as far as it goes, both ways, and some at random."""
    up, down = (weight.T > 0) * largest, (weight.T < 0) * largest
    some = rng.integers(0, largest + 1, (8, len(weight)))
    full = np.full((1, len(weight)), largest)
    return np.concatenate([up, down, some, full]).astype(np.uint8)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 100, 128, 200, 255]))
def test_what_is_left_never_saturates(seed: int, inputs: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    weight = np.clip(rng.normal(0, 60, (inputs, 5)), -128, 127).astype(np.int8)
    x = extremes(rng, weight, largest)
    apart = wide_pairs(weight, largest)
    left = weight.copy()
    left[apart] = 0
    alone = saturating(np.repeat(x[:, apart], 2, axis=1), space_rows(weight[apart]))
    exact = x.astype(np.int64) @ weight.astype(np.int64)
    assert (saturating(x, left) + alone == exact).all()
    assert (apart.size > 0) == (saturating(x, weight) != exact).any()  # and no less is taken out


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 6, 16]))
def test_channels_in_a_safe_order_never_saturate(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.clip(rng.normal(0, 30, (6, channels, 4)), -128, 127).astype(np.int8)
    order = safe_order(weights, 255)
    if order is None:
        return
    assert sorted(order.tolist()) == list(range(channels))
    for place in weights[:, order]:
        x = extremes(rng, place, 255)
        exact = x.astype(np.int64) @ place.astype(np.int64)
        assert (saturating(x, place) == exact).all()


def test_an_order_is_there_where_one_exists_and_none_where_all_channels_clash() -> None:
    heavy = np.zeros((3, 8, 2), np.int8)
    heavy[:, :4] = 120  # no two of these may be neighbours
    order = safe_order(heavy, 255)
    assert order is not None and {c < 4 for c in order[::2]} | {c < 4 for c in order[1::2]}
    assert all((a < 4) != (b < 4) for a, b in order.reshape(-1, 2))
    assert safe_order(np.full((1, 4, 1), 120, np.int8), 255) is None


def test_the_processor_is_asked_and_can_be_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    class SaturatingMatrix:
        def __init__(self, weight: np.ndarray) -> None:
            self.weight = weight

        def multiply(self, x: np.ndarray) -> np.ndarray:
            return saturating(x, self.weight)

    byte_products.extremes_are_exact.cache_clear()
    monkeypatch.setattr(byte_products, "ByteMatrix", SaturatingMatrix)
    assert bytes_saturate()
    monkeypatch.undo()
    byte_products.extremes_are_exact.cache_clear()
    monkeypatch.setenv(PLAIN_CPU, "1")
    assert bytes_saturate()


def test_sums_of_bytes_are_those_of_integers() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-64, 64, (50, 9)).astype(np.int8)
    x = rng.integers(0, 256, (7, 50)).astype(np.uint8)
    for sums in (ByteMatrix(weight).multiply(x), multiply_bytes(x, weight)):
        assert sums.dtype == np.int32 and (sums == x.astype(int) @ weight.astype(int)).all()


@pytest.mark.parametrize("type_", [U8, S8])
def test_the_engine_multiplies_few_inputs_apart(type_) -> None:
    rng = np.random.default_rng(3)
    weight = rng.integers(-60, 61, (600, 128))
    weight[[10, 11], 5], weight[[300, 301], 7] = 127, -128
    weight[599] = -128
    carrier = Carrier.UINT8 if type_ is U8 else Carrier.INT8
    program = built(Input("x", type_, (600,)), dense("x", weight, 8, bias=3))
    assert carriers(program)["dense"] is carrier
    x = rng.choice([type_.raw_min, type_.raw_max], (30, 600))
    x[0], x[1] = type_.raw_max, np.where(weight[:, 5] > 0, type_.raw_max, type_.raw_min)
    assert_exact(program, {"x": x})
    weight[:, 0] = 127  # now every pair may saturate
    program = built(Input("x", type_, (600,)), dense("x", weight, 8))
    assert carriers(program)["dense"].floating
