# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reuse factors from a budget: legal, within it, and small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.errors import UsageError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Dense, Input, Requant, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.hls.estimate.estimate import estimate, with_reuse
from edgeinfer.targets.hls.estimate.reuse import layers_with_multipliers, legal, reuse_of
from edgeinfer.targets.hls.estimate.reuse_choice import choose_reuse, fits, largest_share
from edgeinfer.targets.hls.settings import HlsSettings, IoType, Strategy
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe
from tests.support.hit_tagger_programs import FAITHFUL, POOLED, hit_tagger
from tests.support.published_designs import program_of, published

PART = device("xczu7ev")


def jets() -> Program:
    return program_of(next(row for row in published() if row.id == "jet-zcu104-2025"))


@pytest.mark.parametrize("io", list(IoType))
@pytest.mark.parametrize("latency_us", [0.3, 1.0, 10.0])
def test_a_latency_is_met_by_legal_factors(io: IoType, latency_us: float) -> None:
    program = jets()
    choice = choose_reuse(program, HlsSettings(io=io), PART, latency_us=latency_us)
    assert choice.estimate.timing.latency_cycles * 5.0 / 1000 <= latency_us
    assert fits(choice.estimate, PART)
    for op in layers_with_multipliers(program):
        assert choice.settings.reuse_for(op.name) in legal(op, choice.settings)
        folded = choice.settings.reuse_for(op.name) > 1
        assert not folded or choice.settings.strategy_for(op.name) is Strategy.RESOURCE


def test_the_choice_is_what_is_estimated_afresh() -> None:
    program = jets()
    choice = choose_reuse(program, HlsSettings(), PART, latency_us=1.0)
    again = estimate(program, choice.settings, PART)
    assert again.timing == choice.estimate.timing
    assert again.lut == choice.estimate.lut and again.dsp == choice.estimate.dsp


def test_more_time_makes_a_smaller_design() -> None:
    program = jets()
    shares = [
        largest_share(choose_reuse(program, HlsSettings(), PART, latency_us=limit).estimate, PART)
        for limit in (0.3, 1.0, 10.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1]


def test_no_layer_could_be_folded_further() -> None:
    program, limit = jets(), 1.0
    choice = choose_reuse(program, HlsSettings(), PART, latency_us=limit)
    for op in layers_with_multipliers(program):
        factor = reuse_of(op, choice.settings)
        bigger = [value for value in legal(op, choice.settings).values if value > factor][:1]
        for value in bigger:
            tried = replace(
                with_reuse(choice.settings, {op.name: value}), strategy=Strategy.RESOURCE
            )
            more = estimate(program, tried, PART)
            slower = more.timing.latency_cycles * 5.0 / 1000 > limit
            assert (
                slower or largest_share(more, PART) >= largest_share(choice.estimate, PART) - 0.05
            )


def test_what_does_not_fit_at_once_is_folded_until_it_does() -> None:
    program = jets()
    plain = estimate(program, HlsSettings(), PART)
    assert not fits(plain, PART)  # 3,334 DSP blocks of 1,728
    choice = choose_reuse(program, HlsSettings(), PART)
    assert fits(choice.estimate, PART)
    assert largest_share(choice.estimate, PART) > 0.5  # no more than needed


def test_an_impossible_latency_says_how_near_it_comes() -> None:
    with pytest.raises(
        UsageError, match=r"to 0\.01 us on xczu7ev: the fastest .* estimated at 0\."
    ):
        choose_reuse(jets(), HlsSettings(), PART, latency_us=0.01)


def test_a_network_too_large_for_the_part_says_by_how_much() -> None:
    program = hit_tagger(FAITHFUL).program
    with pytest.raises(UsageError, match=r"smallest design needs .*BRAM18 of 624"):
        choose_reuse(program, HlsSettings(), PART)


def test_what_fifos_have_of_the_memory_is_told() -> None:
    builder = ProgramBuilder("deep")
    builder.add(Input("x", Fixed(True, 8, 4), (256, 256, 64)))
    builder.add(Requant("r", Fixed(True, 7, 4), "x", Rounding.RND, Overflow.SAT))
    kernel, bias = pack_weights(np.eye(64, dtype=np.int64)), pack_weights(np.zeros(64, int))
    builder.exact(Dense("y", provisional(8), "r", kernel, Fixed(True, 4, 1), bias))
    program = builder.program((Output("y", "y"),))
    with pytest.raises(UsageError, match=r"[\d,]+ of the BRAM18 are FIFOs as deep as the tensors"):
        choose_reuse(program, HlsSettings(), PART)


def test_a_layer_beyond_the_unroll_limit_is_never_laid_out_at_once() -> None:
    program = hit_tagger(POOLED).program
    settings = HlsSettings(io=IoType.PARALLEL)
    choice = choose_reuse(program, settings, device("xcu250"))
    assert choice.settings.strategy_for("dense0") is Strategy.RESOURCE


def test_without_multipliers_there_is_nothing_to_choose() -> None:
    nodes: tuple[g.Node, ...] = (
        g.InputNode("x", (4, 4, 1)),
        g.PoolNode("y", "x", g.PoolNodeKind.MAX, (2, 2), (2, 2), ((0, 0), (0, 0))),
    )
    graph = g.Graph("pool", nodes, ("y",))
    program = lower(graph, Recipe.of({"x": Quantizer(Fixed(True, 8, 3))})).program
    with pytest.raises(UsageError, match="no layer with multipliers"):
        choose_reuse(program, HlsSettings(), PART)
