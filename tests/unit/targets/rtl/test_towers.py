# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tower in Verilog, once for several inputs: the same integers, in the cycles counted, with the
multipliers of one call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import Metric
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.towers import join_towers
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.settings import Budget, Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.random_programs import random_inputs, random_program
from tests.support.rtl_designs import (
    assert_agrees,
    assert_cycles,
    make_design,
    needs_verilator,
    random_folds,
)
from tests.support.siamese_graphs import siamese_program

TARGET = RtlTarget()


def sum_over_layers(metrics: tuple[Metric, ...], name: str) -> float:
    return sum(m.value for m in metrics if m.name == name and m.layer is not None)


def figure(metrics: tuple[Metric, ...], name: str) -> float:
    return next(m.value for m in metrics if m.name == name and m.layer is None)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("calls", [2, 3])
def test_one_piece_of_hardware_takes_all_calls(seed: int, calls: int, tmp_path: Path) -> None:
    """Every value and output, with gaps, back-pressure and a reset; every cycle as counted."""
    joined = join_towers(prepare_program(siamese_program(seed, calls)))
    design = make_design(joined, RtlSettings(folds=random_folds(joined, seed)), tmp_path)
    ideal = assert_agrees(design, random_inputs(joined, seed, 3))
    assert_cycles(design, ideal)


def test_a_tower_once_takes_the_multipliers_and_weights_of_one_call() -> None:
    program = siamese_program(0, 3)
    folds = (("y", Fold(1, 1)),)  # and one multiplier for every other layer
    apart, once = (
        TARGET.estimate(program, RtlSettings(folds=folds, towers=towers))
        for towers in ("apart", "once")
    )
    for name in ("multipliers", "weight_bits"):
        head = next(m.value for m in once if m.name == name and m.layer == "y")
        assert sum_over_layers(apart, name) - head == 3 * (sum_over_layers(once, name) - head)
    assert figure(once, "ii_cycles") > 2 * figure(apart, "ii_cycles")


def test_a_tower_is_there_once_where_its_weights_fit_only_once() -> None:
    program = siamese_program(0, 3)
    apart = sum_over_layers(TARGET.estimate(program, RtlSettings()), "weight_bits")
    for most, is_joined in ((apart, False), (apart - 1, True)):
        settings = RtlSettings(budget=Budget(memory_bits=int(most)))
        assert not TARGET.check(program, settings)
        bits = sum_over_layers(TARGET.estimate(program, settings), "weight_bits")
        assert (bits < apart) == is_joined
    tight = RtlSettings(towers="apart", budget=Budget(memory_bits=int(apart) - 1))
    assert TARGET.check(program, tight)


def test_what_has_no_tower_is_named() -> None:
    with pytest.raises(UsageError, match="no layers that are called more than once"):
        TARGET.check(random_program(0), RtlSettings(towers="once"))
    with pytest.raises(UsageError, match="neither an unrolled"):
        RtlSettings(towers="once", unroll="full")
    with pytest.raises(UsageError, match=r"--towers once does not go with --event"):
        RtlSettings(towers="once", event=(8, 8))


def test_calls_with_formats_of_their_own_are_named() -> None:
    kernel = np.ones((3, 2))
    nodes = (
        *(g.InputNode(name, (3,)) for name in "ab"),
        g.DenseNode("one", "tower", "a", kernel, None),
        g.DenseNode("two", "tower", "b", kernel, None),
        g.MergeNode("y", ("one", "two"), g.MergeKind.ADD),
    )
    data = {name: np.random.default_rng(1).normal(size=(20, 3)) for name in "ab"}
    settings = PtqSettings(8, bits_of=(("b", 6),))
    chosen = quantize(g.Graph("uneven", nodes, ("y",)), data, settings)
    program = lower(chosen.graph, chosen.recipe).program
    with pytest.raises(UsageError, match="%two has the weights of another layer, but not its"):
        TARGET.check(program, RtlSettings(towers="once"))
