# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which arithmetic each op runs in: the cheapest that is proved to be exact.

float32 holds every integer up to 2^24, float64 up to 2^53; sums of integers are exact in any order
as long as no partial sum leaves that range. Beyond, int64 wraps around modulo 2^64, which leaves
sums and products right whose final value is proved to fit. Products of 8-bit integers are taken
for large matrices where they are safe on every processor (`byte_products`): inputs whose products
might leave 16 bits together with their neighbours' are multiplied apart, as long as they are few.
Convolutions at sites take them where this processor adds them exactly: measured, in a third of the
time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import reach_of_sums, wide
from edgeinfer.ir.engine.byte_products import bytes_saturate, largest_operand, wide_pairs
from edgeinfer.ir.engine.rewrite import RewrittenProgram
from edgeinfer.ir.engine.round import largest_in_requant
from edgeinfer.ir.engine.values import FLOAT32_INTEGERS, FLOAT64_INTEGERS, Carrier
from quantization import ranges
from quantization.fixed import MAX_BITS, Overflow, Rounding
from quantization.ranges import Interval

BYTES_PAY_FROM = 1 << 16  # weights of a matrix; measured: below it, converting costs what it saves
MOST_APART = 1 / 16  # of a matrix's inputs: then products of bytes still pay
_SLACK = 1.0 + 2.0**-20  # bounds of sums are themselves computed in float64


@dataclass(frozen=True, slots=True)
class OpArithmetic:
    """How one op is computed, and why that is exact."""

    value: str
    op: str
    carrier: Carrier
    largest: int  # absolute value of any raw integer on the way
    why: str

    def __str__(self) -> str:
        return f"%{self.value} ({self.op}): {self.carrier}, {self.why}"


def arithmetic_of(op: ops.Op, state: RewrittenProgram, reach: Mapping[str, int]) -> OpArithmetic:
    """The op's arithmetic; `reach` holds what `largest` is for the ops before it."""
    largest = _largest(op, state, reach)
    carrier, why = _narrowest(largest)
    if isinstance(op, ops.Dense):
        byte = _byte_carrier(op, state)
        if byte is not None and largest < FLOAT64_INTEGERS:
            carrier, why = byte, "two neighbouring products fit 16 bits, all of them 32"
    elif isinstance(op, ops.Conv) and largest <= FLOAT32_INTEGERS:
        byte = _byte_carrier_at_sites(op, state)
        if byte is not None:
            carrier, why = byte, "products of bytes, which this processor adds up in 32 bits"
    return OpArithmetic(op.name, type(op).__name__, carrier, largest, why)


def reach_of(op: ops.Op, state: RewrittenProgram, reach: Mapping[str, int], largest: int) -> int:
    """What `largest` is for the op, or for a product before it when nothing real may lie between:
    ONNX Runtime removes what changes nothing, and then joins the product with what follows."""
    match op:
        case ops.Requant() if op.type.frac < state.types[op.x].frac:
            return largest  # it rounds
        case ops.Requant() | ops.Clip() | ops.Concat() | ops.Moves():
            raised = (reach[x] << (op.type.frac - state.types[x].frac) for x in ops.inputs_of(op))
            return max(largest, *raised)
        case _:  # the other ops compute, so a product before them stays apart
            return largest


def float_for(largest: int) -> Carrier:
    """The narrowest element type in which integers of that size are exact."""
    return _narrowest(largest)[0]


def _narrowest(largest: int) -> tuple[Carrier, str]:
    bits = largest.bit_length()
    if largest <= FLOAT32_INTEGERS:
        return Carrier.FLOAT32, f"every intermediate integer fits {bits} bits, at most 24 and a one"
    if largest * _SLACK < FLOAT64_INTEGERS:
        return Carrier.FLOAT64, f"an intermediate integer may need {bits} bits, more than 24"
    return Carrier.INT64, f"an intermediate integer may need {bits} bits, more than 53"


def magnitude(x: Interval) -> int:
    """Largest absolute value of any element."""
    return max(abs(x.bottom), abs(x.top))


