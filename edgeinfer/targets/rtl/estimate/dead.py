# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Streams whose data synthesis takes away: those that are always the same, as behind a table of one
entry, and those that lead to such blocks alone. Their beats are still counted.

A softmax over a single number is all of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeinfer.targets.rtl.design.netlist import Block, Netlist

# Blocks whose results are constant where their inputs are: they keep nothing from beat to beat.
PLAIN = frozenset({
    "ei_clip", "ei_fork", "ei_narrow", "ei_pair", "ei_queue", "ei_reduce", "ei_repeat",
    "ei_requant", "ei_table", "ei_widen",
})  # fmt: skip
SINGLE = {"ei_table": "TABLE", "ei_constant": "VALUES"}  # the memory that the result comes from
STEERING = ("ei_keep", "ei_first", "ei_site")  # data decide which beats there are
TOWARDS_ZERO = (0, 1)  # roundings that never go up from a number without a sign
DATA_SIZES = ("LANES", "PE", "BIASED")  # of a block's parameters, what is none without data


def dead_streams(netlist: Netlist) -> frozenset[str]:
    """Streams without data."""
    same: set[str] = set()
    for block in netlist.blocks:  # a stream's source comes before its reader
        inputs_same = bool(block.inputs) and same.issuperset(block.inputs)
        if _has_one_value(block) or (block.module in PLAIN and inputs_same):
            same.update(block.outputs)
    unread: set[str] = set()
    for block in reversed(netlist.blocks):
        if block.module.startswith(STEERING) or not block.outputs:
            continue
        if _has_one_value(block) or all(name in same or name in unread for name in block.outputs):
            unread.update(block.inputs)
    return frozenset(same | unread)


def without_data(block: Block, sizes: Mapping[str, int], dead: frozenset[str]) -> Mapping[str, int]:
    """A block's sizes, as they are if nothing reads what it makes."""
    if not block.outputs or block.module.startswith(STEERING) or not dead.issuperset(block.outputs):
        return sizes
    return {**sizes, **{name: 0 for name in DATA_SIZES if name in sizes}}


def _has_one_value(block: Block) -> bool:
    """Whether a block's result comes from a memory whose words are all the same, or nothing is left
    of its input but zero."""
    sizes = block.parameters
    if block.module == "ei_requant" and not sizes["IN_SIGNED"]:
        lost = int(str(sizes["SHIFT"])) - int(str(sizes["IN_BITS"]))
        return lost > 0 or (lost == 0 and sizes["ROUNDING"] in TOWARDS_ZERO)
    file = block.parameters.get(SINGLE.get(block.module, ""))
    return isinstance(file, str) and len(set(block.files[file].split())) == 1
