# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The ops of a Program. Each makes one value: raw integers of a shape and a fixed-point type.

Ops are grouped by what they do (`bases.py`): those that inherit from `Moves` only bring elements to
other places, so a backend that has a gather has all of them. Fields are marked with what they are,
so that nothing needs to know an op to find what it reads and what it holds.

Two rules hold for all of them. Arithmetic is exact: a result is never rounded and never overflows,
for its type is wide enough by proof. Only `Requant` (and the last step of `Softmax`) rounds, and it
says how. Shapes leave out the batch; images are channels last.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import moves
from edgeinfer.graph.windows import dilate_window
from edgeinfer.ir.bases import (
    OPERAND,
    PARAMETER,
    Accumulates,
    Elementwise,
    Grid,
    NamedValue,
    Rounds,
    SlidingWindow,
    stored_in_type,
    weights_of_type,
)
from edgeinfer.ir.bases import Moves as Moves
from edgeinfer.ir.bases import Weights as Weights
from edgeinfer.ir.bases import inputs_of as inputs_of
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

Shape = moves.Shape
Pads = moves.Pads


class PoolKind(StrEnum):
    """What a window yields. A sum counts padding as zero; a maximum leaves padding out."""

    MAX = "max"
    SUM = "sum"


class PairKind(StrEnum):
    """Operations on two tensors, brought to the finer of their two grids first (MUL excepted)."""

    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True, eq=False)
class Input(NamedValue):
    """Raw integers from outside, which fit the type; or a state: what an output was before."""

    shape: Shape
    output_before: str | None = None

    def shape_of(self) -> Shape:
        """The shape that is given."""
        return self.shape


@dataclass(frozen=True, slots=True, eq=False)
class Constant(NamedValue):
    """Raw integers that depend on no input."""

    value: Weights = field(metadata=PARAMETER)

    @property
    def parameters(self) -> int:
        return self.value.size if self.value.any() else 0  # zeros take no memory

    def shape_of(self) -> Shape:
        """The shape of what it holds."""
        return self.value.shape


