# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where elements go when nothing is computed: the same for a Graph's node and for a Program's op.

A move says where elements go by doing it to an array; its places, and its shape, follow from that.
Nodes and ops that move elements inherit from one of these, so that each move is written once; the
Graph's node stands beside its move. The Program's op of a node is the one with the same move.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]  # (before, after) for each axis


class Move:
    """Elements of one array at other places, some perhaps more than once or not at all."""

    __slots__ = ()
    may_fill: ClassVar[bool] = False  # whether an element may come from nowhere

    @abstractmethod
    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        """An array of the operand's shape as the result has it; `fill` where nothing comes from."""

    def shape_of(self, x: Shape) -> Shape:
        """The result's shape; ValueError where the move does not fit such an operand."""
        return self.move(np.empty(x, np.bool_), 0).shape

    def fills(self, x: Shape) -> bool:
        """Whether some element of the result comes from nowhere."""
        return self.may_fill and bool((self.sources(x) < 0).any())

    def sources(self, x: Shape) -> NDArray[np.int64]:
        """For every element of the result, row-major, its place in the operand; -1: nowhere."""
        places = np.arange(math.prod(x), dtype=np.int64).reshape(x)
        return np.ascontiguousarray(self.move(places, -1)).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class MoveNode(Move):
    """Elements of one tensor at other places."""

    name: str
    x: str

    @property
    def fill(self) -> float:
        """The number where nothing comes from."""
        return 0.0


class Reshaping(Move):
    """The same elements, row-major, in another shape."""

    __slots__ = ()
    shape: Shape

    def shape_of(self, x: Shape) -> Shape:
        if math.prod(self.shape) != math.prod(x):
            raise ValueError(f"{x} cannot be reshaped to {self.shape}")
        return self.shape

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        return x.reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class ReshapeNode(MoveNode, Reshaping):
    """Row-major reinterpretation of the elements."""

    shape: Shape


class Transposition(Move):
    """Axes in another order."""

    __slots__ = ()
    order: Shape

    def shape_of(self, x: Shape) -> Shape:
        if sorted(self.order) != list(range(len(x))):
            raise ValueError(f"{self.order} is not an order of the axes of {x}")
        return tuple(x[axis] for axis in self.order)

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        return x.transpose(self.order)


@dataclass(frozen=True, slots=True, eq=False)
class TransposeNode(MoveNode, Transposition):
    """Axes in a new order (counted without the batch)."""

    order: Shape


class Padding(Move):
    """A constant around the array: (before, after) for every axis."""

    __slots__ = ()
    may_fill: ClassVar[bool] = True
    pads: Pads

    def shape_of(self, x: Shape) -> Shape:
        sizes = zip(x, self.pads, strict=True)
        return tuple(size + before + after for size, (before, after) in sizes)

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        return np.pad(x, self.pads, constant_values=fill)


@dataclass(frozen=True, slots=True, eq=False)
class PadNode(MoveNode, Padding):
    """A constant around the tensor: (before, after) for every axis."""

    pads: Pads
    value: float = 0.0

    @property
    def fill(self) -> float:
        return self.value


class Repetition(Move):
    """Each element repeated: one factor for every axis but the last."""

    __slots__ = ()
    factors: Shape

    def shape_of(self, x: Shape) -> Shape:
        return (*(s * f for s, f in zip(x[:-1], self.factors, strict=True)), x[-1])

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        for axis, factor in enumerate(self.factors):
            x = np.repeat(x, factor, axis=axis)
        return x


@dataclass(frozen=True, slots=True, eq=False)
class UpsampleNode(MoveNode, Repetition):
    """Nearest-neighbour repetition: one integer factor for every spatial axis."""

    factors: Shape


class Slicing(Move):
    """start <= index < stop with a step >= 1, for every axis."""

    __slots__ = ()
    starts: Shape
    stops: Shape
    steps: Shape

    def shape_of(self, x: Shape) -> Shape:
        if len(self.starts) != len(x):
            raise ValueError(f"a slice of {len(self.starts)} axes does not fit {x}")
        if any(stop > size for stop, size in zip(self.stops, x, strict=True)):
            raise ValueError(f"a slice up to {self.stops} does not fit {x}")
        if min((*self.starts, 0)) < 0 or min((*self.steps, 1)) < 1:
            raise ValueError(f"a slice from {self.starts} in steps of {self.steps} is none")
        bounds = zip(self.starts, self.stops, self.steps, strict=True)
        return tuple(len(range(start, stop, step)) for start, stop, step in bounds)

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        bounds = zip(self.starts, self.stops, self.steps, strict=True)
        return x[tuple(slice(*bound) for bound in bounds)]


def bounds_along(
    shape: Shape, axis: int, start: int, stop: int, step: int = 1
) -> tuple[Shape, Shape, Shape]:
    """Starts, stops and steps of a slice that cuts one axis and takes all of the others."""
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return tuple(starts), tuple(stops), tuple(steps)


@dataclass(frozen=True, slots=True, eq=False)
class SliceNode(MoveNode, Slicing):
    """start <= index < stop with a step, for every axis."""

    starts: Shape
    stops: Shape
    steps: Shape


class Reversal(Move):
    """Some axes the other way round."""

    __slots__ = ()
    axes: Shape

    def shape_of(self, x: Shape) -> Shape:
        if any(not 0 <= axis < len(x) for axis in self.axes):
            raise ValueError(f"{x} has no axes {self.axes}")
        return x

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        return np.flip(x, self.axes)


@dataclass(frozen=True, slots=True, eq=False)
class FlipNode(MoveNode, Reversal):
    """Some axes the other way round (counted without the batch)."""

    axes: Shape


class Gathering(Move):
    """Entries of one axis by their indices, in any order, some perhaps more than once."""

    __slots__ = ()
    axis: int
    indices: Shape

    def shape_of(self, x: Shape) -> Shape:
        if not 0 <= self.axis < len(x):
            raise ValueError(f"{x} has no axis {self.axis}")
        wrong = [index for index in self.indices if not 0 <= index < x[self.axis]]
        if wrong or not self.indices:
            raise ValueError(f"axis {self.axis} of {x} has no entries {wrong}")
        return (*x[: self.axis], len(self.indices), *x[self.axis + 1 :])

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        return x.take(self.indices, self.axis)


@dataclass(frozen=True, slots=True, eq=False)
class GatherNode(MoveNode, Gathering):
    """Entries of one axis by their indices (the axis counted without the batch)."""

    axis: int
    indices: Shape
