# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a Program means: every op in NumPy int64, obviously right, slow. The living definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, ProgramError
from edgeinfer.ir import ops
from edgeinfer.ir.program import Program, body_of
from quantization.fixed import Fixed, Ints, requantize
from quantization.ranges import describe_outlier, find_outlier

Values = dict[str, Ints]


def interpret(program: Program, inputs: Mapping[str, Ints]) -> Values:
    """Every value of the Program, raw, for a batch of raw inputs."""
    checked = checked_inputs(program, inputs)
    batch = len(next(iter(checked.values())))
    types = {op.name: op.type for op in program.ops}
    values: Values = dict(checked)
    for op in program.ops:
        if isinstance(op, ops.Constant):
            stored = op.value.astype(np.int64)
            values[op.name] = np.broadcast_to(stored, (batch, *stored.shape))
        else:
            values[op.name] = np.ascontiguousarray(_evaluate(op, values, types), dtype=np.int64)
    return values


def results(program: Program, values: Mapping[str, Ints]) -> Values:
    """The outputs among a Program's values, by the names users know."""
    return {output.name: values[output.value] for output in program.outputs}


def checked_inputs(program: Program, inputs: Mapping[str, Ints]) -> Values:
    """Raw inputs as int64, refused unless they fit the Program."""
    fitting = fitting_inputs(program, inputs)
    return {name: raw.astype(np.int64, copy=False) for name, raw in fitting.items()}


