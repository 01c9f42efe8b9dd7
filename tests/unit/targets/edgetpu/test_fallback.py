# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Binary and ternary networks: what has no int8 equal, as the int8 network that is nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Clip, Dense, Scale, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.fold_scales import nearest_int8_program
from edgeinfer.targets.edgetpu.int8_settings import Fallback
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.edgetpu.tflite import simulate
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding

INT8 = EdgeTpuSettings(fallback=Fallback.INT8)


def ternary(sign: bool) -> tuple[Program, dict[str, Ints]]:
    """Weights of -1, 0 and 1, wide factors by channel, two bits between; at the end scores, or
    which of them are not below zero."""
    rng = np.random.default_rng(5)
    builder = ProgramBuilder("ternary")
    builder.add(ops.Input("x", Fixed(False, 2, 2), (100,)))
    two = Fixed(True, 2, 2)

    def layer(x: str, name: str, inputs: int, outputs: int) -> str:
        weight = pack_weights(rng.integers(-1, 2, (inputs, outputs)))
        none = pack_weights(np.zeros(outputs, np.int64))
        builder.exact(Dense(f"{name}.sum", provisional(0), x, weight, two, none))
        factor = pack_weights(rng.integers(1 << 22, 1 << 26, outputs))
        bias = pack_weights(rng.integers(-(1 << 26), 1 << 26, outputs))
        wide = Fixed(True, 28, -1)
        builder.exact(Scale(name, provisional(29), f"{name}.sum", factor, wide, bias))
        return name

    first = layer("x", "a", 100, 32)
    held = builder.requant("b", first, Quantizer(Fixed(False, 2, 2), Rounding.RND, Overflow.SAT))
    last = layer(held, "c", 32, 4)
    if sign:
        builder.exact(Clip("step", provisional(29), last, -1, 0))
        one, shift = pack_weights(np.array([1])), pack_weights(np.array([1]))
        builder.exact(Scale("s", provisional(0), "step", one, Fixed(False, 1, 31), shift))
        last = "s"
    program = builder.program((Output("y", last),))
    return program, {"x": rng.integers(0, 4, (400, 100))}


@pytest.mark.parametrize("sign", [False, True])
def test_a_ternary_network_becomes_the_nearest_int8_network(sign: bool) -> None:
    program, raw = ternary(sign)
    assert convert.check(program)
    with pytest.raises(UnsupportedModelError, match="must be stored"):
        convert.convert_program(program, raw)
    near, said = nearest_int8_program(program)
    assert not convert.check(near) and "nearest int8 form" in said[0]
    result = convert.convert_program(near, raw)
    assert result.program is not None
    stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
    actual = simulate.Interpreter(result.data, result.ports).run(stored)
    own = simulate.engine_outputs(result.program, simulate.raw_inputs(result.ports, stored))
    assert simulate.compare_outputs(result.ports, actual, own).max_steps == 0
    exact = simulate.engine_outputs(program, raw)["y"]
    found = simulate.real_outputs(result.ports, actual)["y"]
    if sign:
        assert set(np.unique(found)) == {-1.0, 1.0}
        assert np.mean(found != exact) < 0.02
    else:
        assert np.sqrt(np.mean((found - exact) ** 2)) < 0.1 * exact.std()


def test_weights_move_by_half_a_percent_at_most() -> None:
    program, _ = ternary(False)
    near, _ = nearest_int8_program(program)
    layer, factor = near["a"], program["a"]
    assert isinstance(layer, Dense) and isinstance(factor, Scale)
    signs = program["a.sum"]
    assert isinstance(signs, Dense)
    real = np.ldexp(layer.weight.astype(float), -layer.weight_type.frac)
    expected = signs.weight * np.ldexp(factor.factor.astype(float), -factor.factor_type.frac)
    assert np.abs(real - expected).max(axis=0) == pytest.approx(0, abs=1.0)
    largest = np.abs(expected).max(axis=0)
    assert (np.abs(real - expected).max(axis=0) <= largest / 127).all()


def test_a_factor_just_below_a_power_of_two_is_rounded_to_it() -> None:
    """The power is beyond the type that held the factor: a batch norm that hardly changes a thing,
    which no layer takes in."""
    builder = ProgramBuilder("norm")
    builder.add(ops.Input("x", Fixed(False, 8, 8), (4,)))
    factor, bias = pack_weights(np.full(4, 2047)), pack_weights(np.zeros(4, np.int64))
    builder.exact(Scale("norm", provisional(11), "x", factor, Fixed(False, 11, 0), bias))
    program = builder.program((Output("y", "norm"),))
    assert convert.check(program)
    near, _ = nearest_int8_program(program)
    assert not convert.check(near)
    scale = near["norm"]
    assert isinstance(scale, Scale)
    assert (scale.factor * scale.factor_type.lsb == 1.0).all()


def test_means_stay_means() -> None:
    """The factor of a mean over 63x63 pixels, which no layer takes in, has more than 7 digits."""
    builder = ProgramBuilder("means")
    builder.add(ops.Input("x", Fixed(False, 8, 8), (63, 63, 2)))
    around = ((0, 0), (0, 0))
    builder.exact(ops.Pool("sum", provisional(0), "x", ops.PoolKind.SUM, (63, 63), (1, 1), around))
    shares, none = pack_weights(np.array([round(2**22 / 63**2)])), pack_weights(np.array([0]))
    builder.exact(Scale("mean", provisional(22), "sum", shares, Fixed(False, 11, -11), none))
    held = builder.requant("q", "mean", Quantizer(Fixed(False, 8, 8), Rounding.RND, Overflow.SAT))
    wide, none = pack_weights(np.array([2047, 1500])), pack_weights(np.zeros(2, np.int64))
    builder.exact(Scale("norm", provisional(11), held, wide, Fixed(False, 11, 0), none))
    program = builder.program((Output("y", "norm"),))
    near, _ = nearest_int8_program(program)
    assert convert.check(program) and not convert.check(near)
    mean = near["mean"]
    assert isinstance(mean, Scale) and (mean.factor == shares).all()


def test_the_target_makes_it_only_if_asked(tmp_path: Path) -> None:
    program, _ = ternary(False)
    target = EdgeTpuTarget()
    assert target.check(program, EdgeTpuSettings()) and not target.check(program, INT8)
    target.emit(program, INT8).write(tmp_path)
    assert (tmp_path / "model.tflite").is_file()
    assert target.estimate(program, INT8)
    with pytest.raises(UnsupportedModelError):
        target.emit(program, EdgeTpuSettings())
    eight = ProgramBuilder("eight")
    eight.add(ops.Input("x", Fixed(True, 8, 1), (4,)))
    weight, bias = pack_weights(np.ones((4, 2), np.int64)), pack_weights(np.zeros(2, np.int64))
    eight.exact(Dense("y", provisional(14), "x", weight, Fixed(True, 8, 1), bias))
    plain = eight.program((Output("y", "y"),))
    assert convert.nearest_program(plain, Fallback.INT8) == (plain, [])
