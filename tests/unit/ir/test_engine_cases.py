# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The engine where arithmetic is about to break: the edges of each carrier, and the choice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgeinfer.base.errors import InputError, ProgramError, UsageError
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.emit import emit_model
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.values import Carrier
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import (
    Clip,
    Conv,
    Dense,
    Input,
    Op,
    Pair,
    PairKind,
    Pool,
    PoolKind,
    Requant,
    Reshape,
    Scale,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Rounding
from tests.support.hit_tagger_programs import POOLED, hit_tagger, patches
from tests.support.random_programs import random_inputs
from tests.support.sparse_programs import sparse_unet

S8, U8 = Fixed(True, 8, 8), Fixed(False, 8, 8)
PLAIN = ((0, 0), (0, 0))


def built(*ops: Op) -> Program:
    """A Program of these ops, with proved widths, whose last value is the output."""
    builder = ProgramBuilder("case")
    for op in ops:
        free = not isinstance(op, Input | Requant)
        builder.exact(op) if free else builder.add(op)
    return builder.program((Output("y", ops[-1].name),))


def dense(x: str, weight: Ints, bits: int, *, bias: int = 0, frac: int = 0) -> Dense:
    type_ = Fixed(True, bits, bits)
    whole = np.full(weight.shape[1], bias)
    return Dense("dense", provisional(frac), x, pack_weights(weight), type_, pack_weights(whole))


def carriers(program: Program) -> dict[str, Carrier]:
    return {entry.value: entry.carrier for entry in Engine(program, threads=1).carriers}


def assert_exact(program: Program, inputs: dict[str, Ints]) -> None:
    expected = interpret(program, inputs)
    results = Engine(program, threads=1).run(inputs)
    for output in program.outputs:
        np.testing.assert_array_equal(results[output.name], expected[output.value])


@pytest.mark.parametrize(
    ("count", "bias", "carrier"),
    [
        (16, 16, Carrier.FLOAT32),  # 16 x 1023 x 1025 + 16 = 2^24
        (16, 17, Carrier.FLOAT64),
        (1 << 10, 0, Carrier.FLOAT64),
    ],
)
def test_float32_ends_where_a_partial_sum_may_pass_two_to_the_24(
    count: int, bias: int, carrier: Carrier
) -> None:
    weight = np.full((count, 2), 1025)
    weight[1::2] *= -1
    program = built(Input("x", Fixed(False, 10, 10), (count,)), dense("x", weight, 12, bias=bias))
    assert carriers(program)["dense"] is carrier
    x = np.full((3, count), 1023)
    x[1, 1::2], x[2, ::2] = 0, 0
    assert_exact(program, {"x": x})


def test_float64_ends_where_a_partial_sum_may_pass_two_to_the_53() -> None:
    for bits, carrier in ((25, Carrier.FLOAT64), (27, Carrier.INT64)):
        weight = np.full((2, 1), (1 << (bits - 1)) - 1)
        program = built(Input("x", Fixed(False, 27, 27), (2,)), dense("x", weight, bits))
        assert carriers(program)["dense"] is carrier
        top = (1 << 27) - 1
        assert_exact(program, {"x": np.array([[top, top], [top, top - 1], [1, 0]])})


@pytest.mark.parametrize(
    ("type_", "bits", "carrier"),
    [
        (U8, 6, Carrier.UINT8),
        (U8, 7, Carrier.UINT8),  # 2 x 255 x 64 < 2^15
        (U8, 8, Carrier.FLOAT32),  # 2 x 255 x 128 saturates where pairs are added in 16 bits
        (Fixed(False, 7, 7), 8, Carrier.UINT8),
        (S8, 7, Carrier.INT8),
        (S8, 8, Carrier.FLOAT32),
        (Fixed(True, 6, 6), 8, Carrier.FLOAT32),  # kernels see signed bytes shifted by 128
        (Fixed(True, 9, 9), 4, Carrier.FLOAT32),
    ],
)
def test_bytes_where_they_are_safe_on_every_processor(
    type_: Fixed, bits: int, carrier: Carrier
) -> None:
    rng = np.random.default_rng(bits)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    weight = rng.choice([low, high], (256, 256))
    program = built(Input("x", type_, (256,)), dense("x", weight, bits, bias=3))
    assert carriers(program)["dense"] is carrier
    x = rng.choice([type_.raw_min, type_.raw_max], (40, 256))
    x[0] = np.where(weight[:, 0] > 0, type_.raw_max, type_.raw_min)
    assert_exact(program, {"x": x})


@pytest.mark.parametrize("type_", [Fixed(False, 8, 6), Fixed(False, 6, 4), Fixed(True, 8, 6)])
@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.SAT_SYM])
def test_what_is_rounded_for_bytes_is_rounded_half_to_even(
    type_: Fixed, overflow: Overflow
) -> None:
    rng = np.random.default_rng(2)
    weight = rng.integers(-3, 4, (3, 3, 2, 8))
    program = built(
        Input("x", Fixed(True, 7, 4), (10, 10, 2)),
        Conv(
            "conv", provisional(3), "x", pack_weights(weight), Fixed(True, 3, 3),
            pack_weights(np.arange(8)),
            (1, 1), PLAIN, (1, 1),
        ),
        Requant("small", type_, "conv", Rounding.RND_CONV, overflow),
        Reshape("flat", provisional(2), "small", (512,)),
        dense("flat", rng.integers(-32, 32, (512, 128)), 6, frac=2),
    )  # fmt: skip
    kinds = node_kinds(program)
    assert (kinds["QuantizeLinear"], kinds["MatMulInteger"], kinds["Round"]) == (1, 1, 0)
    assert_exact(program, random_inputs(program, 5, 20))


