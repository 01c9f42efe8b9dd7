# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions in groups: bit for bit in Verilator, cycle for cycle, and no more than they need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Conv, Input, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.folding import narrowest
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.estimate.estimate import multipliers
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from quantization.fixed import Fixed
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import assert_agrees, assert_cycles, make_design, needs_verilator
from tests.support.rtl_programs import merged, merged_inputs

WEIGHT = Fixed(True, 4, 1)


@dataclass(frozen=True, slots=True)
class GroupCase:
    """A convolution, and how it is folded."""

    image: tuple[int, ...]
    window: tuple[int, ...]
    groups: int
    outputs: int
    fold: Fold
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...] = (1, 1)
    finer: int = 0  # bits by which the bias is finer than the products

    def program(self, seed: int) -> Program:
        """Nothing but the convolution."""
        rng = np.random.default_rng(seed)
        builder = ProgramBuilder("groups")
        builder.add(Input("x", Fixed(seed % 2 == 0, 5, 2), self.image))
        weight = rng.integers(-8, 8, (*self.window, self.image[-1] // self.groups, self.outputs))
        bias = rng.integers(-50, 50, self.outputs)
        frac = builder.frac("x") + WEIGHT.frac + self.finer
        builder.exact(
            Conv("y", provisional(frac), "x", pack_weights(weight), WEIGHT, pack_weights(bias),
                 self.strides, self.pads, self.dilation[: len(self.window)], self.groups)
        )  # fmt: skip
        return builder.program((Output("y", "y"),))


ONE, SAME = (1, 1), ((1, 1), (1, 1))
CASES = (
    GroupCase((6, 5, 4), (3, 3), 4, 4, Fold(1, 1), ONE, SAME),
    GroupCase((6, 5, 4), (3, 3), 4, 4, Fold(2, 3), (2, 2), ((0, 1), (1, 0))),
    GroupCase((5, 7, 6), (3, 2), 6, 12, Fold(4, 2), (1, 3), ((2, 0), (0, 0)), (2, 1)),
    GroupCase((5, 5, 6), (3, 3), 6, 12, Fold(1, 9), ONE, ((2, 2), (2, 2)), (1, 2), finer=2),
    GroupCase((5, 5, 8), (2, 2), 4, 12, Fold(6, 2), (2, 1), ((0, 0), (1, 0))),
    GroupCase((4, 5, 8), (3, 3), 2, 4, Fold(1, 6), ONE, SAME),
    GroupCase((4, 5, 3), (3, 3), 3, 3, Fold(3, 1), ONE, SAME),
    GroupCase((4, 5, 3), (3, 3), 3, 3, Fold(3, 9), ONE, SAME),
    GroupCase((20, 6), (5,), 6, 6, Fold(3, 1), (2,), ((4, 0),), (1,)),
    GroupCase((9, 4), (3,), 4, 8, Fold(2, 3), (1,), ((2, 2),), (2,)),
    GroupCase((4, 4, 8), (1, 1), 4, 12, Fold(6, 2), ONE, ((0, 0), (0, 0))),
    GroupCase((4, 4, 8), (1, 1), 2, 6, Fold(1, 2), ONE, ((0, 0), (0, 0))),
    GroupCase((2, 6, 4), (1, 3), 4, 8, Fold(8, 1), (1, 3), ((0, 0), (0, 0))),
    GroupCase((2, 6, 4), (1, 3), 4, 8, Fold(2, 3), (1, 3), ((0, 0), (0, 0))),
    GroupCase((2, 6, 4), (1, 3), 1, 3, Fold(3, 2), (1, 3), ((0, 0), (0, 0))),
    GroupCase((2, 6, 4), (1, 3), 1, 3, Fold(1, 6), (1, 3), ((0, 0), (0, 0))),
    GroupCase((2, 7, 4), (1, 3), 1, 3, Fold(1, 4), (1, 3), ((0, 0), (0, 0))),
    GroupCase((8, 3), (4,), 1, 2, Fold(2, 12), (4,), ((0, 0),), (1,)),
)  # fmt: skip


@needs_verilator
@pytest.mark.slow
def test_every_geometry_agrees_bit_for_bit_and_cycle_for_cycle(tmp_path: Path) -> None:
    programs = [case.program(seed) for seed, case in enumerate(CASES)]
    folds = tuple((f"p{number}_y", case.fold) for number, case in enumerate(CASES))
    design = make_design(merged(programs), RtlSettings(folds=folds), tmp_path)
    raw = merged_inputs([random_inputs(program, 5, 4) for program in programs])
    assert_cycles(design, assert_agrees(design, raw))
    rounds = [block.parameters.get("ROUNDS", 1) for block in design.netlist.blocks]
    assert rounds.count(4) >= 2  # the window's and the products' of four channels
    windows = {block.op for block in design.netlist.blocks if block.module == "ei_window"}
    tiling = (12, 13, 14, 15, 16, 17)  # the cases whose windows may tile a row
    assert [number for number in tiling if f"p{number}_y" not in windows] == [12, 14, 17]


def test_a_depthwise_layer_takes_its_own_products_only() -> None:
    program = CASES[0].program(0)
    (layer,) = layers_of(program)
    assert layer.weight_bits == 3 * 3 * 4 * WEIGHT.bits
    assert layer.cycles(Fold(1, 1)) == 6 * 5 * 4 * 9
    for fold in (Fold(1, 1), Fold(2, 3), Fold(4, 1)):
        folding, netlist = design_netlist(program, RtlSettings(folds=(("y", fold),)))
        assert folding.multipliers() == multipliers(netlist) == fold.pe * fold.simd
        (actor,) = next(b.actors for b in netlist.blocks if b.module == "ei_mac")
        assert actor.busy_cycles == layer.cycles(fold)


def test_every_fold_within_so_many_cycles_divides_groups() -> None:
    (layer,) = layers_of(CASES[4].program(0))
    for cycles in range(1, layer.cycles(Fold(1, 1)), 7):
        fold = narrowest(layer, cycles)
        assert layer.fits(fold) and (layer.cycles(fold) <= cycles or layer.is_whole(fold))


@pytest.mark.parametrize("fold", [Fold(2, 2), Fold(6, 1), Fold(4, 2)])
def test_a_fold_that_does_not_divide_groups_is_refused_by_what_would(fold: Fold) -> None:
    settings = RtlSettings(folds=(("y", fold),))
    with pytest.raises(UsageError, match="does not divide") as refused:
        design_netlist(CASES[4].program(0), settings)
    assert "A group has 3 of the outputs" in str(refused.value.hint)
