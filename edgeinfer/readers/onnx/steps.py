# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quantization grids as files state them: step, zero point, range, rounding; constants on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Floats
from edgeinfer.readers.onnx.layout import Const, Grid
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from quantization.fixed import Overflow, Rounding, fixed_of_range

MAX_WIDTH = 32
ROUNDINGS = {
    "ROUND": Rounding.RND_CONV,
    "HALF_EVEN": Rounding.RND_CONV,
    "ROUND_HALF_EVEN": Rounding.RND_CONV,
    "FLOOR": Rounding.TRN,
    "CEIL": Rounding.TRN,  # of the mirrored number
    "ROUND_TO_ZERO": Rounding.TRN_ZERO,
    "DOWN": Rounding.TRN_ZERO,
    "HALF_UP": Rounding.RND_INF,
    "HALF_DOWN": Rounding.RND_ZERO,
}


@dataclass(frozen=True, slots=True, eq=False)
class QuantizationSteps:
    """step x (q - zero), low <= q <= high; step and zero broadcast against the file's tensor."""

    step: NDArray[Any]
    zero: NDArray[Any]
    low: int
    high: int
    mode: str = "ROUND"
    bipolar: bool = False  # q is -1 or +1, the sign of x / step + zero
    rounds_first: bool = False  # before zero is added, not after

    @property
    def simplest(self) -> QuantizationSteps:
        """The same with its zero point in the range, where that rounds alike and is a type's."""
        zero = float(self.zero.reshape(-1)[0])
        if self.bipolar or (self.zero != zero).any() or zero != round(zero):
            return self
        floors = self.mode in ("FLOOR", "CEIL")
        halves = ROUNDINGS[self.mode] is Rounding.RND_CONV and zero % 2 == 0
        low, high = self.low - int(zero), self.high - int(zero)
        if not (floors or halves or self.rounds_first) or overflow_of(low, high) is None:
            return self
        return replace(self, zero=np.zeros(()), low=low, high=high)


def overflow_of(low: int, high: int) -> Overflow | None:
    """How a fixed-point type keeps numbers inside the range, if one does."""
    type_ = fixed_of_range(low, high, 0)
    if (low, high) == (type_.raw_min, type_.raw_max):
        return Overflow.SAT
    return Overflow.SAT_SYM if type_.signed and low == -high == -type_.raw_max else None


def mode_of(op: OnnxOp, default: str) -> str:
    """The rounding mode, one that has a counterpart."""
    mode = op.text("rounding_mode", default).upper()
    if mode not in ROUNDINGS:
        raise UnreadableModelError(
            f"the rounding mode {mode} has no counterpart; known are {', '.join(ROUNDINGS)}"
        )
    return mode


def range_of(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """What whole numbers of a width can be."""
    if not 1 <= bits <= MAX_WIDTH + 1:
        raise UnreadableModelError(f"a width of {bits} bits cannot be read; 1 to {MAX_WIDTH} can")
    if not signed:
        return 0, (1 << bits) - (2 if narrow else 1)
    high = (1 << (bits - 1)) - 1
    return (-high if narrow else -high - 1), high


def type_range(type_: Any) -> tuple[int, int]:
    """What an integer type holds; four-bit types are known by name."""
    name = str(type_)
    bits = name.removeprefix("u").removeprefix("int")
    if not bits.isdigit() or not name.removeprefix("u").startswith("int"):
        raise UnreadableModelError(f"numbers of type {name} are not integers")
    width = int(bits)
    return (
        (0, (1 << width) - 1) if name[0] == "u" else (-(1 << (width - 1)), (1 << (width - 1)) - 1)
    )


def const_of(whole: Floats, step: NDArray[Any], low: int, high: int) -> Const:
    """step x whole, with its grid if the numbers are whole."""
    wide = np.broadcast_to(np.asarray(step, dtype=np.float64), whole.shape)
    on_grid = bool((whole == np.round(whole)).all())
    return Const(whole * wide, Grid(whole, wide, low, high) if on_grid else None)


def quantized_constant(const: Const, steps: QuantizationSteps) -> Const:
    """A constant brought to the grid, in its own precision as QONNX does it."""
    values = np.asarray(const.value)
    if not np.isfinite(values).all():
        raise UnreadableModelError("its weights have NaN or infinity")
    exact = values.dtype if values.dtype == np.float32 else np.dtype(np.float64)
    q = values.astype(exact) / steps.step.astype(exact) + steps.zero.astype(exact)
    if steps.bipolar:
        q = np.where(q >= 0, 1.0, -1.0)
    else:
        q = _round(np.clip(q, steps.low, steps.high), steps.mode)
    whole = q.astype(np.float64) - steps.zero
    offset = int(np.floor(steps.zero.reshape(-1)[0]))
    return const_of(whole, steps.step, steps.low - offset, steps.high - offset)


def _round(values: NDArray[Any], mode: str) -> NDArray[Any]:
    """As QONNX does it, in the numbers' own precision."""
    rounded: NDArray[Any]
    match mode:
        case "FLOOR":
            rounded = np.floor(values)
        case "CEIL":
            rounded = np.ceil(values)
        case "ROUND_TO_ZERO" | "DOWN":
            rounded = np.trunc(values)
        case "HALF_UP":
            rounded = np.sign(values) * np.floor(np.abs(values) + 0.5)
        case "HALF_DOWN":
            rounded = np.sign(values) * np.ceil(np.abs(values) - 0.5)
        case _:  # "ROUND" and "HALF_EVEN"
            rounded = np.round(values)
    return rounded