def test_small_matrices_stay_in_floats() -> None:
    weight = np.ones((16, 16), dtype=np.int64)
    assert carriers(built(Input("x", U8, (16,)), dense("x", weight, 4)))["dense"] is Carrier.FLOAT32


def balanced_conv(x: str, channels: int, type_: Fixed) -> Conv:
    """Weights that cancel: the result stays small, the partial sums do not."""
    weight = np.full((3, 3, channels, channels), type_.raw_max)
    weight[:, :, channels // 2 :] *= -1
    bias = np.zeros(channels, dtype=np.int64)
    return Conv(
        "conv",
        provisional(0),
        x,
        pack_weights(weight),
        type_,
        pack_weights(bias),
        (1, 1),
        PLAIN,
        (1, 1),
    )


def test_a_factor_is_not_folded_into_weights_whose_partial_sums_would_pass_the_limit() -> None:
    factor = np.arange(301, 269, -2)
    program = built(
        Input("x", Fixed(False, 10, 10), (6, 6, 16)),
        Clip("high", provisional(0), "x", 1000, None),
        balanced_conv("high", 16, Fixed(True, 6, 6)),
        Scale("scale", provisional(0), "conv", factor, Fixed(False, 9, 9), np.array([77])),
    )
    assert carriers(program)["scale"] is Carrier.FLOAT32
    x = np.random.default_rng(0).integers(1000, 1024, (20, 6, 6, 16))
    assert_exact(program, {"x": x})


@pytest.mark.parametrize("between", ["nothing", "a wider type", "a clip that never clips"])
def test_a_sum_that_joins_a_convolution_counts_the_partial_sums(between: str) -> None:
    idle: list[Op] = []
    if between == "a wider type":
        idle = [Requant("wider", Fixed(True, 30, 30), "conv", Rounding.TRN, Overflow.SAT)]
    elif between != "nothing":
        idle = [Clip("cut nothing", provisional(0), "conv", -(1 << 30), 1 << 30)]
    top = 16_600_000  # with what the convolution may yield, just below 2^24
    one, zeros = Fixed(False, 1, 1), pack_weights(np.zeros(32, dtype=np.int64))
    same = pack_weights(np.eye(32, dtype=np.int64)[None, None])
    program = built(
        Input("x", Fixed(False, 10, 10), (6, 6, 32)),
        Input("wide", Fixed(False, 24, 24), (4, 4, 32)),
        Clip("cut", provisional(0), "wide", 0, top),
        Conv("side", provisional(0), "cut", same, one, zeros, (1, 1), PLAIN, (1, 1)),
        Clip("high", provisional(0), "x", 1000, None),
        balanced_conv("high", 32, Fixed(True, 6, 6)),
        *idle,
        Pair("sum", provisional(0), idle[-1].name if idle else "conv", "side", PairKind.ADD),
    )
    result = carriers(program)
    assert (result["conv"], result["sum"]) == (Carrier.FLOAT32, Carrier.FLOAT64)
    rng = np.random.default_rng(0)
    x = rng.integers(1000, 1024, (20, 6, 6, 32))
    wide = rng.integers(top - 9, top, (20, 4, 4, 32))
    assert_exact(program, {"x": x, "wide": wide})


def test_numbers_that_need_more_than_32_bits_are_compared_right() -> None:
    wide = Fixed(True, 60, 60)
    program = built(
        Input("a", wide, (2, 5, 3)),
        Input("b", wide, (2, 5, 3)),
        Pair("most", provisional(0), "a", "b", PairKind.MAX),
        Pair("least", provisional(0), "most", "b", PairKind.MIN),
        Clip("cut", provisional(0), "least", -73, 73 << 32),
        Pool("pool", provisional(0), "most", PoolKind.MAX, (2, 2), (1, 1), ((1, 0), (0, 1))),
    )
    rng = np.random.default_rng(4)
    shifts = rng.integers(0, 59, (2, 30, 2, 5, 3))
    a, b = rng.integers(wide.raw_min, wide.raw_max, shifts.shape) >> shifts
    a[0], a[1] = 3879545796, 73
    inputs = {"a": a, "b": b}
    expected = interpret(program, inputs)
    results = Engine(program, threads=1).run(inputs, taps=["most", "least", "cut"])
    for name in ("most", "least", "cut"):
        np.testing.assert_array_equal(results[name], expected[name])
    np.testing.assert_array_equal(results["y"], expected["pool"])


def node_kinds(program: Program) -> Counter[str]:
    import onnx

    kept = [output.value for output in program.outputs]
    model = onnx.load_from_string(emit_model(program, bounds_of(program), kept).model)
    return Counter(node.op_type for node in model.graph.node)


def test_a_chain_of_convolutions_is_never_transposed() -> None:
    kinds = node_kinds(hit_tagger(POOLED).program)
    assert kinds["Transpose"] == 0
    assert kinds["Mul"] == kinds["Add"] == kinds["Cast"] == 0  # powers of two sit in the weights
    assert (kinds["Conv"], kinds["MaxPool"], kinds["Gemm"]) == (1, 1, 4)
    assert kinds["Clip"] == kinds["Round"] == 3


def test_coarser_masks_are_made_once() -> None:
    """Sites find them for themselves, so that nothing reads the Program's own."""
    assert node_kinds(sparse_unet(1, levels=3, plain=True))["MaxPool"] == 2


def test_a_flattened_tensor_feeds_a_matrix_whose_rows_were_moved_instead() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(-3, 4, (3, 3, 2, 5))
    program = built(
        Input("x", S8, (5, 4, 2)),
        Conv(
            "conv", provisional(0), "x", pack_weights(weight), Fixed(True, 3, 3),
            pack_weights(np.arange(5)),
            (1, 1), ((1, 1), (1, 1)), (1, 1),
        ),
        Reshape("flat", provisional(0), "conv", (100,)),
        Requant("small", Fixed(True, 6, 9), "flat", Rounding.RND_INF, Overflow.SAT_ZERO),
        dense("small", rng.integers(-8, 8, (100, 3)), 4),
    )  # fmt: skip
    assert node_kinds(program)["Transpose"] == 1  # of the input, which has two channels
    assert_exact(program, random_inputs(program, 0, 9))


@pytest.mark.parametrize("samples", [0, 1, 6, 7, 8, 15])
def test_any_number_of_samples(samples: int) -> None:
    program = hit_tagger(POOLED).program
    inputs = {"patch": patches(samples)}
    results = Engine(program, threads=1, batch=7).run(inputs, taps=["patch", "pool"])
    assert results["michel"].shape == (samples, 1)
    assert results["pool"].shape == (samples, 11, 11, 8)
    if samples:
        expected = interpret(program, inputs)
        for name in ("patch", "pool", "michel", "track_shower"):
            np.testing.assert_array_equal(results[name], expected[name])


@pytest.mark.parametrize("coarse", [40, 90, 123, 400, 900])
@pytest.mark.parametrize("kind", [PairKind.MIN, PairKind.ADD])
def test_zeros_come_from_the_coarsest_grid(coarse: int, kind: PairKind) -> None:
    """2^128 is no float32; what is proved to be zero stays it, however far it is raised."""
    program = built(
        Input("x", Fixed(False, 4, 4), (3,)),
        Requant("far", Fixed(True, 2, coarse), "x", Rounding.TRN, Overflow.SAT),
        Input("z", Fixed(True, 4, 0), (3,)),
        Scale("scaled", provisional(4), "far", pack_weights(np.array([3])), Fixed(False, 2, 2),
              pack_weights(np.array([5]))),
        Pair("y", provisional(4), "far", "z", kind),
        Pair("both", provisional(4), "y", "scaled", PairKind.ADD),
    )  # fmt: skip
    raw = {"x": np.array([[15, 0, 1]]), "z": np.array([[7, -8, 0]])}
    results = Engine(program, threads=1).run(raw)["y"]
    np.testing.assert_array_equal(results, interpret(program, raw)["both"])


@pytest.mark.parametrize("low, high", [(14, None), (None, -20), (-3, 5), (14, 15)])
@pytest.mark.parametrize("rounding", [Rounding.TRN, Rounding.RND_CONV])
def test_a_limit_beyond_what_its_input_reaches_may_be_what_wraps(
    low: int | None, high: int | None, rounding: Rounding
) -> None:
    """A limit is a value of its own: 14 wraps in four bits where none of -8 to 7 does."""
    program = built(
        Input("x", Fixed(True, 4, 4), (3,)),
        Clip("c", provisional(0), "x", low, high),
        Requant("y", Fixed(True, 4, 4), "c", rounding, Overflow.WRAP),
    )
    raw = {"x": np.array([[-8, 0, 7], [3, -1, 5]])}
    results = Engine(program, threads=1).run(raw)["y"]
    np.testing.assert_array_equal(results, interpret(program, raw)["y"])


def test_what_the_engine_is_asked_in_vain() -> None:
    engine = Engine(hit_tagger(POOLED).program, threads=1)
    with pytest.raises(UsageError, match=r"no value %convv to tap\. Did you mean 'conv'"):
        engine.run({"patch": patches(1)}, taps=["convv"])
    with pytest.raises(InputError, match="holds the raw integer"):
        engine.run({"patch": patches(1) + 256})
    with pytest.raises(UsageError, match="threads"):
        Engine(engine.program, threads=0)
    with pytest.raises(UsageError, match="batch"):
        Engine(engine.program, batch=0)


def test_a_maximum_over_nothing_is_refused_by_name() -> None:
    with pytest.raises(ProgramError, match=r"pool: a window of .* may lie wholly in padding"):
        built(
            Input("x", S8, (4, 4, 1)),
            Pool("pool", provisional(0), "x", PoolKind.MAX, (2, 2), (2, 2), ((2, 0), (0, 0))),
        )


def test_every_choice_says_why() -> None:
    lines = [str(entry) for entry in Engine(hit_tagger(POOLED).program, threads=1).carriers]
    assert lines[0].startswith("%conv (Conv): float32, every intermediate integer fits")
    assert all(": " in line and ", " in line for line in lines)
