# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Single operations: what the tools' own reports say of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeinfer.targets.hls.estimate.elementwise import softmax_cycles
from edgeinfer.targets.hls.estimate.fabric import (
    HlsFabric,
    cuts_of,
    fabric,
    fifo,
    memory_brams,
    product_dsps,
    product_luts,
)
from edgeinfer.targets.hls.estimate.products import constant_products, digits, trees
from edgeinfer.targets.hls.settings import Backend, HlsSettings


def vitis() -> HlsFabric:
    return fabric(HlsSettings(), "ultrascale+")


def vivado(kind: str = "ultrascale+") -> HlsFabric:
    return fabric(HlsSettings(Backend.VIVADO), kind)


@pytest.mark.parametrize(
    "value, count", [(0, 0), (1, 1), (64, 1), (3, 2), (7, 2), (5, 2), (11, 3), (27, 3), (43, 4)]
)
def test_digits_of_the_canonical_signed_form(value: int, count: int) -> None:
    assert int(digits(np.asarray([value]))[0]) == count


@given(st.integers(0, 1 << 20))
def test_no_signed_form_has_fewer_digits(value: int) -> None:
    rest, count = value, 0
    while rest:
        if rest & 1:
            rest -= 2 - (rest & 3)
            count += 1
        rest >>= 1
    assert int(digits(np.asarray([value]))[0]) == count


@pytest.mark.parametrize(
    "a, b, blocks, luts",  # of mul_12s_6s_18, mul_16s_11s_26, mul_9ns_8s_17, mul_8ns_7s_15, 7 x 7
    [(12, 6, 1, 5), (16, 11, 1, 5), (9, 8, 0, 49), (8, 7, 0, 40), (7, 7, 0, 33)],
)
def test_multipliers_as_vitis_reports_them(a: int, b: int, blocks: int, luts: int) -> None:
    assert product_dsps(vitis(), a, b) == blocks
    assert product_luts(vitis(), a, b) == pytest.approx(luts, abs=0.6)


def test_wide_multipliers_take_several_blocks() -> None:
    assert product_dsps(vitis(), 32, 18) == 2
    assert product_dsps(vitis(), 27, 18) == 1
    assert product_dsps(vivado("7-series"), 27, 18) == 2  # a DSP48E1 is 25 bits wide


def test_zeros_and_powers_of_two_cost_no_multiplier() -> None:
    free = constant_products(vitis(), np.asarray([[0, 1, -64], [256, 0, 2]]), 16, None)
    assert (free.dsp, free.lut, free.multipliers, free.terms) == (0, 0, 0, 4)
    added = constant_products(vitis(), np.asarray([[3, -7]]), 16, None)
    assert added.dsp == 0 and added.multipliers == 0 and added.lut > 0
    multiplied = constant_products(vitis(), np.asarray([[11, -43]]), 16, None)
    assert multiplied.dsp == 2


def test_outputs_share_the_same_product_of_an_input() -> None:
    twice = constant_products(vitis(), np.asarray([[11, 11]]), 16, None)
    apart = constant_products(vitis(), np.asarray([[11], [11]]), 16, None)
    assert twice.dsp == 1 and twice.terms == 2
    assert apart.dsp == 2


@given(arrays(np.int64, (6, 5), elements=st.integers(-200, 200)), st.integers(4, 20))
def test_products_depend_on_nothing_but_the_values(weight: np.ndarray, x_bits: int) -> None:
    result = constant_products(vitis(), weight, x_bits, None)
    assert result.terms == np.count_nonzero(weight)
    shuffled = constant_products(vitis(), weight[::-1, ::-1].copy(), x_bits, None)
    assert (result.dsp, result.terms) == (shuffled.dsp, shuffled.terms)
    assert result.lut == pytest.approx(shuffled.lut)
    pruned = weight.copy()
    pruned[0] = 0
    fewer = constant_products(vitis(), pruned, x_bits, None)
    assert fewer.dsp <= result.dsp and fewer.lut <= result.lut


def test_early_vitis_adds_the_terms_of_a_large_layer_one_by_one() -> None:
    """At 5 ns two additions fit into a cycle of 7-series logic."""
    early = fabric(HlsSettings(tool_version="2021.1"), "7-series")
    result = constant_products(early, np.full((300, 20), 11), 8, 16)
    balanced = trees(early, result, 0, 16, 300 * 2)
    chained = trees(early, result, 0, 16, 300 * 20)
    assert balanced.cuts <= 6
    assert chained.cuts == 150
    assert trees(vitis(), result, 0, 16, 300 * 20).cuts <= 6


def test_operators_go_where_there_is_room_in_the_cycle() -> None:
    assert cuts_of(4.0, [1.0] * 4) == 0
    assert cuts_of(4.0, [3.0, 3.0, 1.0]) == 1
    assert cuts_of(4.0, [3.0, 3.0, 3.0]) == 2
    assert cuts_of(4.0, [9.0]) == 2


@pytest.mark.parametrize(
    ("classes", "clock_ns", "cycles"),
    [(2, 5.0, 8), (6, 5.0, 12), (10, 5.0, 14), (3, 3.33, 13), (5, 3.33, 16), (16, 3.33, 20)],
)
def test_a_softmax_takes_longer_for_more_classes_and_faster_clocks(
    classes: int, clock_ns: float, cycles: int
) -> None:
    """As Vitis HLS 2021.1 reports of hls4ml's projects on xc7z007s."""
    slow = fabric(HlsSettings(tool_version="2021.1", clock_ns=clock_ns), "7-series")
    assert abs(softmax_cycles(slow, classes) - cycles) <= 1


def test_longer_sums_take_more_adders_registers_and_time() -> None:
    short, long = (
        trees(vitis(), constant_products(vitis(), np.full((n, 4), 11), 16, 16), 0, 16, n * 4)
        for n in (4, 256)
    )
    assert long.lut > 50 * short.lut
    assert long.cuts > short.cuts
    assert long.ff > short.ff


def test_block_rams_take_the_best_of_their_shapes() -> None:
    assert memory_brams(1024, 18) == 1
    assert memory_brams(512, 36) == 1
    assert memory_brams(513, 36) == 2
    assert memory_brams(16, 1) == 1
    assert memory_brams(0, 8) == 0


def test_fifos_as_the_tools_report_them() -> None:
    assert fifo(vivado(), 900, 16, 16).bram18 == 16
    assert fifo(vivado(), 16, 16, 24).bram18 == 0
    assert fifo(vitis(), 80, 6, 32).bram18 == 11  # 192 bits, 18 to a block
    assert fifo(vitis(), 80, 6, 32).ff == pytest.approx(160, rel=0.1)
    assert fifo(vitis(), 1, 16, 64).bram18 == 0
