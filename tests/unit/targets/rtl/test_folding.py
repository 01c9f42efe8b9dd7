# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Foldings from goals, and what is said where a goal cannot be reached."""

from __future__ import annotations

import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.rtl import choose
from edgeinfer.targets.rtl.choose import choose_folding, design_netlist
from edgeinfer.targets.rtl.design import queues
from edgeinfer.targets.rtl.design.cycles import DesignCycles, count_cycles
from edgeinfer.targets.rtl.design.folding import divisors, narrowest
from edgeinfer.targets.rtl.design.layers import MatrixLayer
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.settings import Budget, Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed
from tests.support.hit_tagger_programs import POOLED, hit_tagger
from tests.support.rtl_programs import dense_program

LAYER = MatrixLayer("y", 12, 6, 10, Fixed(True, 4, 1), sliding=False)


def test_the_cheapest_fold_within_the_cycles_is_taken() -> None:
    assert narrowest(LAYER, 720) == Fold(1, 1)
    assert narrowest(LAYER, 719) == Fold(2, 1)
    assert narrowest(LAYER, 10) == Fold(6, 12)
    assert narrowest(LAYER, 3) == Fold(6, 12)  # as far as it goes
    for cycles in (10, 60, 100, 333):
        fold = narrowest(LAYER, cycles)
        assert LAYER.cycles(fold) <= cycles
        cheaper = [
            Fold(pe, simd)
            for pe in divisors(6)
            for simd in divisors(12)
            if pe * simd < fold.pe * fold.simd
        ]
        assert all(LAYER.cycles(other) > cycles for other in cheaper)


def test_a_throughput_is_reached_with_what_it_takes_and_no_more() -> None:
    program = hit_tagger(POOLED).program
    settings = RtlSettings(clock_mhz=100.0, throughput=30_000)
    folding, netlist = design_netlist(program, settings)
    assert count_cycles(netlist).interval <= 100e6 / 30_000
    assert folding.multipliers() < 300


def test_a_throughput_beyond_reach_is_refused_with_the_number_that_can_be() -> None:
    settings = RtlSettings(clock_mhz=100.0, throughput=60_000)
    with pytest.raises(UsageError, match=r"a frame takes 2,304 cycles, which is 43,403 a second"):
        choose_folding(hit_tagger(POOLED).program, settings)


def test_a_latency_is_reached_or_refused() -> None:
    program = dense_program(12, 6)
    _, netlist = design_netlist(program, RtlSettings(clock_mhz=100.0, latency_us=0.3))
    assert count_cycles(netlist).latency <= 30
    with pytest.raises(UsageError, match="completely unfolded it takes 13 cycles"):
        design_netlist(program, RtlSettings(clock_mhz=100.0, latency_us=0.05))


def test_a_budget_of_multipliers_is_kept_and_used() -> None:
    program = hit_tagger(POOLED).program
    spent = [
        choose_folding(program, RtlSettings(budget=Budget(multipliers=most))).multipliers()
        for most in (8, 30, 128)
    ]
    assert spent[0] <= 8 < spent[1] <= 30 < spent[2] <= 128


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (RtlSettings(folds=(("z", Fold(1, 1)),)), "no layer 'z'"),
        (RtlSettings(folds=(("y", Fold(4, 1)),)), "does not divide"),
        (RtlSettings(lanes=(("x", 5),)), "do not come 5 at a time"),
        (RtlSettings(lanes=(("z", 1),)), "no input 'z'"),
    ],
)
def test_wrong_foldings_are_refused(settings: RtlSettings, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_folding(dense_program(12, 6), settings)


def test_settings_are_checked() -> None:
    for wrong in (
        {"clock_mhz": 0.1}, {"throughput": 0.0}, {"latency_us": -1.0}, {"gaps": 0.95},
        {"lanes": (("x", 0),)},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            RtlSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        Fold(0, 1)


def test_files_and_estimate_of_a_design_size_its_queues_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sized: list[str] = []

    def with_queues(netlist: Netlist) -> tuple[Netlist, DesignCycles]:
        sized.append(netlist.name)
        return queues.with_queues(netlist)

    monkeypatch.setattr(choose, "with_queues", with_queues)
    program, other = dense_program(12, 6), dense_program(12, 4)
    for settings in (RtlSettings(unroll="never"), RtlSettings(clock_mhz=50.0, unroll="never")):
        before = len(sized)
        plans = [RtlTarget().emit(program, settings) for _ in range(2)]
        metrics = [RtlTarget().estimate(program, settings) for _ in range(2)]
        assert plans[0] == plans[1]
        assert metrics[0] == metrics[1]
        assert len(sized) == before + 1
    assert RtlTarget().emit(other, RtlSettings(unroll="never")) != plans[0]
    assert len(sized) == 3
