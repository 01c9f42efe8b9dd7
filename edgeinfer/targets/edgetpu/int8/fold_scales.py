# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The nearest int8 form of a Program whose layers have multipliers of their own.

Binary and ternary networks multiply small whole numbers, scale each channel by a wide factor, and
round to few levels. Int8 layers have one factor for each channel, which is made of the weights: a
scale before or behind a layer becomes part of its weights, each channel rounded to 8 bits on a grid
of its own. This moves sums by up to half a percent, and decisions near a step with them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.builder import prove_again, provisional
from edgeinfer.ir.ops import (
    Clip,
    Conv,
    Dense,
    Op,
    Pool,
    PoolKind,
    Scale,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.grid import MOST_WEIGHT, by_channel
from edgeinfer.targets.edgetpu.int8.storage import is_mean
from quantization.fixed import Ints, fixed_of_range

Reals = NDArray[np.float64]
STEP = (-1, 0)  # the limits that make a sum its sign, in its own smallest steps


def nearest_int8_program(program: Program) -> tuple[Program, list[str]]:
    """The Program with its scales inside its layers, and which layers were changed."""
    changed: list[str] = []
    while True:
        fold = _fold_one(program)
        if fold is None:
            break
        program, name = fold
        changed.append(name)
    rounded = [op for op in program.ops if isinstance(op, Dense | Conv) and _is_wide(op)]
    for op in rounded:
        bias = _real_bias(op)
        weight = np.ldexp(op.weight.astype(np.float64), -op.weight_type.frac)
        program = _with_layer(program, op, weight, bias, op.name, {op.name})
    narrow = {
        op.name: _narrow_factors(op)
        for op in program.ops
        if isinstance(op, Scale)
        and not _ends_mean(program, op)
        and by_channel(op.factor.reshape(-1), op.factor_type.frac) is None
    }
    program = replace(program, ops=tuple(narrow.get(op.name, op) for op in program.ops))
    kept = {op.name for op in program.ops}
    touched = (*changed, *(op.name for op in rounded), *narrow)
    names = dict.fromkeys(name for name in touched if name in kept)
    if not names:
        return program, []
    finding = (
        f"{', '.join(names)}: scales and weights were rounded to 8 bits for each channel, the "
        f"nearest int8 form. How many decisions that changes is measured."
    )
    return prove_again(drop_dead(program)), [finding]


def _fold_one(program: Program) -> tuple[Program, str] | None:
    """One scale brought into the layer before or behind it; None where there is none left."""
    readers = Counter(x for op in program.ops for x in inputs_of(op))
    readers.update(output.value for output in program.outputs)
    for op in program.ops:
        if isinstance(op, Scale) and readers[op.x] == 1 and _by_channel(op):
            before = program[op.x]
            if isinstance(before, Dense | Conv):
                return _fold_behind(program, before, op), op.name
        if isinstance(op, Dense) and readers[op.x] == 1:
            scale = program[op.x]
            is_flat = len(program.shapes[op.x]) == 1
            if isinstance(scale, Scale) and is_flat and not _ends_mean(program, scale):
                return _fold_before(program, scale, op), op.name
    return None


def _ends_mean(program: Program, scale: Scale) -> bool:
    """Whether a scale makes a sum over a window its mean: an operator of its own takes the factor
    as it is."""
    pool = program[scale.x]
    return isinstance(pool, Pool) and pool.kind is PoolKind.SUM and is_mean(pool, scale, program)


def _by_channel(op: Scale) -> bool:
    """Whether factors differ along the last axis only."""
    return all(part.size == max(part.shape[-1:], default=1) for part in (op.factor, op.bias))


def _fold_behind(program: Program, layer: Dense | Conv, scale: Scale) -> Program:
    channels = layer.weight.shape[-1]
    factor = np.broadcast_to(_real_factor(scale).reshape(-1), (channels,))
    shift = np.broadcast_to(_real_bias(scale).reshape(-1), (channels,))
    weight = np.ldexp(layer.weight.astype(np.float64), -layer.weight_type.frac) * factor
    bias = _real_bias(layer) * factor + shift
    return _with_layer(program, layer, weight, bias, scale.name, {layer.name, scale.name})


def _fold_before(program: Program, scale: Scale, layer: Dense) -> Program:
    inputs = layer.weight.shape[0]
    factor = np.broadcast_to(_real_factor(scale).reshape(-1), (inputs,))
    shift = np.broadcast_to(_real_bias(scale).reshape(-1), (inputs,))
    weight = np.ldexp(layer.weight.astype(np.float64), -layer.weight_type.frac)
    bias = _real_bias(layer) + shift @ weight
    moved = replace(layer, x=scale.x)
    removed = {scale.name, layer.name}
    return _with_layer(program, moved, weight * factor[:, None], bias, layer.name, removed)


def _narrow_factors(scale: Scale) -> Scale:
    """A scale that no layer takes in, its factors rounded to their first 7 binary digits."""
    raw = scale.factor.astype(np.int64)
    digits = np.ceil(np.log2(np.abs(raw) + 1.0)).astype(np.int64)
    spare = np.maximum(digits - MOST_WEIGHT.bit_length(), 0)
    rounded = raw + (1 << spare >> 1) >> spare << spare
    low, high = min(int(rounded.min()), 0), max(int(rounded.max()), 0)
    grown = fixed_of_range(low, high, scale.factor_type.frac)  # 2047 becomes 2048
    return replace(scale, factor=pack_weights(rounded), factor_type=grown)


def _real_factor(scale: Scale) -> Reals:
    return np.ldexp(scale.factor.astype(np.float64), -scale.factor_type.frac)


def _real_bias(op: Dense | Conv | Scale) -> Reals:
    return np.ldexp(op.bias.astype(np.float64), -op.type.frac)


def _with_layer(
    program: Program, layer: Dense | Conv, weight: Reals, bias: Reals, name: str, removed: set[str]
) -> Program:
    """The Program with a layer of real weights, rounded to 8 bits for each channel, under a name,
    in the place of the last of the ops that are gone."""
    raw, fracs = _rounded_channels(weight)
    finest = int(fracs.max())
    spread = finest - fracs
    x_frac = program.type(layer.x).frac
    frac = x_frac + finest
    bias_integers = np.rint(np.ldexp(bias, x_frac + fracs)).astype(np.int64) << spread
    wide = raw << spread
    widened = replace(
        layer,
        name=name,
        type=provisional(frac),
        weight=pack_weights(wide),
        weight_type=fixed_of_range(min(int(wide.min()), 0), max(int(wide.max()), 0), finest),
        bias=pack_weights(bias_integers),
    )
    ops: list[Op] = []
    for op in program.ops:
        if op.name == name:
            ops.append(widened)
        elif op.name not in removed:
            ops.append(op)
    return _keep_signs(replace(program, ops=tuple(ops)), name, program[name].type.frac - frac)


def _keep_signs(program: Program, layer: str, coarser: int) -> Program:
    """The sign of a layer's sum is its smallest step below zero, times what makes that whole: where
    the step has grown, the factor shrinks."""
    frac = program.type(layer).frac
    signs = {
        op.name: replace(op, type=fixed_of_range(*STEP, frac))
        for op in program.ops
        if isinstance(op, Clip) and op.x == layer and (op.low, op.high) == STEP
    }
    ops: list[Op] = []
    for op in program.ops:
        if isinstance(op, Scale) and op.x in signs:
            type_ = op.factor_type
            op = replace(op, factor_type=replace(type_, integer=type_.integer - coarser))
        ops.append(signs.get(op.name, op))
    return replace(program, ops=tuple(ops))


def _rounded_channels(weight: Reals) -> tuple[Ints, Ints]:
    """Real weights as 8-bit integers, and the fractional bits of each channel."""
    inner = tuple(range(weight.ndim - 1))
    largest = np.abs(weight).max(axis=inner, initial=0.0)
    fracs = np.floor(np.log2(MOST_WEIGHT / np.where(largest > 0, largest, 1.0))).astype(np.int64)
    raw: Ints = np.rint(np.ldexp(weight, fracs)).astype(np.int64)
    return raw, fracs


def _is_wide(op: Dense | Conv) -> bool:
    return by_channel(op.weight, op.weight_type.frac) is None
