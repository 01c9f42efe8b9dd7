# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Program -> Program, meaning the same and costing less. The order is the tuple at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.bounds import bounds_of, exact_requant
from edgeinfer.ir.interpret import interpret_constant
from edgeinfer.ir.program import Program, body_of
from edgeinfer.ir.verify import verify
from quantization.fixed import Overflow, fixed_of_range
from quantization.ranges import Interval

Pass = Callable[[Program], Program]


def optimize(program: Program) -> Program:
    """All passes in order, the laws checked after each."""
    verify(program)
    for step in PASSES:
        program = step(program)
        verify(program)
    return program


def rewire_op(op: ops.Op, renamed: dict[str, str]) -> ops.Op:
    """The op, reading values by their new names."""
    if not any(x in renamed for x in ops.inputs_of(op)):
        return op
    changed: dict[str, Any] = {}
    for each in fields(op):
        if "operand" in each.metadata:
            read = getattr(op, each.name)
            one = isinstance(read, str)
            changed[each.name] = (
                renamed.get(read, read) if one else tuple(renamed.get(x, x) for x in read)
            )
    return replace(op, **changed)


def without(program: Program, renamed: dict[str, str]) -> Program:
    """The Program with values replaced by others of the same meaning; the replaced ops go."""
    new_ops = tuple(rewire_op(op, renamed) for op in program.ops if op.name not in renamed)
    outputs = tuple(replace(o, value=renamed.get(o.value, o.value)) for o in program.outputs)
    return Program(program.name, new_ops, outputs)


def fold_constants(program: Program) -> Program:
    """Ops that read nothing but constants become constants."""
    constants: dict[str, ops.Constant] = {}
    new_ops: list[ops.Op] = []
    for op in program.ops:
        reads = ops.inputs_of(op)
        if isinstance(op, ops.Constant):
            constants[op.name] = op
        elif reads and all(x in constants for x in reads):
            value = interpret_constant(op, constants)
            type_ = fixed_of_range(int(value.min()), int(value.max()), op.type.frac)
            constants[op.name] = ops.Constant(op.name, type_, ops.pack_weights(value))
            op = constants[op.name]
        new_ops.append(op)
    return replace(program, ops=tuple(new_ops))


def drop_exact_requants(program: Program) -> Program:
    """A requantisation to the same grid that changes no value is a name, not an op."""
    proved = bounds_of(program)
    renamed: dict[str, str] = {}
    for op in program.ops:
        if isinstance(op, ops.Requant):
            x = renamed.get(op.x, op.x)
            same = op.type.frac == program.type(x).frac
            if same and exact_requant(op, proved[op.x], program.type(x)):
                renamed[op.name] = x
    return without(program, renamed)


def merge_clips(program: Program) -> Program:
    """Two limits in a row become one op, if some number is within both."""
    ops_by_name: dict[str, ops.Op] = {}
    for op in program.ops:
        before = ops_by_name[op.x] if isinstance(op, ops.Clip) else None
        if isinstance(op, ops.Clip) and isinstance(before, ops.Clip):
            lows = [limit for limit in (op.low, before.low) if limit is not None]
            highs = [limit for limit in (op.high, before.high) if limit is not None]
            low, high = max(lows, default=None), min(highs, default=None)
            if low is None or high is None or low <= high:
                op = replace(op, x=before.x, low=low, high=high)
        ops_by_name[op.name] = op
    return replace(program, ops=tuple(ops_by_name.values()))


def drop_clips_before_requants(program: Program) -> Program:
    """ReLU then an unsigned, saturating requantisation: the saturation alone does both."""
    new_ops: list[ops.Op] = []
    for op in program.ops:
        if isinstance(op, ops.Requant) and not op.type.signed and _saturates(op):
            before = program[op.x]
            if isinstance(before, ops.Clip) and before.low == 0 and before.high is None:
                op = replace(op, x=before.x)
        new_ops.append(op)
    return replace(program, ops=tuple(new_ops))


def _saturates(op: ops.Requant) -> bool:
    return op.overflow in (Overflow.SAT, Overflow.SAT_SYM)


