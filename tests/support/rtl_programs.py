# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs side by side in one: many designs for the price of one build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import (
    Conv,
    Dense,
    Input,
    PairKind,
    Pool,
    PoolKind,
    Requant,
    Reshape,
    Scale,
    pack_weights,
)
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.check import offences
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.straight import size_of
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding
from tests.support.random_programs import random_program

WEIGHT = Fixed(True, 4, 1)
FOLDED = RtlSettings()
UNROLLED = RtlSettings(unroll="full", unroll_most=200_000)


def dense_program(inputs: int, outputs: int) -> Program:
    """One matrix, no more."""
    builder = ProgramBuilder("one")
    builder.add(Input("x", Fixed(False, 5, 2), (inputs,)))
    weight = np.arange(inputs * outputs).reshape(inputs, outputs) % 15 - 7
    frac = builder.frac("x") + WEIGHT.frac
    bias = np.zeros(outputs, np.int64)
    op = Dense("y", provisional(frac), "x", pack_weights(weight), WEIGHT, pack_weights(bias))
    builder.exact(op)
    return builder.program((Output("y", "y"),))


def forked_program() -> Program:
    """A window on one side of a sum, nothing on the other: the other must wait."""
    builder = ProgramBuilder("forked")
    builder.add(Input("x", Fixed(True, 5, 2), (30, 2)))
    weight = np.ones((7, 2, 2), np.int64)
    frac = builder.frac("x") + WEIGHT.frac
    op = Conv(
        "conv", provisional(frac), "x", pack_weights(weight), WEIGHT,
        pack_weights(np.zeros(2, np.int64)),
        (1,), ((3, 3),), (1,),
    )  # fmt: skip
    builder.exact(op)
    builder.add(Requant("low", Fixed(True, 5, 2), "conv", Rounding.RND_CONV, Overflow.SAT))
    builder.pair("sum", "x", "low", PairKind.ADD)
    return builder.program((Output("sum", "sum"),))


def late_program() -> Program:
    """Forty small matrices to one output; to the other three of these, and one that takes four
    times as long as each. It holds the input up, which the long way shows frames later."""
    builder = ProgramBuilder("late")
    x = builder.add(Input("x", Fixed(True, 5, 2), (8,)))

    def matrix(name: str, source: str, outputs: int) -> str:
        frac = builder.frac(source) + WEIGHT.frac
        weights = pack_weights(np.ones((8, outputs), np.int64))
        bias = pack_weights(np.zeros(outputs, np.int64))
        y = builder.exact(Dense(name, provisional(frac), source, weights, WEIGHT, bias))
        type_ = Fixed(True, 5, 2)
        return builder.add(Requant(f"{name}_low", type_, y, Rounding.RND_CONV, Overflow.SAT))

    ends = []
    for way, count in (("long", 40), ("short", 3)):
        y = x
        for number in range(count):
            y = matrix(f"{way}{number}", y, 8)
        ends.append(y)
    outputs = (Output("early", ends[0]), Output("late", matrix("wide", ends[1], 32)))
    return builder.program(outputs)


