# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeinfer.base.names import printable

NOT_A_NUMBER = "not a number"
NOISE = 1e-12  # differences below come from sums of floats
UNITS = {"us": "µs", "cycles": "cycles", "LUT": "", "FF": "", "DSP": "", "BRAM18": "", "URAM": ""}
KINDS = {
    "dsp": "DSP",
    "lut": "LUT",
    "ff": "FF",
    "bram18": "BRAM18",
    "bram4": "BRAM4",
    "uram": "URAM",
    "alm": "ALM",
    "m20k": "M20K",
    "cached_bytes": "on-chip memory",
    "energy_dynamic_nj": "energy of arithmetic, nJ",
    "energy_nj": "energy, nJ",
    "power_static_w": "power at rest, W",
    "power_w": "power, W",
    "energy_event_dynamic_j": "energy of an event's arithmetic, J",
    "energy_event_j": "energy of an event, J",
}
LONGEST = 60  # characters of a name in a table or a picture


def number(value: float | None, digits: int = 4) -> str:
    """A number with as many digits as help: thousands apart, no exponent where none is needed."""
    if value is None:
        return "–"
    if math.isnan(value):
        return NOT_A_NUMBER
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e12:
        return _minus(f"{int(value):,}")
    if not 1e-5 <= abs(value) < 1e9:
        return _minus(f"{value:.{digits - 1}e}")
    whole = len(str(int(abs(value))))
    if abs(value) < 1:
        leading = -math.floor(math.log10(abs(value))) - 1
        return _minus(f"{value:.{digits + leading}f}".rstrip("0"))
    if whole >= digits:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:,.{digits - whole}f}".rstrip("0").rstrip("."))


def format_fixed(value: float | None, decimals: int) -> str:
    """A number of a column whose decimals line up."""
    if value is None or not math.isfinite(value) or abs(value) >= 1e9:
        return number(value)
    return _minus(f"{value:,.{decimals}f}")


def score(value: float | None) -> str:
    """An area or a share, for a column."""
    return format_fixed(value, 4)


def format_signed(value: float, digits: int = 2) -> str:
    """A difference, with its sign; below NOISE there is none."""
    if abs(value) < NOISE:
        return "0"
    text = number(value, digits)
    return text if value <= 0 or math.isnan(value) else f"+{text}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent."""
    if share is None:
        return "–"
    if math.isnan(share):
        return NOT_A_NUMBER
    if math.isinf(share):
        return "∞"
    if 0 < share < 10.0 ** -(digits + 2):
        return f"< {10.0**-digits:.{digits}f} %"
    return f"{100 * share:,.{digits}f} %"


def with_unit(value: float | None, unit: str) -> str:
    """A figure with its unit, which is left out where the figure's name says it."""
    unit_text = UNITS.get(unit, unit)
    return number(value) if not unit_text or value is None else f"{number(value)} {unit_text}"


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    if math.isnan(value):
        return NOT_A_NUMBER
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= scale:
            return f"{number(value / scale, 3)} {unit}"
    return f"{number(value * 1e9, 3)} ns" if value else "0 s"


def between(low: float | None, high: float | None, unit: str = "") -> str:
    """A band, or nothing where there is none."""
    if low is None or high is None:
        return ""
    return f"{number(low)} to {with_unit(high, unit)}"


def size(shape: Sequence[int]) -> str:
    """A shape."""
    return "×".join(map(str, shape)) or "scalar"


def kind_name(name: str) -> str:
    """A resource as it is written."""
    return KINDS.get(name, short(name))


def unit_of_kind(name: str) -> str:
    """The unit of a resource, where it is more than a count of pieces."""
    return "B" if name.endswith("_bytes") else ""


def short(name: str, longest: int = LONGEST) -> str:
    """A name that fits; the middle of a long one is left out."""
    text = printable(name)
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[-half:]}"


def join_words(names: Sequence[str]) -> str:
    """`a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def count_noun(count: int, noun: str) -> str:
    """`1 sample`, `2 samples`."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