def mask_late(program: Program) -> Program:
    """A product with a mask of 0 and 1 stands behind the limits and roundings that read it alone:
    they leave zero as it is, and what they leave has fewer bits to multiply."""
    readers = Counter(x for op in program.ops for x in ops.inputs_of(op))
    kept = {output.value for output in program.outputs}
    proved = bounds_of(program)
    ops_by_name: dict[str, ops.Op] = {}
    for op in program.ops:
        ops_by_name[op.name] = op
        if not isinstance(op, ops.Requant | ops.Clip) or not _keeps_zero(op):
            continue
        masked = _masking_of(ops_by_name[op.x], program, proved)
        if masked is not None and readers[op.x] == 1 and op.x not in kept:
            del ops_by_name[op.x], ops_by_name[op.name]
            everywhere = replace(op, name=f"{op.name}.everywhere", x=masked[0])
            ops_by_name[everywhere.name] = everywhere
            ops_by_name[op.name] = ops.Pair(
                op.name, op.type, everywhere.name, masked[1], ops.PairKind.MUL
            )
    return replace(program, ops=tuple(ops_by_name.values()))


def _masking_of(
    op: ops.Op, program: Program, proved: Mapping[str, Interval]
) -> tuple[str, str] | None:
    """What a product lets through, and the mask of 0 and 1 that it multiplies it with."""
    if not isinstance(op, ops.Pair) or op.kind is not ops.PairKind.MUL:
        return None
    for x, mask in ((op.a, op.b), (op.b, op.a)):
        if mask in proved and not isinstance(program[mask], ops.Constant):
            range_ = proved[mask]
            if program.type(mask).frac == 0 and range_.bottom >= 0 and range_.top <= 1:
                return x, mask
    return None


def _keeps_zero(op: ops.Requant | ops.Clip) -> bool:
    if isinstance(op, ops.Requant):
        return True
    return (op.low is None or op.low <= 0) and (op.high is None or op.high >= 0)


def drop_idle_moves(program: Program) -> Program:
    """Reshapes, transposes and slices that move nothing go; two in a row become one."""
    renamed: dict[str, str] = {}
    ops_by_name: dict[str, ops.Op] = {}
    for original in program.ops:
        op = rewire_op(original, renamed)
        before = (
            ops_by_name.get(ops.inputs_of(op)[0])
            if isinstance(op, ops.Reshape | ops.Transpose | ops.Slice)
            else None
        )
        if isinstance(op, ops.Reshape) and isinstance(before, ops.Reshape):
            op = replace(op, x=before.x)
        elif isinstance(op, ops.Transpose) and isinstance(before, ops.Transpose):
            op = replace(op, x=before.x, order=tuple(before.order[axis] for axis in op.order))
        elif isinstance(op, ops.Slice) and isinstance(before, ops.Slice):
            op = _sliced_once(before, op)
        if isinstance(op, ops.Slice):
            op = _without_slack(op)
        if isinstance(op, ops.Transpose) and _in_order(op, program.shapes[op.x]):
            op = ops.Reshape(op.name, op.type, op.x, program.shapes[op.name])
        match op:
            case ops.Reshape() if op.shape == program.shapes[op.x]:
                renamed[op.name] = op.x
            case ops.Transpose() if op.order == tuple(range(len(op.order))):
                renamed[op.name] = op.x
            case ops.Slice() if program.shapes[op.name] == program.shapes[op.x]:
                renamed[op.name] = op.x
            case _:  # the op stays
                ops_by_name[op.name] = op
    outputs = tuple(replace(o, value=renamed.get(o.value, o.value)) for o in program.outputs)
    return Program(program.name, tuple(ops_by_name.values()), outputs)


def _in_order(op: ops.Transpose, x: ops.Shape) -> bool:
    """Whether only axes of size 1 move."""
    moving = [axis for axis in op.order if x[axis] > 1]
    return moving == sorted(moving)


