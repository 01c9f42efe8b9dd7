# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What kinds of work ops do, each stated once: what an op reads and holds, its shape, its grid.

Every op inherits from one of these bases. What is true of all ops of a kind is written here, so
that laws, costs and targets need not know each op by name. Fields say in their metadata what they
are: names of values to read (`OPERAND`), integers that the op holds (`weights_of_type`).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import Field, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.moves import Move, Pads, Shape
from edgeinfer.graph.windows import count_windows
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

Weights = NDArray[np.signedinteger] | NDArray[np.unsignedinteger]
Grid = tuple[int, int | None]  # fewest and most fractional bits of a type; None: any number above

ANY_GRID: Grid = (-(1 << 20), None)
OPERAND = {"operand": True}  # the metadata of a field that names the value, or values, to read
PARAMETER = {"parameter": True}  # of integers that count as weights, on the result's grid


def stated_fields(op: Any) -> list[Field[Any]]:
    """The fields of an op as files, digests and texts have them: without those that are None unless
    someone says otherwise, where nobody does."""
    return [s for s in fields(op) if not (s.default is None and getattr(op, s.name) is None)]


def weights_of_type(plural: str, type_field: str) -> dict[str, Any]:
    """The metadata of weights that must fit the type in another field."""
    return PARAMETER | stored_in_type(plural, type_field)


def stored_in_type(plural: str, type_field: str) -> dict[str, Any]:
    """The metadata of a table's integers, which are no weights and must fit a type."""
    return {"stored": (plural, type_field)}


@dataclass(frozen=True, slots=True, eq=False)
class NamedValue:
    """What every op is: a value with a name and a type."""

    name: str
    type: Fixed

    def grid(self, *fracs: int) -> Grid:
        """How many fractional bits the type may have, given those of what is read."""
        del fracs
        return ANY_GRID

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(parameter.size for parameter in parameters_of(self))

    def macs(self, shape: Shape, *reads: Shape) -> int:
        """Multiply-accumulates with weights, for values of these shapes: its own, then operands."""
        del shape, reads
        return 0


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise(NamedValue):
    """Each element depends on the elements at its place alone; what is smaller is repeated."""

    def shape_of(self, *shapes: Shape) -> Shape:
        """The result's shape."""
        constants = [weights.shape for weights in parameters_of(self)]
        if any(len(constant) > len(shapes[0]) for constant in constants):
            raise ValueError(f"constants of {constants} have more axes than a value of {shapes[0]}")
        if len({len(shape) for shape in shapes}) != 1:
            raise ValueError(f"{' and '.join(map(str, shapes))} differ in their number of axes")
        return np.broadcast_shapes(*shapes, *constants)


@dataclass(frozen=True, slots=True, eq=False)
class Rounds(Elementwise):
    """A value brought to another grid, and to the range of its type."""

    x: str = field(metadata=OPERAND)
    rounding: Rounding
    overflow: Overflow

    @property
    def quantizer(self) -> Quantizer:
        """How it rounds and what it does beyond its range."""
        return Quantizer(self.type, self.rounding, self.overflow)


@dataclass(frozen=True, slots=True, eq=False)
class Accumulates(NamedValue):
    """y = (sum of products with weights) 2^shift + bias; the last axis of a weight is the result's.

    bias: (channels out,), on y's grid; `shift` >= 0 is there for a bias finer than the products.
    """

    x: str = field(metadata=OPERAND)
    weight: Weights = field(metadata=weights_of_type("weights", "weight_type"))
    weight_type: Fixed
    bias: Weights = field(metadata=PARAMETER)

    def grid(self, *fracs: int) -> Grid:
        return fracs[0] + self.weight_type.frac, None

    def shift(self, x_frac: int) -> int:
        """By how much finer the result's grid is than the products'."""
        return self.type.frac - x_frac - self.weight_type.frac

    def macs(self, shape: Shape, *reads: Shape) -> int:
        del reads
        return math.prod(shape[:-1]) * self.weight.size

    def check_bias(self) -> None:
        """ValueError where the bias is not one number for each channel of the result."""
        if self.bias.shape != self.weight.shape[-1:]:
            channels = self.weight.shape[-1]
            raise ValueError(f"a bias of {self.bias.shape} does not fit {channels} channels")


class SlidingWindow:
    """Something slides a window over the spatial axes; channels come last."""

    __slots__ = ()
    strides: Shape
    pads: Pads

    @property
    @abstractmethod
    def reach(self) -> Shape:
        """How far the window reaches along each axis."""

    def positions(self, x: Shape) -> Shape:
        """How many places the window takes along each axis of such a value."""
        return count_windows(x[:-1], self.reach, self.strides, self.pads)


@dataclass(frozen=True, slots=True, eq=False)
class Moves(Move, NamedValue):
    """Elements of one value at other places; `graph.moves` says where they go."""

    x: str = field(metadata=OPERAND)

    @property
    def fill(self) -> int:
        """The raw integer where nothing comes from."""
        return 0

    def grid(self, *fracs: int) -> Grid:
        return fracs[0], fracs[0]


def inputs_of(op: NamedValue) -> tuple[str, ...]:
    """Names of the values that an op reads."""
    names: list[str] = []
    for each in fields(op):
        if "operand" in each.metadata:
            value = getattr(op, each.name)
            names += [value] if isinstance(value, str) else value
    return tuple(names)


def parameters_of(op: NamedValue) -> list[Weights]:
    """The weights and biases that an op holds."""
    return [getattr(op, each.name) for each in fields(op) if "parameter" in each.metadata]


def typed_integers_of(op: NamedValue) -> list[tuple[str, Weights, Fixed]]:
    """The integers that must fit a type: what they are, and which type."""
    marks = [
        (each.name, each.metadata["stored"]) for each in fields(op) if "stored" in each.metadata
    ]
    return [(what, getattr(op, name), getattr(op, type_)) for name, (what, type_) in marks]
