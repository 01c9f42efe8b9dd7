# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise functions in integers: exact steps where the function is piecewise linear, else
tables whose every entry is stated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.nodes import ActivationNode, Function
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.lower_tables import tabulate
from edgeinfer.ir.ops import PairKind, PRelu, Softmax, pack_weights
from quantization.calibrate import fit_quantizer
from quantization.fixed import (
    Fixed,
    FormatError,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    quantize,
    shift_left,
)

SOFTMAX_ENTRIES = 1 << 12
SLOPE_BITS = 16
SOFTMAX_REACH = 16  # so far below the largest element, an exponential is nothing in its table


def activate(
    b: ProgramBuilder,
    node: ActivationNode,
    name: str,
    x: str,
    out: Quantizer | None,
    findings: list[str],
) -> str:
    """Append an activation; the name of the value that holds it (before `out` is applied, except
    for tables, whose entries are already of that type)."""
    match node.function:
        case Function.LINEAR:
            return x
        case Function.RELU:
            return b.clip(name, x, 0, None)
        case Function.RELU6:
            fine = b.refine(f"{name}.fine", x, 0)
            return b.clip(name, fine, 0, 6 << b.frac(fine))
        case Function.LEAKY_RELU:
            return _leaky(b, name, x, node.parameters[0], findings)
        case Function.HARD_TANH:
            fine = b.refine(f"{name}.fine", x, 0)
            return b.clip(name, fine, -1 << b.frac(fine), 1 << b.frac(fine))
        case Function.SIGN:
            step = b.clip(f"{name}.step", x, -1, 0)
            return b.shifted(name, step, b.frac(step) + 1, 1, 0)
        case Function.TERNARY:
            return _ternary(b, name, x, node.parameters[0])
        case Function.HARD_SIGMOID if _representable(node.parameters):
            slope, offset = node.parameters
            power = int(math.log2(slope))
            line = b.shifted(f"{name}.line", x, power, round(math.ldexp(offset, 24)), 24)
            fine = b.refine(f"{name}.fine", line, 0)
            return b.clip(name, fine, 0, 1 << b.frac(fine))
        case _:  # what has no exact steps is a table, whatever it is
            return tabulate(b, node, name, x, out, findings)


def _representable(parameters: tuple[float, ...]) -> bool:
    """Whether slope x + offset is a shift and a short constant."""
    slope, offset = parameters
    return slope > 0 and math.frexp(slope)[0] == 0.5 and math.ldexp(offset, 24).is_integer()


def _leaky(b: ProgramBuilder, name: str, x: str, slope: float, findings: list[str]) -> str:
    quantizer = fit_quantizer([slope], SLOPE_BITS)
    raw = quantize(np.asarray(slope), quantizer)
    frac = quantizer.type.frac
    if frac < 0:
        try:
            raw, frac = shift_left(raw, -frac), 0
        except FormatError as error:
            raise ProgramError(f"{b.name}: {name}: the slope {slope:g}: {error}") from None
    while raw and not raw & 1 and frac > 0:
        raw, frac = raw >> 1, frac - 1
    exact_slope = float(raw) * 2.0**-frac
    if exact_slope != slope:
        findings.append(
            f"{name}: the slope {slope:g} is held as {exact_slope:.9g} ({SLOPE_BITS} bits)."
        )
    type_ = fixed_of_range(min(int(raw), 0), max(int(raw), 1), frac)
    op = PRelu(name, provisional(b.frac(x) + frac), x, pack_weights(np.asarray(raw)), type_)
    return b.exact(op)


def _ternary(b: ProgramBuilder, name: str, x: str, threshold: float) -> str:
    """[x >= t] - [x <= -t], each a step one raw unit wide."""
    least = math.ceil(math.ldexp(threshold, b.frac(x))) - 1  # x >= t says raw > least
    up = b.shifted(f"{name}.up", x, 0, -least, b.frac(x))
    down = b.shifted(f"{name}.down", x, 0, least, b.frac(x))
    above = b.clip(f"{name}.above", up, 0, 1)
    below = b.clip(f"{name}.below", down, -1, 0)
    both = b.pair(f"{name}.both", above, below, PairKind.ADD)
    return b.shifted(name, both, b.frac(both), 0, 0)


def hide(b: ProgramBuilder, name: str, x: str, mask: str) -> str:
    """Append x, but where the mask is not above zero a number so low that no softmax counts it."""
    kept = mask
    if b.ranges[mask].bottom < 0 or b.ranges[mask].top > 1:
        kept = b.clip(f"{name}.kept", mask, 0, 1)
    kept = b.shifted(f"{name}.is_kept", kept, b.frac(kept), 0, 0)
    frac, low = b.frac(x), _unseen(b, x)
    above = b.shifted(f"{name}.above", x, 0, -low, frac)
    chosen = b.pair(f"{name}.chosen", above, kept, PairKind.MUL)
    return b.shifted(name, chosen, 0, low, frac)


def hide_constant(b: ProgramBuilder, name: str, x: str, kept: NDArray[np.bool_]) -> str:
    """The same where the mask is known."""
    if kept.all():
        return x
    bias = np.where(kept, 0, _unseen(b, x))
    return b.affine(name, x, kept.astype(np.int64), Fixed(False, 1, 1), bias, b.frac(x))


def _unseen(b: ProgramBuilder, x: str) -> int:
    """A raw number so far below x that its exponential is nothing in a table."""
    return b.ranges[x].bottom - math.ceil(math.ldexp(SOFTMAX_REACH, b.frac(x)))


def softmax(
    b: ProgramBuilder, name: str, x: str, axis: int, out: Quantizer | None, findings: list[str]
) -> str:
    """Append a softmax over stated tables; the index ranges come from the proved range of x."""
    rank = len(b.shapes[x])
    channels = b.shapes[x][axis % rank]
    range_ = b.ranges[x]
    spread = range_.top - range_.bottom
    exp_shift = max(spread.bit_length() - (SOFTMAX_ENTRIES.bit_length() - 1), 0)
    depth = np.arange((spread >> exp_shift) + 1, dtype=np.float64)
    exp_type = Fixed(False, 18, 1)
    unit = math.ldexp(1.0, exp_shift - b.frac(x))
    exp = quantize(np.exp(-depth * unit), Quantizer(exp_type))
    reach = channels * int(exp.max())
    inverse_shift = max(reach.bit_length() - (SOFTMAX_ENTRIES.bit_length() - 1), 0)
    sums = (np.arange((reach >> inverse_shift) + 1, dtype=np.float64) + 0.5) * 2.0**inverse_shift
    sums = np.maximum(sums * exp_type.lsb, 1.0)  # the largest element alone contributes 1
    inverse_type = Fixed(False, 18, 1)
    inverse = quantize(1.0 / sums, Quantizer(inverse_type))
    quantizer = out or Quantizer(Fixed(False, 16, 1), Rounding.RND_CONV, Overflow.SAT)
    if out is None:
        findings.append(f"{name}: no format is given; the softmax yields {quantizer}.")
    return b.add(
        Softmax(
            name,
            quantizer.type,
            x,
            axis % rank,
            pack_weights(exp),
            exp_type,
            exp_shift,
            pack_weights(inverse),
            inverse_type,
            inverse_shift,
            quantizer.rounding,
            quantizer.overflow,
        )
    )