def _sliced_once(inner: ops.Slice, outer: ops.Slice) -> ops.Slice:
    """What is left of what was left."""
    bounds = []
    for axis, (start, step) in enumerate(zip(inner.starts, inner.steps, strict=True)):
        first = start + outer.starts[axis] * step
        last = start + (outer.stops[axis] - 1) * step
        bounds.append((first, last + 1, step * outer.steps[axis]))
    starts, stops, steps = zip(*bounds, strict=True)
    return replace(outer, x=inner.x, starts=starts, stops=stops, steps=steps)


def _without_slack(op: ops.Slice) -> ops.Slice:
    """Stops right after the last element that is taken; a step of 1 where there is only one."""
    bounds = zip(op.starts, op.stops, op.steps, strict=True)
    taken = [range(*bound) for bound in bounds]
    return replace(
        op,
        stops=tuple(each[-1] + 1 if each else each.start for each in taken),
        steps=tuple(each.step if len(each) > 1 else 1 for each in taken),
    )


def drop_repeats(program: Program) -> Program:
    """Two ops that are alike become one."""
    renamed: dict[str, str] = {}
    names: dict[tuple[object, ...], str] = {}
    for original in program.ops:
        op = rewire_op(original, renamed)
        if not isinstance(op, ops.Input):
            key = _identity(op)
            if key in names:
                renamed[op.name] = names[key]
            else:
                names[key] = op.name
    return without(program, renamed)


def _identity(op: ops.Op) -> tuple[object, ...]:
    """All that an op is but its name."""
    values = (getattr(op, spec.name) for spec in fields(op) if spec.name != "name")
    return (
        type(op).__name__,
        *((x.shape, x.astype("<i8").tobytes()) if isinstance(x, np.ndarray) else x for x in values),
    )


def merge_pads(program: Program) -> Program:
    """Zeros around a tensor that a convolution or a sum reads become its own padding."""
    padded_ops: list[ops.Op] = []
    for op in program.ops:
        if isinstance(op, ops.Conv) or (isinstance(op, ops.Pool) and op.kind is ops.PoolKind.SUM):
            before = program[op.x]
            if isinstance(before, ops.Pad) and before.value == 0 and before.pads[-1] == (0, 0):
                both = zip(op.pads, before.pads, strict=False)
                pads = tuple((a[0] + b[0], a[1] + b[1]) for a, b in both)
                op = replace(op, x=before.x, pads=pads)
        padded_ops.append(op)
    return replace(program, ops=tuple(padded_ops))


def drop_dead(program: Program) -> Program:
    """What no output needs goes; inputs stay, for they are the interface."""
    needed = {output.value for output in program.outputs}
    for op in reversed(program.ops):
        if op.name in needed:
            needed.update(ops.inputs_of(op))
    kept = tuple(op for op in program.ops if op.name in needed or isinstance(op, ops.Input))
    return replace(program, ops=kept)


def in_order_of_use(program: Program) -> Program:
    """Inputs first, then each op right before the first that needs it, output by output: the order,
    and with it the digest, does not depend on how the file listed its layers."""
    placed: dict[str, ops.Op] = {op.name: op for op in program.inputs}
    for output in program.outputs:
        waiting = [output.value]
        while waiting:
            op = program[waiting[-1]]
            missing = [x for x in ops.inputs_of(op) if x not in placed]
            if missing:
                waiting += reversed(missing)
            else:
                placed.setdefault(waiting.pop(), op)
    return replace(program, ops=tuple(placed.values()))


def optimize_bodies(program: Program) -> Program:
    """All passes on the bodies of recurrences."""
    new_ops = tuple(
        replace(op, body=optimize(body_of(op))) if isinstance(op, ops.Scan) else op
        for op in program.ops
    )
    return replace(program, ops=new_ops)


PASSES: tuple[Pass, ...] = (
    optimize_bodies,
    fold_constants,
    drop_exact_requants,
    mask_late,  # before what looks at neighbours, too
    drop_idle_moves,  # before what looks at neighbours
    merge_clips,
    drop_clips_before_requants,
    drop_repeats,
    merge_pads,
    drop_dead,
    in_order_of_use,
)
