# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Streams whose data synthesis takes away: those that are always the same, as behind a table of one
entry or a limit that nothing reaches, and those that lead to such blocks alone. Their beats are
still counted.

A softmax over a single number is all of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.targets.rtl.design.codes import OVERFLOWS, ROUNDINGS
from edgeinfer.targets.rtl.design.netlist import Block, Netlist, SizedNumber
from quantization.fixed import Fixed, Overflow, Quantizer
from quantization.ranges import Interval, requantize_range

# Blocks whose results are constant where their inputs are: they keep nothing from beat to beat.
PLAIN = frozenset({
    "ei_clip", "ei_fork", "ei_narrow", "ei_pair", "ei_queue", "ei_reduce", "ei_repeat",
    "ei_requant", "ei_table", "ei_widen",
})  # fmt: skip
SINGLE = {"ei_table": "TABLE", "ei_constant": "VALUES"}  # the memory that the result comes from
COPIES = ("ei_fork", "ei_narrow", "ei_widen", "ei_queue", "ei_repeat")
STEERING = ("ei_keep", "ei_first", "ei_site")  # data decide which beats there are
# Of a block's parameters, what is none without data.
DATA_SIZES = ("LANES", "PE", "BIASED", "BITS", "X_BITS")


def dead_streams(netlist: Netlist) -> frozenset[str]:
    """Streams without data."""
    same = {name for name, range_ in _ranges(netlist).items() if range_.bottom == range_.top}
    for block in netlist.blocks:  # a stream's source comes before its reader
        inputs_same = bool(block.inputs) and same.issuperset(block.inputs)
        if _has_one_value(block) or (block.module in PLAIN and inputs_same):
            same.update(block.outputs)
    unread: set[str] = set()
    for block in reversed(netlist.blocks):
        if block.module.startswith(STEERING) or not block.outputs:
            continue
        if all(name in same or name in unread for name in block.outputs):
            unread.update(block.inputs)
    return frozenset(same | unread)


def without_data(block: Block, sizes: Mapping[str, int], dead: frozenset[str]) -> Mapping[str, int]:
    """A block's sizes, as they are if nothing reads what it makes."""
    if not block.outputs or block.module.startswith(STEERING) or not dead.issuperset(block.outputs):
        return sizes
    return {**sizes, **{name: 0 for name in DATA_SIZES if name in sizes}}


def _has_one_value(block: Block) -> bool:
    """Whether a block's result comes from a memory whose words are all the same."""
    file = block.parameters.get(SINGLE.get(block.module, ""))
    return isinstance(file, str) and len(set(block.files[file].split())) == 1


def _ranges(netlist: Netlist) -> dict[str, Interval]:
    """What synthesis sees to be left of numbers after roundings and limits."""
    ranges: dict[str, Interval] = {}
    for block in netlist.blocks:
        x = ranges.get(block.inputs[0]) if block.inputs else None
        if block.module in ("ei_requant", "ei_clip"):
            ranges.update(dict.fromkeys(block.outputs, _range_after(block, _visible(x))))
        elif x is not None and block.module in COPIES:
            ranges.update(dict.fromkeys(block.outputs, x))
    return ranges


def _visible(x: Interval | None) -> Interval | None:
    """Bits above the largest number are zero in a queue. That copies of a sign are equal, or that a
    number lies between two others, nobody sees behind it."""
    if x is None or x.bottom < 0:
        return None
    return x if x.bottom == x.top else _interval(0, (1 << x.top.bit_length()) - 1)


def _range_after(block: Block, x: Interval | None) -> Interval:
    """What a rounding or a limit leaves, of all numbers of its type if nothing more is known."""
    sizes = {
        name: value.value if isinstance(value, SizedNumber) else int(value)
        for name, value in block.parameters.items()
    }
    bits = sizes["IN_BITS"]
    whole = Fixed(bool(sizes["IN_SIGNED"]), bits, bits)
    low, high = (whole.raw_min, whole.raw_max) if x is None else (x.bottom, x.top)
    if block.module == "ei_clip":
        if sizes["HAS_LOW"]:
            low, high = max(low, sizes["LOW"]), max(high, sizes["LOW"])
        if sizes["HAS_HIGH"]:
            low, high = min(low, sizes["HIGH"]), min(high, sizes["HIGH"])
        return _interval(low, high)
    bits, shift = sizes["OUT_BITS"], sizes["SHIFT"]
    overflow = OVERFLOWS[sizes["OVERFLOW"]]
    if overflow is Overflow.WRAP and bits + shift <= 0:  # zeros that come in from below
        return _interval(0, 0)
    type_ = Fixed(bool(sizes["OUT_SIGNED"]), bits, bits + shift)
    quantizer = Quantizer(type_, ROUNDINGS[sizes["ROUNDING"]], overflow)
    return requantize_range(_interval(low, high), 0, quantizer)


def _interval(low: int, high: int) -> Interval:
    return Interval(np.asarray(low), np.asarray(high))
