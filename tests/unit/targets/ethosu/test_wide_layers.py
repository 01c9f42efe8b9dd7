# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dense layers that are wider than an axis of the NPU, as windows over the image they flatten."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Dense, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.edgetpu.int8.narrowing import drawn_inputs
from edgeinfer.targets.ethosu import wide_layers
from edgeinfer.targets.ethosu.settings import EthosUSettings
from edgeinfer.targets.ethosu.target import EthosUTarget
from edgeinfer.targets.ethosu.wide_layers import spread_wide_layers
from quantization.fixed import Fixed, Overflow, Rounding


def flattened(image: tuple[int, ...], outputs: int) -> Program:
    """A dense layer that reads a whole image, rounded and limited on the way; another reads it."""
    reads, rng = int(np.prod(image)), np.random.default_rng(3)
    builder = ProgramBuilder("wide")
    builder.add(ops.Input("x", Fixed(True, 8, 3), image))
    builder.exact(ops.Reshape("flat", provisional(5), "x", (reads,)))
    builder.add(ops.Requant("low", Fixed(True, 7, 3), "flat", Rounding.RND, Overflow.SAT))
    builder.exact(ops.Clip("relu", provisional(4), "low", 0, None))
    for name in ("y", "z"):
        weight = pack_weights(rng.integers(-60, 61, (reads, outputs)))
        bias = pack_weights(rng.integers(-9999, 9999, outputs))
        builder.exact(Dense(name, provisional(11), "relu", weight, Fixed(True, 7, 0), bias))
    return builder.program(tuple(Output(n, n, HostFunction.NONE) for n in ("y", "z")))


@pytest.mark.parametrize("image", [(4, 5, 3), (20, 3)])
def test_a_window_over_the_image_gives_the_sums_of_the_layer(
    monkeypatch: pytest.MonkeyPatch, image: tuple[int, ...]
) -> None:
    program = flattened(image, 2)
    assert spread_wide_layers(program).ops == program.ops
    monkeypatch.setattr(wide_layers, "LONGEST_AXIS", 59)
    spread = spread_wide_layers(program)
    verify(spread)
    assert not any(isinstance(op, Dense) for op in spread.ops)
    assert not any(np.prod(shape) > 59 and len(shape) == 1 for shape in spread.shapes.values())
    raw = drawn_inputs(program)
    expected, actual = interpret(program, raw), interpret(spread, raw)
    assert all(np.array_equal(actual[name], expected[name]) for name in ("y", "z"))


@pytest.mark.parametrize("image", [(65, 2, 9), (9, 500, 2), (2, 2, 9, 9), (900,)])
def test_an_image_that_is_no_window_is_left(
    monkeypatch: pytest.MonkeyPatch, image: tuple[int, ...]
) -> None:
    monkeypatch.setattr(wide_layers, "LONGEST_AXIS", 50)
    program = flattened(image, 1)
    assert any(isinstance(op, Dense) for op in spread_wide_layers(program).ops)


def test_the_file_has_no_operator_that_vela_ends_at() -> None:
    """As many numbers as the faithful hit tagger flattens."""
    target, settings = EthosUTarget(), EthosUSettings()
    (least,) = target.estimate(flattened((44, 44, 48), 1), settings)
    assert least.value == 2 * 44 * 44 * 48 / settings.accelerator.macs_per_cycle
    with pytest.raises(UnsupportedModelError, match="reads 66,000 numbers; Vela takes at most"):
        target.estimate(flattened((33000, 2), 1), settings)
