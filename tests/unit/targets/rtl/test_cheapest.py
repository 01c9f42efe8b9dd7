# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The search for the graph with the fewest bits to add: the same matrix, and never more of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.interpret import interpret
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.cheapest import (
    AdderSearch,
    adder_bits,
    cheapest_graph,
    take_apart,
    tries,
)
from edgeinfer.targets.rtl.unrolled.shift_add import shared_graph
from quantization.fixed import fixed_of_range
from tests.support.random_programs import random_inputs
from tests.support.rtl_circuit import computed
from tests.support.rtl_programs import small_network
from tests.unit.targets.rtl.test_unroll import matrix_of_graph

ALL = AdderSearch(16)  # every kind of try, and some by lot
FEWEST = AdderSearch(16, "additions")
TYPE = fixed_of_range(-32, 31, 0)

MATRICES = st.tuples(
    st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1 << 30)
)


def drawn(inputs: int, columns: int, bits: int, seed: int) -> np.ndarray:
    """A matrix some of whose columns are alike, opposite or nothing."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(1 << bits), 1 << bits, (inputs, columns))
    for column in range(1, columns):
        kind = rng.integers(5)
        if kind < 2:
            matrix[:, column] = (1 - 2 * kind) * matrix[:, column - 1]
        if kind == 2:
            matrix[:, column] = 0
    return matrix


@settings(max_examples=20)
@given(MATRICES)
def test_the_graph_is_the_matrix_and_has_no_more_bits_to_add(shape: tuple[int, ...]) -> None:
    matrix = drawn(*shape)
    graph = cheapest_graph(matrix, TYPE, ALL)
    np.testing.assert_array_equal(matrix_of_graph(graph, len(matrix)), matrix)
    plain = shared_graph(matrix)
    bits, before = (adder_bits(g, len(matrix), TYPE) for g in (graph, plain))
    assert bits <= before
    assert cheapest_graph(matrix, TYPE, FEWEST).additions <= plain.additions


@settings(max_examples=60)
@given(MATRICES, st.sampled_from([0.5, 0.9, 1.0]))
def test_a_matrix_is_taken_apart_without_loss(shape: tuple[int, ...], discount: float) -> None:
    matrix = drawn(*shape)
    steps, sums = take_apart(matrix, discount)
    np.testing.assert_array_equal(steps @ sums, matrix)
    assert steps.any(axis=0).all()


def test_an_adder_has_the_bits_of_its_sum_that_are_not_one_side_alone() -> None:
    graph = shared_graph(np.array([[1, 4], [1, 1]]))
    # a + b has 7 bits; of 4 a + b, which has 9, two are those of b.
    assert adder_bits(graph, 2, TYPE) == 7 + (9 - 2)


def test_a_column_that_is_another_and_little_more_costs_little() -> None:
    rng = np.random.default_rng(3)
    matrix = np.repeat(rng.integers(-99, 99, (12, 1)), 4, axis=1)
    matrix[[0, 1, 2], [1, 2, 3]] += 16
    alone = cheapest_graph(matrix[:, :1], TYPE, FEWEST).additions
    assert cheapest_graph(matrix, TYPE, FEWEST).additions <= alone + 3


def test_one_try_is_what_a_network_gets_without_a_search() -> None:
    matrix = np.random.default_rng(1).integers(-31, 31, (8, 8))
    assert cheapest_graph(matrix, TYPE, AdderSearch()) == shared_graph(matrix)
    kinds = list(tries(30))
    assert len(kinds) == len(set(kinds)) == 30


def test_a_network_with_fewer_adders_computes_the_same() -> None:
    program = small_network(1)
    raw = random_inputs(program, 1, 20)
    expected = interpret(program, raw)
    for name, result in computed(program, raw, ALL).items():
        np.testing.assert_array_equal(result, expected[name], err_msg=name)


def test_tries_belong_to_unrolled_networks() -> None:
    with pytest.raises(UsageError, match="--unroll full"):
        RtlSettings(adder_tries=5)
    with pytest.raises(UsageError, match="0 ways"):
        RtlSettings(adder_tries=0, unroll="full")
    with pytest.raises(UsageError, match="--adder-tries 10"):
        RtlSettings(adder_goal="additions", unroll="full")
