# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Program: a flat list of ops in SSA order, the one truth about a quantized network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.bases import Accumulates, parameters_of, stated_fields
from edgeinfer.ir.ops import Input, Op, Repeatable, Scan, Shape, inputs_of, macs_of, shape_of
from quantization.fixed import Fixed

EXACT = ".exact"  # ends the name of a value before it is rounded


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

    @property
    def states(self) -> dict[str, str]:
        """Inputs that go from sample to sample, and the outputs that become them."""
        kept = ((op.name, op.output_before) for op in self.inputs)
        return {name: output for name, output in kept if output is not None}

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
        """Number of weights and biases; those of a layer that is called twice are one set."""
        weight_ids: set[int] = set()
        total = 0
        for op in self.ops:
            parameters = parameters_of(op) if isinstance(op, Accumulates) else []
            again = sum(weights.size for weights in parameters if id(weights) in weight_ids)
            weight_ids.update(map(id, parameters))
            total += op.parameters - again
        return total

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

    @property
    def yielded_type(self) -> Fixed:
        """The first output's type: what a step yields where this is the body of a recurrence."""
        return self.type(self.outputs[0].value)

    def shape_of_step(self, entries: Sequence[Shape], starts: Sequence[Shape]) -> Shape:
        """The shape of what a step yields; ValueError where the body does not fit its operands."""
        sources = (*entries, *starts)
        if len(self.inputs) != len(sources) or len(self.outputs) != 1 + len(starts):
            raise ValueError(f"a body of {len(self.inputs)} inputs does not fit {len(sources)}")
        for read, shape in zip(self.inputs, sources, strict=True):
            if read.shape != shape:
                raise ValueError(f"{shape} does not fit the body's %{read.name} of {read.shape}")
        for output, start in zip(self.outputs[1:], starts, strict=True):
            if self.shapes[output.value] != start:
                raise ValueError(f"a state of {start} becomes {self.shapes[output.value]}")
        return self.shapes[self.outputs[0].value]

    def replace_op(self, op: Op) -> Program:
        """This Program with the op of the same name swapped for another."""
        return replace(self, ops=tuple(op if old.name == op.name else old for old in self.ops))


def exact_name(node: str) -> str:
    """What the value that a node makes is called before it is rounded."""
    return f"{node}{EXACT}"


def node_name(value: str) -> str:
    """The node that makes a value, rounded or not."""
    return value.removesuffix(EXACT)


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
        for spec in stated_fields(op):
            item = getattr(op, spec.name)
            if "operand" in spec.metadata:
                item = number[item] if isinstance(item, str) else tuple(number[x] for x in item)
            elif spec.name == "name":
                item = op.name if isinstance(op, Input) and not inside else ""
            feed(item)
    for output in program.outputs:
        feed(("" if inside else output.name, number[output.value], output.host))
    return state.hexdigest()
