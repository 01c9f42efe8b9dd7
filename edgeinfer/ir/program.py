# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Program: a flat list of ops in SSA order, the one truth about a quantized network."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import assert_never

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.nodes import count_windows, dilate_window
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Constant,
    Conv,
    Dense,
    Input,
    Moves,
    Op,
    Pair,
    Pool,
    PoolKind,
    PRelu,
    Repeatable,
    Requant,
    Scale,
    Scan,
    Shape,
    Softmax,
    Table,
    inputs_of,
)
from quantization.fixed import Fixed


class HostFunction(StrEnum):
    """What the host applies to an output to get what the float network yields."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"  # over the last axis


@dataclass(frozen=True, slots=True)
class Output:
    """A result: the name users know it by, the value that holds it, what is left to the host."""

    name: str
    value: str
    host: HostFunction = HostFunction.NONE


@dataclass(frozen=True, slots=True, eq=False)
class Program(Repeatable):
    """A quantized network in integers. No floats anywhere."""

    name: str
    ops: tuple[Op, ...]
    outputs: tuple[Output, ...]
    shapes: dict[str, Shape] = field(init=False, repr=False)
    _index: dict[str, Op] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shapes: dict[str, Shape] = {}
        index: dict[str, Op] = {}
        for op in self.ops:
            if op.name in index:
                raise ProgramError(f"{self.name}: two values are called %{op.name}.")
            for x in inputs_of(op):
                if x not in index:
                    raise ProgramError(f"{self.name}: %{op.name} reads %{x} before it is made.")
            try:
                shapes[op.name] = shape_of(op, shapes)
            except ValueError as error:
                raise ProgramError(f"{self.name}: %{op.name}: {error}.") from None
            index[op.name] = op
        for output in self.outputs:
            if output.value not in index:
                raise ProgramError(f"{self.name}: no op makes the output %{output.value}.")
        object.__setattr__(self, "shapes", shapes)
        object.__setattr__(self, "_index", index)

    def __getitem__(self, name: str) -> Op:
        return self._index[name]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The input ops, in order."""
        return tuple(op for op in self.ops if isinstance(op, Input))

    def type(self, name: str) -> Fixed:
        """A value's type."""
        return self._index[name].type

    @property
    def digest(self) -> str:
        """Content hash: equal for Programs that differ in nothing but internal names."""
        return _digest(self)

    @property
    def summary(self) -> dict[str, str | int]:
        """Its name, its size and its digest, as JSON documents show them."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "macs": self.macs,
            "program": self.digest,
        }

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(parameters_of(op) for op in self.ops)

    def all_ops(self) -> Iterator[Op]:
        """Every op, and after a recurrence those of its body."""
        for op in self.ops:
            yield op
            if isinstance(op, Scan):
                yield from body_of(op).all_ops()

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return sum(macs_of(op, self.shapes) for op in self.ops)

    def replace_op(self, op: Op) -> Program:
        """This Program with the op of the same name swapped for another."""
        return replace(self, ops=tuple(op if old.name == op.name else old for old in self.ops))


def body_of(op: Scan) -> Program:
    """The Program that a recurrence repeats."""
    assert isinstance(op.body, Program)
    return op.body


def states_of(op: Scan) -> tuple[tuple[str, Input], ...]:
    """For each state: the body's value that the next step reads, and the input that it becomes."""
    body = body_of(op)
    values = (output.value for output in body.outputs[1:])
    return tuple(zip(values, body.inputs[len(op.xs) :], strict=True))


def inputs_given(op: Scan) -> tuple[tuple[str, Input], ...]:
    """For each input of the body: the value that it is, or is a part of, in the first step."""
    return tuple(zip(inputs_of(op), body_of(op).inputs, strict=True))


def macs_of(op: Op, shapes: dict[str, Shape]) -> int:
    """Multiply-accumulates of one op for one sample."""
    match op:
        case Conv():
            positions = math.prod(shapes[op.name][:-1])
            return positions * op.weight.size
        case Dense():
            return math.prod(shapes[op.name][:-1]) * op.weight.size
        case Scale() | PRelu():
            return math.prod(shapes[op.name])
        case Scan():
            return shapes[op.xs[0]][0] * body_of(op).macs
        case Input() | Constant() | Requant() | Clip() | Table() | Softmax() | Pool():
            return 0
        case Pair() | Concat() | Moves():
            return 0
        case _:
            assert_never(op)


def parameters_of(op: Op) -> int:
    """Number of weights and biases that an op holds."""
    match op:
        case Conv() | Dense():
            return op.weight.size + op.bias.size
        case Scale():
            return op.factor.size + op.bias.size
        case PRelu():
            return op.slope.size
        case Constant():
            return op.value.size if op.value.any() else 0  # zeros take no memory
        case Scan():
            return body_of(op).parameters
        case Input() | Requant() | Clip() | Table() | Softmax() | Pool():
            return 0
        case Pair() | Concat() | Moves():
            return 0
        case _:
            assert_never(op)


