# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Unrolled networks before any Verilog: digits, shared sums, ranges, stages, refusals."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import ProgramError, UsageError
from edgeinfer.ir.interpret import interpret
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.cycles import count_cycles
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.unrolled.shift_add import (
    DEEPEST,
    AdderGraph,
    shared_graph,
    signed_digits,
)
from edgeinfer.targets.rtl.unrolled.straight import size_of
from tests.support.random_programs import random_inputs, random_program
from tests.support.rtl_circuit import computed
from tests.support.rtl_programs import dense_program

WHOLE = RtlSettings(unroll="full")


@given(st.integers(-(1 << 40), 1 << 40))
def test_signed_digits_are_the_number_with_no_two_neighbours(number: int) -> None:
    digits = signed_digits(number)
    assert sum(sign << shift for shift, sign in digits) == number
    shifts = [shift for shift, _ in digits]
    assert all(b - a > 1 for a, b in pairwise(shifts))
    assert len(digits) <= (abs(number).bit_length() + 2) // 2


def matrix_of_graph(graph: AdderGraph, inputs: int) -> np.ndarray:
    """The matrix that a graph multiplies by."""
    terms = list(np.eye(inputs, dtype=np.int64))
    for t in graph.shared:
        terms.append((terms[t.a] << t.shift_a) + t.sign * (terms[t.b] << t.shift_b))
    columns = [
        sum((sign * (terms[n] << shift) for n, shift, sign in c), np.zeros(inputs, np.int64))
        for c in graph.columns
    ]
    return np.array(columns).reshape(-1, inputs).T


def depths_of(graph: AdderGraph, inputs: int) -> list[int]:
    depths = [0] * inputs
    for t in graph.shared:
        depths.append(1 + max(depths[t.a], depths[t.b]))
    return depths


@settings(max_examples=60)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 12), st.integers(0, 1 << 30))
def test_shared_sums_are_the_matrix(inputs: int, columns: int, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-(1 << bits), 1 << bits, (inputs, columns))
    graph = shared_graph(matrix)
    np.testing.assert_array_equal(matrix_of_graph(graph, inputs), matrix)
    assert max(depths_of(graph, inputs)) <= DEEPEST
    alone = sum(len(signed_digits(int(w))) for w in matrix.flat)
    assert graph.additions <= alone


def test_what_occurs_twice_is_added_once() -> None:
    graph = shared_graph(np.array([[3, 6, 3], [5, 10, 0]]))
    assert graph.columns[0] == tuple((n, s - 1, g) for n, s, g in graph.columns[1])
    assert graph.additions == 3  # 3 a, 5 b and their sum; the second column is twice the first


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_a_circuit_computes_what_the_interpreter_does(first: int) -> None:
    for seed in range(first, first + 20):
        program = prepare_program(random_program(seed, widths=(1, 10)))
        if size_of(program) > 8000:
            continue
        raw = random_inputs(program, seed, 5)
        expected = interpret(program, raw)
        for name, result in computed(program, raw).items():
            np.testing.assert_array_equal(result, expected[name], err_msg=f"{seed}: %{name}")


def test_latency_falls_with_the_logic_in_a_stage_and_a_frame_comes_every_cycle() -> None:
    results = [
        count_cycles(
            design_netlist(dense_program(12, 6), RtlSettings(unroll="full", unroll_levels=n))[1]
        )
        for n in (1, 2, 3)
    ]
    assert [cycles.interval for cycles in results] == [1, 1, 1]
    assert results[0].latency > results[1].latency > results[2].latency


@pytest.mark.parametrize("stages", [1, 3, 5])
def test_a_bare_pipeline_has_no_more_stages_than_asked_for_and_no_queues(stages: int) -> None:
    program = dense_program(12, 6)
    asked = RtlSettings(unroll="full", interface="bare", stages=stages)
    figures = {m.name: m.value for m in RtlTarget().estimate(program, asked) if not m.layer}
    assert figures["latency_cycles"] <= stages
    assert figures["ii_cycles"] == 1
    plan = RtlTarget().emit(program, asked)
    whole, _, bare = plan.files["hdl/one_pipeline.v"].decode().partition("module one_bare")
    assert "ei_binary" not in whole
    assert "ei_fifo" not in bare
    assert ("ei_delay" in bare) == (stages > 1)
    document = json.loads(plan.files["rtl.json"])
    assert (document["top"], document["latency_cycles"]) == ("one_bare", figures["latency_cycles"])


def test_stages_and_a_bare_interface_belong_to_unrolled_networks() -> None:
    for options in ({"interface": "bare"}, {"stages": 4}):
        with pytest.raises(UsageError, match="--unroll full"):
            RtlSettings(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 stages"):
        RtlSettings(unroll="full", stages=0)
    with pytest.raises(UsageError, match="shell"):
        RtlSettings(unroll="full", interface="bare", board="ulx3s")


def test_a_goal_of_a_frame_a_cycle_unrolls_what_is_small() -> None:
    program = dense_program(12, 6)
    goal = RtlSettings(clock_mhz=100, throughput=100e6)
    (block,) = [b for b in design_netlist(program, goal)[1].blocks if b.name == "pipeline"]
    assert block.module == "one_pipeline"
    for other in (
        RtlSettings(clock_mhz=100, throughput=50e6),
        RtlSettings(clock_mhz=100, throughput=100e6, unroll_most=5),
        RtlSettings(clock_mhz=100, throughput=100e6, unroll="never"),
        RtlSettings(),
    ):
        assert "pipeline" not in {b.name for b in design_netlist(program, other)[1].blocks}


def test_what_is_too_large_to_unroll_is_refused_with_the_numbers() -> None:
    target = RtlTarget()
    program = dense_program(256, 128)
    assert size_of(program) > 25_000
    reasons = " ".join(offence.reason for offence in target.check(program, WHOLE))
    assert "signed digits of weights and elements would be unrolled, and at most 25,000" in reasons
    assert "a frame has 1,280 bits, and a beat at most 1,024" in reasons
    with pytest.raises(ProgramError, match="fold the network instead"):
        target.emit(program, WHOLE)
    with pytest.raises(UsageError, match="auto, full or never"):
        RtlSettings(unroll="whole")  # type: ignore[arg-type]


def test_an_unrolled_network_has_no_multipliers() -> None:
    figures = {(m.name, m.layer): m for m in RtlTarget().estimate(dense_program(12, 6), WHOLE)}
    assert figures["multipliers", "y"].value == 0
    assert figures["ii_cycles", None].value == 1
    assert figures["additions", None].value < 12 * 6 * 2


def test_a_pipeline_knows_what_it_is_made_of() -> None:
    (block,) = (b for b in design_netlist(dense_program(12, 6), WHOLE)[1].blocks if b.contents)
    text = block.files["one_pipeline.v"].decode()
    delays = re.findall(r"ei_delay #\(\.BITS\((\d+)\), \.STAGES\((\d+)\)\)", text)
    assert block.contents["register"] == sum(int(b) * int(s) for b, s in delays) > 0
    assert text.count("ei_binary #") < block.contents["add"]
    assert block.contents["product"] == block.contents["short_add"] == 0
