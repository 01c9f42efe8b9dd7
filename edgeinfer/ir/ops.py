# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The ops of a Program. Each makes one value: raw integers of a shape and a fixed-point type.

Ops are grouped by what they do: those that inherit from `Moves` only bring elements to other
places, so a backend that has a gather has all of them. Operands are marked in the fields, so that
nothing needs to know an op to find what it reads.

Two rules hold for all of them. Arithmetic is exact: a result is never rounded and never overflows,
for its type is wide enough by proof. Only `Requant` (and the last step of `Softmax`) rounds, and it
says how. Shapes leave out the batch; images are channels last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import moves
from edgeinfer.graph.moves import Move
from quantization.fixed import Fixed, Overflow, Rounding

Shape = moves.Shape
Pads = moves.Pads
Weights = NDArray[np.signedinteger] | NDArray[np.unsignedinteger]


OPERAND = {"operand": True}  # the metadata of a field that names the value, or values, to read


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
class Input:
    """Raw integers from outside, all of which fit the type."""

    name: str
    type: Fixed
    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Raw integers that depend on no input."""

    name: str
    type: Fixed
    value: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """y = (sum of x weight) 2^shift + bias over a window; the padding of x is zero.

    weight: (*window, channels in / groups, channels out); bias: (channels out,), on y's grid;
    shift = y.frac - x.frac - weight.frac >= 0, there for a bias finer than the products.
    """

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    weight: Weights
    weight_type: Fixed
    bias: Weights
    strides: Shape
    pads: Pads
    dilation: Shape
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """y = (x @ weight) 2^shift + bias over the last axis; weight: (in, out); shift as in Conv."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    weight: Weights
    weight_type: Fixed
    bias: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """y = (x factor) 2^shift + bias, element by element; factor and bias broadcast against x.

    The fixed-point multiplier: batch norms that are not folded, scales that are no powers of two
    (a `Requant` follows where the product is to be rounded). shift as in Conv.
    """

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    factor: Weights
    factor_type: Fixed
    bias: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Requant:
    """x brought to another type: rounded to its grid, then wrapped or saturated to its range."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    rounding: Rounding
    overflow: Overflow


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """low <= y <= high, both raw on x's grid; None leaves that side open. ReLU is low = 0."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True, eq=False)
class PRelu:
    """y = x where x >= 0, else x slope (which broadcasts); y.frac = x.frac + slope.frac."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    slope: Weights
    slope_type: Fixed


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """y = entries[x - first]: a look-up whose index is proved to stay inside the table."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    first: int
    entries: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """Softmax over one axis through two tables, in integers throughout.

    d = max(x) - x;  e = exp[min(d >> exp_shift, last)];  s = sum of e;
    r = inverse[min(s >> inverse_shift, last)];  y = e r, rounded and brought to the type's range.
    `exp_type` and `inverse_type` say what the entries stand for.
    """

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    axis: int
    exp: Weights
    exp_type: Fixed
    exp_shift: int
    inverse: Weights
    inverse_type: Fixed
    inverse_shift: int
    rounding: Rounding
    overflow: Overflow


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Maximum or sum over a window of the spatial axes."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)
    kind: PoolKind
    window: Shape
    strides: Shape
    pads: Pads


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two tensors of one shape (or that broadcast), element by element."""

    name: str
    type: Fixed
    a: str = field(metadata=OPERAND)
    b: str = field(metadata=OPERAND)
    kind: PairKind


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    """Tensors side by side along an axis, on the finest of their grids."""

    name: str
    type: Fixed
    xs: tuple[str, ...] = field(metadata=OPERAND)
    axis: int


class Repeatable:
    """What a recurrence repeats: a Program, which consists of ops; see `program.body_of`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """A recurrence: a body that runs once for each entry along the first axis of its sequences.

    The body's inputs are one entry of each of `xs`, then the states; its outputs are what a step
    yields, then the states that the next step reads. `starts` are the states of the first step.
    y holds what all steps yield along a new first axis (`stacked`), or what the last one yields.
    """

    name: str
    type: Fixed
    xs: tuple[str, ...] = field(metadata=OPERAND)
    starts: tuple[str, ...] = field(metadata=OPERAND)
    body: Repeatable
    stacked: bool


@dataclass(frozen=True, slots=True, eq=False)
class Moves(Move):
    """Elements of one value at other places; `graph.moves` says where they go."""

    name: str
    type: Fixed
    x: str = field(metadata=OPERAND)

    @property
    def fill(self) -> int:
        """The raw integer where nothing comes from."""
        return 0


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
    | Pair
    | Concat
    | Scan
    | Moves
)
KINDS: tuple[type[Op], ...] = (  # every op that a Program may hold
    Input,
    Constant,
    Conv,
    Dense,
    Scale,
    Requant,
    Clip,
    PRelu,
    Table,
    Softmax,
    Pool,
    Pair,
    Concat,
    Scan,
    Reshape,
    Transpose,
    Pad,
    Upsample,
    Slice,
    Flip,
    Gather,
)


def inputs_of(op: Op) -> tuple[str, ...]:
    """Names of the values that an op reads."""
    found: list[str] = []
    for each in fields(op):
        if "operand" in each.metadata:
            held = getattr(op, each.name)
            found += [held] if isinstance(held, str) else held
    return tuple(found)


def pack_weights(raw: NDArray[np.int64]) -> Weights:
    """The same integers in the narrowest NumPy type that holds them."""
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    kinds = ("i1", "i2", "i4", "i8") if low < 0 else ("u1", "u2", "u4", "i8")
    for kind in kinds[:-1]:
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return np.asarray(raw, kind)
    return np.asarray(raw, kinds[-1])