def shape_of(op: Op, shapes: dict[str, Shape]) -> Shape:
    """The shape of an op's value; ValueError where the op does not fit what it reads."""
    match op:
        case Input():
            return op.shape
        case Constant():
            return op.value.shape
        case Conv():
            return _conv_shape(op, shapes[op.x])
        case Dense():
            x = shapes[op.x]
            if not x or op.weight.ndim != 2 or x[-1] != op.weight.shape[0]:
                raise ValueError(f"weights of {op.weight.shape} do not fit a value of {x}")
            _check_bias(op.bias.shape, op.weight.shape[1])
            return (*x[:-1], op.weight.shape[1])
        case Scale():
            return _broadcast(shapes[op.x], op.factor.shape, op.bias.shape)
        case PRelu():
            return _broadcast(shapes[op.x], op.slope.shape)
        case Requant() | Clip() | Table() | Softmax():
            return shapes[op.x]
        case Pool():
            x = shapes[op.x]
            widths = zip(op.pads, op.window, strict=True)
            hollow = any(max(pad) >= width for pad, width in widths)
            if hollow and op.kind is PoolKind.MAX:
                raise ValueError(f"a window of {op.window} may lie wholly in padding of {op.pads}")
            return (*count_windows(x[:-1], op.window, op.strides, op.pads), x[-1])
        case Pair():
            if len(shapes[op.a]) != len(shapes[op.b]):
                raise ValueError(
                    f"{shapes[op.a]} and {shapes[op.b]} differ in their number of axes"
                )
            return np.broadcast_shapes(shapes[op.a], shapes[op.b])
        case Concat():
            parts, axis = [shapes[x] for x in op.xs], op.axis
            if not 0 <= axis < len(parts[0]):
                raise ValueError(f"there is no axis {axis} in {parts[0]}")
            if len({(part[:axis], part[axis + 1 :]) for part in parts}) != 1:
                raise ValueError(f"{parts} cannot be joined along axis {axis}")
            return (*parts[0][:axis], sum(p[axis] for p in parts), *parts[0][axis + 1 :])
        case Scan():
            return _scan_shape(op, shapes)
        case Moves():
            return op.shape_of(shapes[op.x])
        case _:
            assert_never(op)


def _scan_shape(op: Scan, shapes: dict[str, Shape]) -> Shape:
    body = body_of(op)
    if len(body.inputs) != len(inputs_of(op)) or len(body.outputs) != 1 + len(op.starts):
        raise ValueError(f"a body of {len(body.inputs)} inputs does not fit {inputs_of(op)}")
    steps = {shapes[x][0] for x in op.xs if shapes[x]}
    if len(steps) != 1:
        raise ValueError(f"its sequences have {sorted(steps)} steps")
    for number, (x, given) in enumerate(inputs_given(op)):
        shape = shapes[x][1:] if number < len(op.xs) else shapes[x]
        if shape != given.shape:
            raise ValueError(f"%{x} of {shapes[x]} does not fit the body's {given.shape}")
    for value, state in states_of(op):
        if body.shapes[value] != state.shape:
            raise ValueError(f"a state of {state.shape} becomes {body.shapes[value]}")
    yielded = body.shapes[body.outputs[0].value]
    return (*steps, *yielded) if op.stacked else yielded


def _conv_shape(op: Conv, x: Shape) -> Shape:
    rank = len(op.strides)
    if op.weight.ndim != rank + 2 or len(x) != rank + 1:
        raise ValueError(f"weights of {op.weight.shape} do not fit a value of {x}")
    if x[-1] != op.weight.shape[-2] * op.groups or op.weight.shape[-1] % op.groups:
        raise ValueError(
            f"weights of {op.weight.shape} in {op.groups} groups do not fit {x[-1]} channels"
        )
    _check_bias(op.bias.shape, op.weight.shape[-1])
    reach = dilate_window(op.weight.shape[:rank], op.dilation)
    return (*count_windows(x[:-1], reach, op.strides, op.pads), op.weight.shape[-1])


def _broadcast(x: Shape, *constants: Shape) -> Shape:
    if any(len(constant) > len(x) for constant in constants):
        raise ValueError(f"constants of {constants} have more axes than a value of {x}")
    return np.broadcast_shapes(x, *constants)


def _check_bias(bias: Shape, channels: int) -> None:
    if bias != (channels,):
        raise ValueError(f"a bias of {bias} does not fit {channels} channels")


def _digest(program: Program, *, inside: bool = False) -> str:
    """Hash every field of every op; values are known by position, so that names do not matter, but
    for those of inputs and outputs, unless the Program is the body `inside` another."""
    number = {op.name: str(i) for i, op in enumerate(program.ops)}
    state = hashlib.sha256()

    def feed(item: object) -> None:
        match item:
            case np.ndarray():
                state.update(f"{item.shape}".encode())
                state.update(np.ascontiguousarray(item, dtype="<i8").tobytes())
            case Program():
                state.update(_digest(item, inside=True).encode())
            case _:  # numbers, names and types read the same on every machine
                state.update(f"{item}".encode())
        state.update(b";")

    for op in program.ops:
        feed(type(op).__name__)
        for spec in fields(op):
            item = getattr(op, spec.name)
            if "operand" in spec.metadata:
                item = number[item] if isinstance(item, str) else tuple(number[x] for x in item)
            elif spec.name == "name":
                item = op.name if isinstance(op, Input) and not inside else ""
            feed(item)
    for output in program.outputs:
        feed(("" if inside else output.name, number[output.value], output.host))
    return state.hexdigest()
