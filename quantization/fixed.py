# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixed-point numbers: types, rounding and overflow modes, the way to raw integers and back.

A value v of type ``fixed<bits, integer>`` is held as the integer raw = v x 2^frac with
frac = bits - integer. Signed types count the sign bit among the integer bits, as ap_fixed does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

HUGE = 2.0**1000  # stands for all that is larger: beyond every type, and a multiple of its modulus
MAX_BITS = 63  # raw integers and the shifts between formats must stay inside an int64


class FormatError(ValueError):
    """A number format that cannot be, or cannot be read."""


class Rounding(StrEnum):
    """Which grid point a value between two of them goes to; names as in ap_fixed."""

    TRN = "TRN"  # towards minus infinity (drop the bits)
    TRN_ZERO = "TRN_ZERO"  # towards zero
    RND = "RND"  # nearest, ties towards plus infinity
    RND_ZERO = "RND_ZERO"  # nearest, ties towards zero
    RND_INF = "RND_INF"  # nearest, ties away from zero
    RND_MIN_INF = "RND_MIN_INF"  # nearest, ties towards minus infinity
    RND_CONV = "RND_CONV"  # nearest, ties to even: what TensorFlow and QKeras do


class Overflow(StrEnum):
    """What becomes of a value outside the type's range; names as in ap_fixed."""

    WRAP = "WRAP"  # drop the upper bits
    SAT = "SAT"  # the nearest end of the range
    SAT_ZERO = "SAT_ZERO"  # zero
    SAT_SYM = "SAT_SYM"  # the nearest end of the symmetric range -max .. +max


@dataclass(frozen=True, slots=True, order=True)
class Fixed:
    """A fixed-point type. Integer bits may be negative or exceed the width."""

    signed: bool
    bits: int
    integer: int

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise FormatError(f"A fixed-point type needs 1 to {MAX_BITS} bits, not {self.bits}.")
        if abs(self.integer) > 1024:
            raise FormatError(f"{self.integer} integer bits are beyond any float's exponent.")

    @property
    def frac(self) -> int:
        """Number of bits behind the binary point (may be negative)."""
        return self.bits - self.integer

    @property
    def raw_min(self) -> int:
        """Smallest raw integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def raw_max(self) -> int:
        """Largest raw integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def lsb(self) -> float:
        """Distance between neighbouring values."""
        return float(2.0**-self.frac)

    @property
    def min(self) -> float:
        """Smallest value."""
        return self.raw_min * self.lsb

    @property
    def max(self) -> float:
        """Largest value."""
        return self.raw_max * self.lsb

    def __str__(self) -> str:
        return f"{'fixed' if self.signed else 'ufixed'}<{self.bits},{self.integer}>"

    @staticmethod
    def parse(text: str) -> Fixed:
        """Read ``fixed<8,3>``, ``ufixed<8,3>`` (also ap_fixed and ac-less spellings of it)."""
        match = re.fullmatch(r"\s*(?:ap_)?(u?)fixed<\s*(\d+)\s*,\s*(-?\d+)\s*>\s*", text)
        if match is None:
            raise FormatError(f"{text!r} is not a fixed-point type; write for instance fixed<8,3>.")
        return Fixed(not match[1], int(match[2]), int(match[3]))


def fixed_of_range(low: int, high: int, frac: int) -> Fixed:
    """The narrowest type with `frac` fractional bits that holds every raw integer low..high."""
    if low > high:
        raise FormatError(f"An empty range {low}..{high} has no type.")
    signed = low < 0
    bits = max(max(high, 0).bit_length(), (-low - 1).bit_length() if signed else 0) + int(signed)
    bits = max(bits, 1)
    if bits > MAX_BITS:
        raise FormatError(
            f"The range {low}..{high} needs {bits} bits; at most {MAX_BITS} are held."
        )
    return Fixed(signed, bits, bits - frac)