def fitting_inputs(program: Program, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Raw inputs as they are, refused unless names, shapes, batches and ranges fit the Program."""
    ops_by_name = {op.name: op for op in program.inputs}
    if not ops_by_name:
        raise ProgramError(f"{program.name} has no inputs, and so no number of samples.")
    if set(inputs) != set(ops_by_name):
        raise InputError(
            f"{program.name} reads the inputs {', '.join(sorted(ops_by_name))}, "
            f"but {', '.join(sorted(inputs)) or 'nothing'} was given."
        )
    raws: dict[str, NDArray[Any]] = {}
    for name, op in ops_by_name.items():
        raw = np.asarray(inputs[name])
        if raw.dtype.kind not in "iu":
            raise InputError(f"The input {name} must be raw integers, not {raw.dtype}.")
        if raw.shape[1:] != op.shape or raw.ndim != len(op.shape) + 1:
            raise InputError(f"The input {name} has shape {raw.shape}, not (batch, *{op.shape}).")
        outlier = find_outlier(raw, op.type)
        if outlier is not None:
            raise InputError(describe_outlier(f"The input {name}", outlier, op.type))
        raws[name] = raw
    if len({len(raw) for raw in raws.values()}) != 1:
        raise InputError("The inputs differ in their number of samples.")
    return raws


def interpret_constant(op: ops.Op, constants: Mapping[str, ops.Constant]) -> Ints:
    """The one value of an op that reads nothing but constants."""
    values = {name: constant.value.astype(np.int64)[None] for name, constant in constants.items()}
    types = {name: constant.type for name, constant in constants.items()}
    value: Ints = _evaluate(op, values, types)[0]
    return value


def _evaluate(op: ops.Op, values: Mapping[str, Ints], types: Mapping[str, Fixed]) -> Ints:
    def frac(name: str) -> int:
        return types[name].frac

    match op:
        case ops.Input() | ops.Constant():
            return values[op.name]
        case ops.Conv():
            shift = op.shift(frac(op.x))
            return (_conv(values[op.x], op) << shift) + op.bias.astype(np.int64)
        case ops.Dense():
            shift = op.shift(frac(op.x))
            product = values[op.x] @ op.weight.astype(np.int64)
            return (product << shift) + op.bias.astype(np.int64)
        case ops.Scale():
            shift = op.shift(frac(op.x))
            product = values[op.x] * op.factor.astype(np.int64)
            return (product << shift) + op.bias.astype(np.int64)
        case ops.Requant():
            return requantize(values[op.x], frac(op.x), op.quantizer)
        case ops.Clip():
            return np.clip(values[op.x], op.low, op.high) if _is_bounded(op) else values[op.x]
        case ops.PRelu():
            x = values[op.x]
            return np.where(x >= 0, x << op.slope_type.frac, x * op.slope.astype(np.int64))
        case ops.Table():
            return op.entries.astype(np.int64)[values[op.x] - op.first]
        case ops.Softmax():
            return _softmax(values[op.x], op)
        case ops.Pool():
            return _pool(values[op.x], op)
        case ops.Sites():
            return _sites(values[op.x], op)
        case ops.Pair():
            return _pair(op, values[op.a], frac(op.a), values[op.b], frac(op.b))
        case ops.Concat():
            parts = [values[x] << (op.type.frac - frac(x)) for x in op.xs]
            return np.concatenate(parts, axis=op.axis + 1)
        case ops.Scan():
            return _scan(op, values)
        case ops.Moves():
            return _move_elements(op, values[op.x])
        case _:
            assert_never(op)


def _scan(op: ops.Scan, values: Mapping[str, Ints]) -> Ints:
    """The body, step by step, each with the states that the one before it has left."""
    names = [port.name for port in body_of(op).inputs]
    states = [values[start] for start in op.starts]
    yielded: list[Ints] = []
    for step in range(values[op.xs[0]].shape[1]):
        read = [*(values[x][:, step] for x in op.xs), *states]
        values_by_name = interpret(body_of(op), dict(zip(names, read, strict=True)))
        y, *states = [values_by_name[output.value] for output in body_of(op).outputs]
        yielded.append(y)
    return np.stack(yielded, axis=1) if op.stacked else yielded[-1]


def _move_elements(op: ops.Moves, x: Ints) -> Ints:
    """Every element from its place in the operand, or the fill."""
    shape = x.shape[1:]
    flat = np.append(x.reshape(len(x), -1), np.full((len(x), 1), op.fill, np.int64), axis=1)
    return flat[:, op.sources(shape)].reshape(-1, *op.shape_of(shape))


def _is_bounded(op: ops.Clip) -> bool:
    return op.low is not None or op.high is not None


def windows(
    x: Ints, window: ops.Shape, strides: ops.Shape, pads: ops.Pads, dilation: ops.Shape, fill: int
) -> Ints:
    """All positions of a window: (batch, *positions, channels, *window)."""
    rank = len(window)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    reach = tuple((width - 1) * step + 1 for width, step in zip(window, dilation, strict=True))
    axes = tuple(range(1, rank + 1))
    view = sliding_window_view(padded, reach, axis=axes)
    positions = tuple(slice(None, None, step) for step in strides)
    taps = tuple(slice(None, None, step) for step in dilation)
    result: Ints = view[(slice(None), *positions, slice(None), *taps)]
    return result


def _conv(x: Ints, op: ops.Conv) -> Ints:
    rank = len(op.strides)
    window = op.window
    windows_of_x = windows(x, window, op.strides, op.pads, op.dilation, fill=0)
    windows_of_x = np.moveaxis(windows_of_x, rank + 1, -1)  # (batch, *positions, *window, channels)
    weight = op.weight.astype(np.int64)
    per_group_in, per_group_out = weight.shape[-2], weight.shape[-1] // op.groups
    parts = []
    for group in range(op.groups):
        taps = windows_of_x[..., group * per_group_in : (group + 1) * per_group_in]
        columns = weight[..., group * per_group_out : (group + 1) * per_group_out]
        flat = taps.reshape(*taps.shape[: rank + 1], -1)
        parts.append(flat @ columns.reshape(-1, per_group_out))
    return np.concatenate(parts, axis=-1)


def _pool(x: Ints, op: ops.Pool) -> Ints:
    rank = len(op.window)
    reduce: Callable[..., Any]
    match op.kind:
        case ops.PoolKind.MAX:
            fill, reduce = np.iinfo(np.int64).min, np.max
        case ops.PoolKind.SUM:
            fill, reduce = 0, np.sum
        case _:
            assert_never(op.kind)
    windows_of_x = windows(x, op.window, op.strides, op.pads, (1,) * rank, fill)
    pooled: Ints = reduce(windows_of_x, axis=tuple(range(-rank, 0)))
    return pooled


def _sites(x: Ints, op: ops.Sites) -> Ints:
    lit: Ints = (x.max(axis=-1, keepdims=True) > op.threshold).astype(np.int64)
    if op.most is None:
        return lit
    number = np.cumsum(lit.reshape(len(lit), -1), axis=1).reshape(lit.shape)
    return lit * (number <= op.most)


def _pair(op: ops.Pair, a: Ints, frac_a: int, b: Ints, frac_b: int) -> Ints:
    if op.kind is ops.PairKind.MUL:
        return a * b
    a, b = a << (op.type.frac - frac_a), b << (op.type.frac - frac_b)
    match op.kind:
        case ops.PairKind.ADD:
            return a + b
        case ops.PairKind.SUB:
            return a - b
        case ops.PairKind.MAX:
            return np.maximum(a, b)
        case ops.PairKind.MIN:
            return np.minimum(a, b)
        case _:
            assert_never(op.kind)


def _softmax(x: Ints, op: ops.Softmax) -> Ints:
    axis = op.axis + 1
    below = (x.max(axis=axis, keepdims=True) - x) >> op.exp_shift
    e = op.exp.astype(np.int64)[np.minimum(below, op.exp.size - 1)]
    total = e.sum(axis=axis, keepdims=True) >> op.inverse_shift
    r = op.inverse.astype(np.int64)[np.minimum(total, op.inverse.size - 1)]
    quantizer = op.quantizer
    return requantize(e * r, op.exp_type.frac + op.inverse_type.frac, quantizer)