def small_network(seed: int) -> Program:
    """A convolution, rounded, pooled, and a matrix behind it: 8 x 8 pixels of 2 channels."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder(f"small{seed}")
    builder.add(Input("x", Fixed(True, 5, 2), (8, 8, 2)))
    weight = rng.integers(-8, 8, (3, 3, 2, 4))
    frac = builder.frac("x") + WEIGHT.frac
    conv = Conv(
        "conv", provisional(frac), "x", pack_weights(weight), WEIGHT,
        pack_weights(rng.integers(-50, 50, 4)),
        (1, 1), ((1, 1), (1, 0)), (1, 1),
    )  # fmt: skip
    builder.exact(conv)
    low = Requant("low", Fixed(False, 5, 3), "conv", Rounding.RND_CONV, Overflow.SAT)
    builder.add(low)
    pads = ((0, 0), (0, 0))
    builder.exact(
        Pool("pool", provisional(low.type.frac), "low", PoolKind.MAX, (2, 3), (2, 3), pads)
    )
    flat = Reshape("flat", builder.types["pool"], "pool", (32,))
    builder.add(flat)
    matrix = rng.integers(-8, 8, (32, 6))
    frac = builder.frac("flat") + WEIGHT.frac
    bias = pack_weights(rng.integers(-50, 50, 6))
    builder.exact(Dense("dense", provisional(frac), "flat", pack_weights(matrix), WEIGHT, bias))
    return builder.program((Output("y", "dense"),))


def every_mode() -> Program:
    """Numbers requantised in every mode there is; all integers of 6 bits, ties among them."""
    builder = ProgramBuilder("modes")
    builder.add(Input("x", Fixed(True, 6, 6), (64,)))
    low = Fixed(True, 3, 5)
    names = [
        builder.requant(f"{rounding}_{overflow}", "x", Quantizer(low, rounding, overflow))
        for rounding in Rounding
        for overflow in Overflow
    ]
    return builder.program(tuple(Output(name, name) for name in names))


def every_scaled_mode() -> Program:
    """All integers of 6 bits times constants, signed and unsigned, with a bias on a finer grid,
    then rounded in every mode, and brought into a type in every mode."""
    builder = ProgramBuilder("scaled")
    builder.add(Input("x", Fixed(True, 6, 4), (64, 4)))
    bias = pack_weights(np.array([1, -7, 0, 300]))
    for name, factors, type_ in (
        ("signed", [5, -3, 7, -8], Fixed(True, 4, 1)),
        ("unsigned", [1, 6, 15, 0], Fixed(False, 4, 2)),
    ):
        frac = builder.frac("x") + type_.frac + 2
        factor = pack_weights(np.array(factors))
        builder.exact(Scale(name, provisional(frac), "x", factor, type_, bias))
    modes = {
        *((rounding, Overflow.SAT) for rounding in Rounding),
        *((Rounding.RND_CONV, overflow) for overflow in Overflow),
    }
    names = [
        builder.requant(f"{x}_{rounding}_{overflow}", x, Quantizer(low, rounding, overflow))
        for x, low in (("signed", Fixed(True, 4, 3)), ("unsigned", Fixed(False, 5, 4)))
        for rounding, overflow in sorted(modes)
    ]
    return builder.program(tuple(Output(name, name) for name in ("signed", "unsigned", *names)))


def merged(programs: Sequence[Program], name: str = "many") -> Program:
    """One Program of parts that do not touch; `p3_x` is the value `x` of part 3."""
    ops, outputs = [], []
    for number, program in enumerate(programs):
        renamed = {op.name: f"p{number}_{op.name}" for op in program.ops}
        ops += [replace(rewire_op(op, renamed), name=renamed[op.name]) for op in program.ops]
        outputs += [
            replace(o, name=f"p{number}_{o.name}", value=renamed[o.value]) for o in program.outputs
        ]
    return Program(name, tuple(ops), tuple(outputs))


def merged_inputs(parts: Sequence[Mapping[str, Ints]]) -> dict[str, Ints]:
    """The inputs of such a Program."""
    return {f"p{i}_{name}": raw for i, part in enumerate(parts) for name, raw in part.items()}


def random_designs(seeds: Sequence[int], count: int) -> list[tuple[int, Program]]:
    """The first random Programs for which there are blocks."""
    results: list[tuple[int, Program]] = []
    for seed in seeds:
        program = without_what_is_unsupported(random_program(seed))
        if program is not None:
            results.append((seed, program))
        if len(results) == count:
            break
    return results


def unrolled_designs(seeds: Sequence[int], count: int) -> list[tuple[int, Program]]:
    """The first random Programs of narrow numbers that are small enough to be unrolled here."""
    results: list[tuple[int, Program]] = []
    for seed in seeds:
        drawn = random_program(seed, widths=(1, 6), max_ops=6)
        program = without_what_is_unsupported(drawn, UNROLLED)
        if program is not None and size_of(prepare_program(program)) < 300:
            results.append((seed, program))
        if len(results) == count:
            break
    return results


def without_what_is_unsupported(program: Program, settings: RtlSettings = FOLDED) -> Program | None:
    """The outputs that do depend on an input; None if there are none."""
    try:
        folded = prepare_program(program)
    except ProgramError:  # a softmax of numbers so wide that their differences are not held
        return None
    refused = {offence.path for offence in offences(folded, settings)}
    kept = tuple(o for o in folded.outputs if o.name not in refused)
    return Program(program.name, folded.ops, kept) if kept else None