@dataclass(frozen=True, slots=True, eq=False)
class Conv(Accumulates, SlidingWindow):
    """Sums over a window; the padding of x is zero.

    weight: (*window, channels in / groups, channels out).
    """

    strides: Shape
    pads: Pads
    dilation: Shape
    groups: int = 1

    @property
    def window(self) -> Shape:
        """Elements that are read along each axis."""
        return self.weight.shape[: len(self.strides)]

    @property
    def reach(self) -> Shape:
        return dilate_window(self.window, self.dilation)

    def shape_of(self, x: Shape) -> Shape:
        """The result's shape."""
        weight, rank = self.weight.shape, len(self.strides)
        if len(weight) != rank + 2 or len(x) != rank + 1:
            raise ValueError(f"weights of {weight} do not fit a value of {x}")
        if x[-1] != weight[-2] * self.groups or weight[-1] % self.groups:
            raise ValueError(
                f"weights of {weight} in {self.groups} groups do not fit {x[-1]} channels"
            )
        self.check_bias()
        return (*self.positions(x), weight[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Accumulates):
    """Sums over the last axis; weight: (in, out)."""

    def shape_of(self, x: Shape) -> Shape:
        """The result's shape."""
        if not x or self.weight.ndim != 2 or x[-1] != self.weight.shape[0]:
            raise ValueError(f"weights of {self.weight.shape} do not fit a value of {x}")
        self.check_bias()
        return (*x[:-1], self.weight.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Scale(Elementwise):
    """y = (x factor) 2^shift + bias, element by element; factor and bias broadcast against x.

    The fixed-point multiplier: batch norms that are not folded, scales that are no powers of two
    (a `Requant` follows where the product is to be rounded). The bias is on y's grid.
    """

    x: str = field(metadata=OPERAND)
    factor: Weights = field(metadata=weights_of_type("factors", "factor_type"))
    factor_type: Fixed
    bias: Weights = field(metadata=PARAMETER)

    def grid(self, *fracs: int) -> Grid:
        return fracs[0] + self.factor_type.frac, None

    def shift(self, x_frac: int) -> int:
        """By how much finer the result's grid is than the products'."""
        return self.type.frac - x_frac - self.factor_type.frac

    def macs(self, shape: Shape, *reads: Shape) -> int:
        del reads
        return math.prod(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Requant(Rounds):
    """x brought to another type: rounded to its grid, then wrapped or saturated to its range."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip(Elementwise):
    """low <= y <= high, both raw on x's grid; None leaves that side open. ReLU is low = 0."""

    x: str = field(metadata=OPERAND)
    low: int | None
    high: int | None

    def grid(self, *fracs: int) -> Grid:
        return fracs[0], fracs[0]


@dataclass(frozen=True, slots=True, eq=False)
class PRelu(Elementwise):
    """y = x where x >= 0, else x slope (which broadcasts); y.frac = x.frac + slope.frac."""

    x: str = field(metadata=OPERAND)
    slope: Weights = field(metadata=weights_of_type("slopes", "slope_type"))
    slope_type: Fixed

    def grid(self, *fracs: int) -> Grid:
        frac = fracs[0] + self.slope_type.frac
        return frac, frac

    def macs(self, shape: Shape, *reads: Shape) -> int:
        del reads
        return math.prod(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Table(Elementwise):
    """y = entries[x - first]: a look-up whose index is proved to stay inside the table."""

    x: str = field(metadata=OPERAND)
    first: int
    entries: Weights = field(metadata=stored_in_type("entries", "type"))


@dataclass(frozen=True, slots=True, eq=False)
class Softmax(NamedValue):
    """Softmax over one axis through two tables, in integers throughout.

    d = max(x) - x;  e = exp[min(d >> exp_shift, last)];  s = sum of e;
    r = inverse[min(s >> inverse_shift, last)];  y = e r, rounded and brought to the type's range.
    `exp_type` and `inverse_type` say what the entries stand for.
    """

    x: str = field(metadata=OPERAND)
    axis: int
    exp: Weights = field(metadata=stored_in_type("exponentials", "exp_type"))
    exp_type: Fixed
    exp_shift: int
    inverse: Weights = field(metadata=stored_in_type("inverses", "inverse_type"))
    inverse_type: Fixed
    inverse_shift: int
    rounding: Rounding
    overflow: Overflow

    @property
    def quantizer(self) -> Quantizer:
        """How the product at its end is rounded."""
        return Quantizer(self.type, self.rounding, self.overflow)

    def shape_of(self, x: Shape) -> Shape:
        """The operand's shape."""
        return x


@dataclass(frozen=True, slots=True, eq=False)
class Pool(NamedValue, SlidingWindow):
    """Maximum or sum over a window of the spatial axes."""

    x: str = field(metadata=OPERAND)
    kind: PoolKind
    window: Shape
    strides: Shape
    pads: Pads

    @property
    def reach(self) -> Shape:
        return self.window

    def grid(self, *fracs: int) -> Grid:
        return fracs[0], fracs[0]

    def shape_of(self, x: Shape) -> Shape:
        """The result's shape."""
        widths = zip(self.pads, self.window, strict=True)
        if self.kind is PoolKind.MAX and any(max(pad) >= width for pad, width in widths):
            raise ValueError(f"a window of {self.window} may lie wholly in padding of {self.pads}")
        return (*self.positions(x), x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Sites(NamedValue):
    """1 where a pixel is lit, which some channel above the threshold makes it; else 0.

    Of the lit pixels of an image, row by row, the first `most` stay (None: all of them).
    """

    x: str = field(metadata=OPERAND)
    threshold: int  # raw, on x's grid
    most: int | None

    def grid(self, *fracs: int) -> Grid:
        del fracs
        return 0, 0

    def shape_of(self, x: Shape) -> Shape:
        """One channel for every pixel."""
        if len(x) < 2:
            raise ValueError(f"a value of {x} has no pixels")
        if self.most is not None and self.most < 1:
            raise ValueError(f"at most {self.most} sites hold nothing")
        return (*x[:-1], 1)


@dataclass(frozen=True, slots=True, eq=False)
class Pair(Elementwise):
    """Two tensors of one shape (or that broadcast), element by element."""

    a: str = field(metadata=OPERAND)
    b: str = field(metadata=OPERAND)
    kind: PairKind

    def grid(self, *fracs: int) -> Grid:
        if self.kind is PairKind.MUL:
            return sum(fracs), sum(fracs)
        return max(fracs), None


@dataclass(frozen=True, slots=True, eq=False)
class Concat(NamedValue):
    """Tensors side by side along an axis, on the finest of their grids."""

    xs: tuple[str, ...] = field(metadata=OPERAND)
    axis: int

    def grid(self, *fracs: int) -> Grid:
        return max(fracs), None

    def shape_of(self, *parts: Shape) -> Shape:
        """The result's shape."""
        axis = self.axis
        if not 0 <= axis < len(parts[0]):
            raise ValueError(f"there is no axis {axis} in {parts[0]}")
        if len({(part[:axis], part[axis + 1 :]) for part in parts}) != 1:
            raise ValueError(f"{parts} cannot be joined along axis {axis}")
        return (*parts[0][:axis], sum(p[axis] for p in parts), *parts[0][axis + 1 :])


class Repeatable:
    """What a recurrence repeats: a Program, which consists of ops; see `program.body_of`."""

    __slots__ = ()

    @property
    @abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of one step."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of weights and biases."""

    @property
    @abstractmethod
    def yielded_type(self) -> Fixed:
        """The type of what a step yields."""

    @abstractmethod
    def shape_of_step(self, entries: Sequence[Shape], starts: Sequence[Shape]) -> Shape:
        """The shape of what a step yields; ValueError where the body does not fit its operands."""


@dataclass(frozen=True, slots=True, eq=False)
class Scan(NamedValue):
    """A recurrence: a body that runs once for each entry along the first axis of its sequences.

    The body's inputs are one entry of each of `xs`, then the states; its outputs are what a step
    yields, then the states that the next step reads. `starts` are the states of the first step.
    y holds what all steps yield along a new first axis (`stacked`), or what the last one yields.
    """

    xs: tuple[str, ...] = field(metadata=OPERAND)
    starts: tuple[str, ...] = field(metadata=OPERAND)
    body: Repeatable
    stacked: bool

    @property
    def parameters(self) -> int:
        return self.body.parameters

    def grid(self, *fracs: int) -> Grid:
        del fracs
        return self.body.yielded_type.frac, self.body.yielded_type.frac

    def macs(self, shape: Shape, *reads: Shape) -> int:
        del shape
        return reads[0][0] * self.body.macs

    def shape_of(self, *shapes: Shape) -> Shape:
        """The result's shape."""
        count = len(self.xs)
        steps = {shape[0] for shape in shapes[:count] if shape}
        if len(steps) != 1:
            raise ValueError(f"its sequences have {sorted(steps)} steps")
        entries = [shape[1:] for shape in shapes[:count]]
        yielded = self.body.shape_of_step(entries, shapes[count:])
        return (*steps, *yielded) if self.stacked else yielded


@dataclass(frozen=True, slots=True, eq=False)
class Reshape(Moves, moves.Reshaping):
    """The same integers, row-major, in another shape."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Transpose(Moves, moves.Transposition):
    """Axes in another order."""

    order: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Pad(Moves, moves.Padding):
    """A constant raw integer around the tensor: (before, after) for every axis."""

    pads: Pads
    value: int

    @property
    def fill(self) -> int:
        return self.value


@dataclass(frozen=True, slots=True, eq=False)
class Upsample(Moves, moves.Repetition):
    """Each element repeated: one factor for every spatial axis."""

    factors: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Slice(Moves, moves.Slicing):
    """start <= index < stop with a step >= 1, for every axis."""

    starts: Shape
    stops: Shape
    steps: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Flip(Moves, moves.Reversal):
    """Some axes the other way round."""

    axes: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Gather(Moves, moves.Gathering):
    """Entries of one axis by their indices."""

    axis: int
    indices: Shape


Op = (
    Input
    | Constant
    | Conv
    | Dense
    | Scale
    | Requant
    | Clip
    | PRelu
    | Table
    | Softmax
    | Pool
    | Sites
    | Pair
    | Concat
    | Scan
    | Moves
)
KINDS: tuple[type[Op], ...] = (  # every op that a Program may hold, each move for itself
    *get_args(Op)[:-1],
    *(Reshape, Transpose, Pad, Upsample, Slice, Flip, Gather),
)


def shape_of(op: Op, shapes: Mapping[str, Shape]) -> Shape:
    """The shape of an op's value; ValueError where the op does not fit what it reads."""
    return op.shape_of(*(shapes[x] for x in inputs_of(op)))


def macs_of(op: Op, shapes: Mapping[str, Shape]) -> int:
    """Multiply-accumulates with weights of one op for one sample."""
    return op.macs(shapes[op.name], *(shapes[x] for x in inputs_of(op)))


def pack_weights(raw: NDArray[np.int64]) -> Weights:
    """The same integers in the narrowest NumPy type that holds them."""
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    kinds = ("i1", "i2", "i4", "i8") if low < 0 else ("u1", "u2", "u4", "i8")
    for kind in kinds[:-1]:
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return np.asarray(raw, kind)
    return np.asarray(raw, kinds[-1])
