# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a block is made of, before any family is named: bits to hold, to add, to choose, to look up.

The amounts follow from the Verilog and a block's parameters. What each costs in a family is in
`firmware/rtl/costs.toml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache

PIECE_WORDS = (16, 32)  # of a memory, that a family's LUT holds
BlockSizes = Mapping[str, int]  # the numbers among a block's parameters


class Work(StrEnum):
    """Kinds of work, each counted in bits unless its name says otherwise."""

    BLOCK = "block"  # one for each instance
    REGISTER = "register"
    COUNT = "count"  # of counters that wrap
    QUEUES = "queues"  # queues themselves
    QUEUE_COUNT = "queue_count"  # of their counters
    ADD = "add"
    HALF_ADD = "half_add"  # the same where one of both bits is always the same: only a carry passes
    SHORT_ADD = "short_add"  # of which one side is a single bit: roundings
    LOOK_AHEAD = "look_ahead"  # joints of the carries of additions, where no carry chains are used
    SELECT = "select"  # two to one
    BASE = "base"  # of accumulators: what the next term is added to, the bias or the sum so far
    CHOOSE = "choose"  # one of many, by number: inputs of the choice
    PICK = "pick"  # multiplexers, each as wide as one LUT makes it
    COMPARE = "compare"  # which of two numbers is larger: a subtraction
    EQUAL = "equal"  # of a number and a constant, or whether any bit is set: a tree of LUTs
    PRODUCT = "product"  # bit by bit, of multipliers made of LUTs
    EXTEND = "extend"  # of their rows, copies of the sign that reach up to the top of the product
    DIGIT = "digit"  # additions that a constant weight takes
    FULL_ADD = "full_add"  # of three bits into two, where more than two numbers are added
    FETCH = "fetch"  # of a memory that is read through LUTs: a bit of as many words as one holds
    JOIN = "join"  # what chooses between two of those
    TRUTH = "truth"  # of a function of as many bits as a LUT reads


@dataclass(frozen=True, slots=True)
class Memory:
    """Words that are kept. One that is only read may have columns that are equal or constant; so
    many of its bits differ. `stages`: registers that follow, of which a block memory has one.

    A queue's word is read from outside, through a register of the reader: a block memory takes
    that in, and has registers for what is being written, where the old word is wanted. One whose
    place comes straight from a register (`registered`) is read a cycle early where it is made of
    LUTs, so the place is held twice."""

    words: int
    bits: int
    rom: bool = False
    stages: int = 0
    columns: int | None = None
    queue: bool = False
    registered: bool = False
    taken: int = 0  # of the stages, as many as a DSP block has room for in front of its multiplier
    joined: int = 0  # inputs that go into the same LUT as what is read
    pieces: tuple[int, ...] | None = None  # of 16 words of a column and of 32: those that differ

    @property
    def distinct(self) -> int:
        """Bits that differ."""
        return self.bits if self.columns is None else self.columns


@dataclass(frozen=True, slots=True)
class WordChoice:
    """One of so many words: a tree of multiplexers, as wide as one LUT of the family makes them."""

    words: int
    bits: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Bits that only pass through so many registers: some families have LUTs that shift."""

    bits: int
    stages: int


@dataclass(frozen=True, slots=True)
class Multiplier:
    """So many of `a` by `b` bits, of whose products `out` are wanted, and what a DSP block may take
    in: bits of registers before it (`kept`, where they must not be moved) and `after` it, the
    additions that follow (`added`), and the registers behind those (`held`)."""

    count: int
    a: int
    b: int
    out: int
    before: int = 0
    kept: int = 0
    after: int = 0
    added: int = 0
    held: int = 0
    rows: int | None = None  # rows of all products that take adders, one for each bit of `b`
    signed: bool = False  # whether `a` has a sign
    b_signed: bool = False
    alternatives: int | None = None  # so many values each `b` has, where they are few


@dataclass(frozen=True, slots=True)
class BlockParts:
    """What a block is made of."""

    work: dict[Work, float] = field(default_factory=dict)
    memories: tuple[Memory, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    choices: tuple[WordChoice, ...] = ()
    delays: tuple[Delay, ...] = ()


def join_parts(parts: Iterable[BlockParts]) -> BlockParts:
    """All of them together."""
    work: dict[Work, float] = {}
    memories: tuple[Memory, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()
    choices: tuple[WordChoice, ...] = ()
    delays: tuple[Delay, ...] = ()
    for part in parts:
        for kind, amount in part.work.items():
            work[kind] = work.get(kind, 0.0) + amount
        memories += part.memories
        multipliers += part.multipliers
        choices += part.choices
        delays += part.delays
    return BlockParts(work, memories, multipliers, choices, delays)


def bits_for(count: int) -> int:
    """Bits of a counter of so many states; none where there is only one."""
    return max(count - 1, 0).bit_length()


def counter(states: int) -> BlockParts:
    """A counter that goes through so many states and begins again."""
    bits = bits_for(states)
    return BlockParts({Work.REGISTER: bits, Work.COUNT: bits})


def registers(bits: float) -> BlockParts:
    """Plain registers."""
    return BlockParts({Work.REGISTER: bits})


def queue(width: int, depth: int, held: bool = False) -> BlockParts:
    """An `ei_fifo`: two places, two counts, two flags, and the beats. `held`: its reader begins
    with a register, which takes the place of one for the place."""
    place, count = bits_for(depth), depth.bit_length()
    work: dict[Work, float] = {
        Work.QUEUES: 1,
        Work.QUEUE_COUNT: 2 * (place + count),
        Work.REGISTER: 2 * (place + count) + 2,
    }
    return BlockParts(work, (Memory(depth, width, queue=True, registered=not held),))


@cache
def carry_joints(bits: int) -> int:
    """Places in which the carries of an addition meet, where they are looked ahead in a tree of
    Brent and Kung, as Yosys builds it: up the tree, and down again."""
    levels = range(1, max(bits - 1, 0).bit_length() + 1)
    up = sum(len(range((1 << level) - 1, bits, 1 << level)) for level in levels)
    down = sum(
        len(range((1 << level) + (1 << (level - 1)) - 1, bits, 1 << level)) for level in levels
    )
    return up + down


def addition(bits: int, count: int = 1) -> dict[Work, float]:
    """So many additions of two numbers."""
    return {Work.ADD: float(count * bits), Work.LOOK_AHEAD: float(count * carry_joints(bits))}


def tree(leaves: int, bits: int, out: int, levels: int, largest: bool) -> BlockParts:
    """An `ei_tree` of so many numbers that count: a register after each level."""
    width_so_far = 0
    if levels == 0 or leaves == 0:
        return BlockParts()
    grown = bits if largest else bits + levels - 1
    part = min(grown, out)
    if leaves == 1:
        below = tree(1, bits, part, levels - 1, largest)
        width_so_far = part
        return join_parts((below, registers(width_so_far)))
    lower = tree(leaves - leaves // 2, bits, part, levels - 1, largest)
    upper = tree(leaves // 2, bits, part, levels - 1, largest)
    width_so_far = bits if largest else min(part + 1, out)
    own: dict[Work, float] = {Work.REGISTER: width_so_far}
    own |= (
        {Work.COMPARE: width_so_far, Work.SELECT: width_so_far}
        if largest
        else addition(width_so_far)
    )
    return join_parts((lower, upper, BlockParts(own)))