@dataclass(frozen=True, slots=True, order=True)
class Quantizer:
    """A fixed-point type together with how values are brought into it."""

    type: Fixed
    rounding: Rounding = Rounding.RND_CONV
    overflow: Overflow = Overflow.SAT

    def __str__(self) -> str:
        return f"{str(self.type)[:-1]},{self.rounding},{self.overflow}>"

    @staticmethod
    def parse(text: str) -> Quantizer:
        """Read ``fixed<8,3,RND_CONV,SAT>``; the modes may be left out."""
        match = re.fullmatch(r"([^<]*<[^,>]*,[^,>]*)((?:,[^,>]*)*)>\s*", text)
        if match is None:
            raise FormatError(
                f"{text!r} is not a quantizer; write for instance fixed<8,3,RND_CONV,SAT>."
            )
        modes = [mode.strip().removeprefix("AP_") for mode in match[2].split(",")[1:]]
        try:
            rounding = Rounding(modes[0]) if modes else Rounding.RND_CONV
            overflow = Overflow(modes[1]) if len(modes) > 1 else Overflow.SAT
        except ValueError as error:
            raise FormatError(f"{text!r}: {error}; known are {_known_modes()}.") from None
        if len(modes) > 2:
            raise FormatError(f"{text!r} has more than a rounding and an overflow mode.")
        return Quantizer(Fixed.parse(match[1] + ">"), rounding, overflow)


def _known_modes() -> str:
    return ", ".join([*Rounding, *Overflow])


def shift_left(raw: Ints, shift: int) -> Ints:
    """raw x 2^shift with shift >= 0; a FormatError where that leaves the widest type."""
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    needed = max(max(high, 0).bit_length(), (-low - 1).bit_length() if low < 0 else 0) + int(
        low < 0
    )
    if (low or high) and needed + shift > MAX_BITS:
        raise FormatError(f"It needs {needed + shift} bits there; at most {MAX_BITS} are held.")
    return np.asarray(raw << min(shift, MAX_BITS))  # beyond, only zero is left


def shift_right(raw: Ints, shift: int, rounding: Rounding) -> Ints:
    """raw / 2^shift on the integer grid; a negative shift multiplies, and rounds nothing."""
    if shift <= 0:
        return shift_left(raw, -shift)
    if shift > MAX_BITS:  # less than half a step is left of any number: only the floor can move it
        return raw >> 63 if rounding is Rounding.TRN else np.zeros_like(raw)
    floor = raw >> shift
    rest = raw - (floor << shift)
    half = 1 << (shift - 1)
    up: NDArray[np.bool_]
    match rounding:
        case Rounding.TRN:
            return floor
        case Rounding.TRN_ZERO:
            up = (raw < 0) & (rest != 0)
        case Rounding.RND:
            up = rest >= half
        case Rounding.RND_MIN_INF:
            up = rest > half
        case Rounding.RND_ZERO:
            up = np.where(raw < 0, rest >= half, rest > half)
        case Rounding.RND_INF:
            up = np.where(raw < 0, rest > half, rest >= half)
        case Rounding.RND_CONV:
            up = (rest > half) | ((rest == half) & ((floor & 1) == 1))
        case _:
            assert_never(rounding)
    return floor + up


def apply_overflow(raw: Ints, type_: Fixed, overflow: Overflow) -> Ints:
    """Bring raw integers on the type's grid into the type's range."""
    low, high = type_.raw_min, type_.raw_max
    match overflow:
        case Overflow.SAT:
            return np.clip(raw, low, high)
        case Overflow.SAT_SYM:
            return np.clip(raw, -high if type_.signed else 0, high)
        case Overflow.SAT_ZERO:
            return np.where((raw < low) | (raw > high), np.int64(0), raw)
        case Overflow.WRAP:
            wrapped = raw & ((1 << type_.bits) - 1)
            if type_.signed:
                sign = 1 << (type_.bits - 1)
                wrapped = (wrapped ^ sign) - sign
            return wrapped
        case _:
            assert_never(overflow)


def requantize(raw: ArrayLike, frac: int, quantizer: Quantizer) -> Ints:
    """Raw integers with `frac` fractional bits -> raw integers of the quantizer's type."""
    whole = np.asarray(raw, dtype=np.int64)
    shift = frac - quantizer.type.frac
    if shift < 0:  # saturate before shifting left: the shifted value may not fit an int64
        return _widen(whole, -shift, quantizer)
    return apply_overflow(
        shift_right(whole, shift, quantizer.rounding), quantizer.type, quantizer.overflow
    )