def _magnitude_of(raw: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> int:
    return max(abs(int(raw.min(initial=0))), abs(int(raw.max(initial=0))))


def _byte_carrier(op: ops.Dense, state: RewrittenProgram) -> Carrier | None:
    """UINT8 or INT8 where products of bytes are exact everywhere and pay, else None."""
    if op.weight.size < BYTES_PAY_FROM or len(state.shapes[op.x]) != 1:
        return None
    carrier = _bytes_that_fit(op, state)
    if carrier is None:
        return None
    apart = wide_pairs(op.weight, largest_operand(carrier, state.ranges[op.x].top))
    return carrier if apart.size <= MOST_APART * len(op.weight) else None


def _byte_carrier_at_sites(op: ops.Conv, state: RewrittenProgram) -> Carrier | None:
    """UINT8 or INT8 where products of bytes are exact on this processor, else None."""
    if op.name not in state.site_sets or op.groups != 1:
        return None
    carrier = _bytes_that_fit(op, state)
    return None if carrier is None or bytes_saturate() else carrier


def _bytes_that_fit(op: ops.Dense | ops.Conv, state: RewrittenProgram) -> Carrier | None:
    """The bytes that hold the inputs, if others hold the weights and 32 bits all sums."""
    x = state.ranges[op.x]
    if x.bottom >= 0 and x.top <= 255:
        carrier = Carrier.UINT8
    elif x.bottom >= -128 and x.top <= 127:
        carrier = Carrier.INT8
    else:
        return None
    if not -128 <= int(op.weight.min()) <= int(op.weight.max()) <= 127:
        return None
    return None if reach_of_sums(op, x, state.shapes[op.x]) * _SLACK >= 1 << 31 else carrier


def requants_to_bytes(state: RewrittenProgram, kept: Sequence[str]) -> dict[str, Carrier]:
    """Requantisations that only products of bytes read, through reshapes, and may round to bytes
    at once: half to even, and saturating."""
    readers = Counter(x for op in state.ops for x in ops.inputs_of(op))
    carriers_wanted: dict[str, Carrier] = {}
    carriers: dict[str, Carrier] = {}
    for op in reversed(state.ops):
        carrier = carriers_wanted.get(op.name)
        if isinstance(op, ops.Dense):
            carrier = _byte_carrier(op, state)
        elif isinstance(op, ops.Conv):
            carrier = _byte_carrier_at_sites(op, state)
        if carrier is None:
            continue
        match op:
            case ops.Dense() | ops.Conv() | ops.Reshape() if (
                readers[op.x] == 1 and op.x not in kept
            ):
                carriers_wanted[op.x] = carrier
            case ops.Requant(rounding=Rounding.RND_CONV, overflow=Overflow.SAT | Overflow.SAT_SYM):
                carriers[op.name] = carrier
            case _:  # any other op keeps its own carrier
                pass
    return carriers


def _largest(op: ops.Op, state: RewrittenProgram, reach: Mapping[str, int]) -> int:
    """Largest absolute value among the op's operands, partial sums and results, all as integers."""
    magnitudes = [magnitude(state.ranges[name]) for name in (*ops.inputs_of(op), op.name)]
    match op:
        case Accumulates():
            sums = reach_of_sums(op, state.ranges[op.x], state.shapes[op.x])
            shift = op.shift(state.types[op.x].frac)
            return max(magnitudes[-1], (sums << shift) + _magnitude_of(op.bias))
        case ops.Scale():
            shift = op.shift(state.types[op.x].frac)
            product = ranges.multiply_ranges(state.ranges[op.x], ranges.of_values(wide(op.factor)))
            return max(*magnitudes, (magnitude(product) << shift) + _magnitude_of(op.bias))
        case ops.Requant():
            quantizer = op.quantizer
            return max(
                magnitudes[-1],
                largest_in_requant(state.ranges[op.x], state.types[op.x].frac, quantizer),
            )
        case ops.Table():
            return max(*magnitudes, abs(op.first) + op.entries.size)
        case ops.Softmax():
            return max(magnitudes[-1], _largest_in_softmax(op, state))
        case ops.Pool(kind=ops.PoolKind.SUM):
            return max(*magnitudes, int(np.prod(op.window)) * magnitudes[0])
        case ops.Pair(kind=ops.PairKind.MUL):
            return max(*magnitudes, magnitudes[0] * magnitudes[1])
        case ops.Pair():
            up = [op.type.frac - state.types[x].frac for x in (op.a, op.b)]
            a, b = (magnitudes[0] << up[0], magnitudes[1] << up[1])
            if op.kind in (ops.PairKind.MAX, ops.PairKind.MIN):
                return max(magnitudes[-1], a, b)
            # A convolution and a sum may be computed as one: the partial sums count.
            return max(magnitudes[-1], max(a, reach[op.a] << up[0]) + max(b, reach[op.b] << up[1]))
        case ops.Sites():
            return max(*magnitudes, abs(op.threshold))
        case (
            ops.Input()
            | ops.Constant()
            | ops.Clip()
            | ops.PRelu()
            | ops.Pool()
            | ops.Concat()
            | ops.Scan()
            | ops.Moves()
        ):
            return max(magnitudes)
        case _:
            assert_never(op)


def _largest_in_softmax(op: ops.Softmax, state: RewrittenProgram) -> int:
    x = state.ranges[op.x]
    count = state.shapes[op.x][op.axis]
    e, r = _magnitude_of(op.exp), _magnitude_of(op.inverse)
    quantizer = op.quantizer
    spread = x.top - x.bottom
    if max(spread, count * e, e * r) >= 1 << MAX_BITS:
        raise ProgramError(
            f"softmax %{op.name}: its inputs spread over {spread}, its sum may reach {count * e}, "
            f"a result {e * r}; at most {MAX_BITS} bits are held.",
            hint="Use narrower formats for the tables or the input.",
        )
    product = Interval(np.asarray(0), np.asarray(e * r))
    frac = op.exp_type.frac + op.inverse_type.frac
    return max(magnitude(x), spread, count * e, e * r, largest_in_requant(product, frac, quantizer))
