# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The ops of a Program. Each makes one value: raw integers of a shape and a fixed-point type.

Two rules hold for all of them. Arithmetic is exact: a result is never rounded and never overflows,
for its type is wide enough by proof. Only `Requant` (and the last step of `Softmax`) rounds, and it
says how. Shapes leave out the batch; images are channels last.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from quantization.fixed import Fixed, Overflow, Rounding

Weights = NDArray[np.signedinteger] | NDArray[np.unsignedinteger]
Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


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
    x: str
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
    x: str
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
    x: str
    factor: Weights
    factor_type: Fixed
    bias: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Requant:
    """x brought to another type: rounded to its grid, then wrapped or saturated to its range."""

    name: str
    type: Fixed
    x: str
    rounding: Rounding
    overflow: Overflow


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """low <= y <= high, both raw on x's grid; None leaves that side open. ReLU is low = 0."""

    name: str
    type: Fixed
    x: str
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True, eq=False)
class PRelu:
    """y = x where x >= 0, else x slope (which broadcasts); y.frac = x.frac + slope.frac."""

    name: str
    type: Fixed
    x: str
    slope: Weights
    slope_type: Fixed


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """y = entries[x - first]: a look-up whose index is proved to stay inside the table."""

    name: str
    type: Fixed
    x: str
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
    x: str
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
    x: str
    kind: PoolKind
    window: Shape
    strides: Shape
    pads: Pads


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two tensors of one shape (or that broadcast), element by element."""

    name: str
    type: Fixed
    a: str
    b: str
    kind: PairKind


@dataclass(frozen=True, slots=True, eq=False)
class Concat:
    """Tensors side by side along an axis, on the finest of their grids."""

    name: str
    type: Fixed
    xs: tuple[str, ...]
    axis: int


@dataclass(frozen=True, slots=True, eq=False)
class Reshape:
    """The same integers, row-major, in another shape."""

    name: str
    type: Fixed
    x: str
    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Transpose:
    """Axes in another order."""

    name: str
    type: Fixed
    x: str
    order: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Pad:
    """A constant raw integer around the tensor: (before, after) for every axis."""

    name: str
    type: Fixed
    x: str
    pads: Pads
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Upsample:
    """Each element repeated: one factor for every spatial axis."""

    name: str
    type: Fixed
    x: str
    factors: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """start <= index < stop with a step >= 1, for every axis."""

    name: str
    type: Fixed
    x: str
    starts: Shape
    stops: Shape
    steps: Shape


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
    | Reshape
    | Transpose
    | Pad
    | Upsample
    | Slice
)


def inputs_of(op: Op) -> tuple[str, ...]:
    """Names of the values that an op reads."""
    match op:
        case Input() | Constant():
            return ()
        case Pair():
            return (op.a, op.b)
        case Concat():
            return op.xs
        case _:
            return (op.x,)


def packed(raw: NDArray[np.int64]) -> Weights:
    """The same integers in the narrowest NumPy type that holds them."""
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    kinds = ("i1", "i2", "i4", "i8") if low < 0 else ("u1", "u2", "u4", "i8")
    for kind in kinds[:-1]:
        limits = np.iinfo(kind)
        if limits.min <= low and high <= limits.max:
            return np.asarray(raw, kind)
    return np.asarray(raw, kinds[-1])