def _widen(raw: Ints, shift: int, quantizer: Quantizer) -> Ints:
    """Move to a finer grid. Nothing is rounded; what leaves the range overflows as asked."""
    if quantizer.overflow is Overflow.WRAP:
        kept = max(quantizer.type.bits - shift, 0)  # upper bits vanish modulo 2^bits anyway
        if kept == 0:
            return np.zeros_like(raw)
        low_bits = raw & ((1 << kept) - 1)
        return apply_overflow(low_bits << shift, quantizer.type, Overflow.WRAP)
    low, high = quantizer.type.raw_min, quantizer.type.raw_max
    least, most = -(-low >> shift), high >> shift  # what stays in the range when shifted
    inside = np.clip(raw, least, most) << min(shift, MAX_BITS - 1)  # beyond, only zero is left
    if quantizer.overflow is Overflow.SAT_ZERO:
        return np.where((raw < least) | (raw > most), np.int64(0), inside)
    ended = np.where(raw > most, np.int64(high), np.where(raw < least, np.int64(low), inside))
    return apply_overflow(ended, quantizer.type, quantizer.overflow)


def quantize(values: ArrayLike, quantizer: Quantizer) -> Ints:
    """Real values -> raw integers. Exact for every float64: no intermediate is rounded."""
    reals = np.asarray(values, dtype=np.float64)
    if not np.isfinite(reals).all():
        raise FormatError("NaN and infinity have no fixed-point value.")
    with np.errstate(over="ignore"):
        scaled = np.ldexp(reals, quantizer.type.frac)
    scaled = np.where(np.isinf(scaled), np.copysign(HUGE, reals), scaled)
    # What is next to nothing rounds as a quarter does; the scaling itself may have lost it.
    least = (np.abs(scaled) < 0.25) & (reals != 0)
    scaled = np.where(least, np.copysign(0.25, reals), scaled)
    rounded = _round_float(scaled, quantizer.rounding)
    if quantizer.overflow is Overflow.WRAP:
        modulus = float(1 << quantizer.type.bits)
        rest = np.fmod(rounded, modulus).astype(np.int64)
        return apply_overflow(rest, quantizer.type, Overflow.WRAP)
    inside = np.abs(rounded) < 2.0**MAX_BITS
    raw = np.where(inside, rounded, 0.0).astype(np.int64)
    if quantizer.overflow is not Overflow.SAT_ZERO:  # which zero is already
        limit = np.iinfo(np.int64)
        raw = np.where(inside, raw, np.where(reals < 0, limit.min, limit.max))
    return apply_overflow(raw, quantizer.type, quantizer.overflow)


def _round_float(scaled: NDArray[np.float64], rounding: Rounding) -> NDArray[np.float64]:
    inner = np.trunc(scaled)
    rest = np.abs(scaled - inner)  # exact: truncation keeps a subset of the mantissa's bits
    away: NDArray[np.bool_]
    match rounding:
        case Rounding.TRN:
            return np.floor(scaled)
        case Rounding.TRN_ZERO:
            return inner
        case Rounding.RND_CONV:
            return np.rint(scaled)
        case Rounding.RND:
            away = (rest > 0.5) | ((rest == 0.5) & (scaled > 0))
        case Rounding.RND_MIN_INF:
            away = (rest > 0.5) | ((rest == 0.5) & (scaled < 0))
        case Rounding.RND_ZERO:
            away = rest > 0.5
        case Rounding.RND_INF:
            away = rest >= 0.5
        case _:
            assert_never(rounding)
    return inner + np.copysign(away, scaled)


def dequantize(raw: ArrayLike, type_: Fixed) -> NDArray[np.float64]:
    """Raw integers -> the real values they stand for."""
    result: NDArray[np.float64] = np.ldexp(np.asarray(raw, dtype=np.float64), -type_.frac)
    return result
