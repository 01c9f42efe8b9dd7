# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What an `ei_mac` is made of whose weights never change: sums of shifted inputs, in which nothing
is left of a weight that is zero, nor of bits that are.

Numbers of equal inputs and digits are made once, whatever their shift, as Yosys merges them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.targets.rtl.design.netlist import Block
from edgeinfer.targets.rtl.estimate.work import (
    BlockParts,
    Delay,
    Work,
    addition,
    carry_joints,
    join_parts,
    registers,
)

LANE_STAGES = 4  # two registers of the input, what is added up, the product
BOOTH = (0, 1, 1, 2, -2, -1, -1, 0)  # by a pair of bits and the bit below


@dataclass(frozen=True, slots=True)
class Span:
    """A number in a register: its bits from `low` to below `top`; so many of them differ."""

    low: int
    top: int
    differ: int


def constant_products(block: Block, product_bits: int, sum_bits: int) -> BlockParts:
    """All of the block's products and the trees that add them up."""
    numbers = {name: n for name, n in block.parameters.items() if isinstance(n, int)}
    input_bits, signed = numbers["X_BITS"], bool(numbers["X_SIGNED"])
    digits = (numbers["W_BITS"] + (0 if numbers["W_SIGNED"] else 1) + 1) // 2
    weights = weights_of(block)
    parts: dict[tuple[int, int], BlockParts] = {}  # by lane and what its input is multiplied by
    products: dict[tuple[int, int], BlockParts] = {}
    trees = []
    for row in dict.fromkeys(map(tuple, weights)):  # equal sums are made once
        leaves = []
        for lane, weight in enumerate(row):
            plus, minus = digits_of(weight, digits)
            for some in (plus, minus):
                if some:
                    odd = sum(some) >> _zeros(sum(some))
                    parts.setdefault((lane, odd), _part(some, input_bits, signed, product_bits))
            span = _product(plus, minus, input_bits, signed, product_bits)
            leaves.append(span)
            if span is not None:
                joins = span.top - min(map(_zeros, minus)) if minus else 0
                lane_parts = BlockParts({Work.REGISTER: span.differ, Work.DIGIT: joins})
                alike = weight if minus else weight >> _zeros(weight)
                products.setdefault((lane, alike), lane_parts)
        trees.append(_tree(leaves, product_bits, sum_bits, numbers["LEVELS"])[0])
    used = {lane for lane in range(numbers["SIMD"]) if any(row[lane] for row in weights)}
    # A lane that is only shifted, by wires, goes through all its registers as it is.
    plain = {
        lane
        for lane in used
        if all(row[lane] >= 0 and row[lane].bit_count() <= 1 for row in weights)
    }
    made = [own for one in (parts, products) for (lane, _), own in one.items() if lane not in plain]
    stored = BlockParts(
        {Work.REGISTER: 2 * len(used - plain) * input_bits},
        delays=(Delay(len(plain) * input_bits, LANE_STAGES),),
    )
    return join_parts((stored, *made, *trees))


def digits_of(weight: int, count: int) -> tuple[list[int], list[int]]:
    """What is added and what is subtracted, in powers of two: a digit of -2 to 2 for each pair of
    bits and the bit below it (Booth's), as `ei_mac` takes them."""
    plus: list[int] = []
    minus: list[int] = []
    for place in range(0, 2 * count, 2):
        digit = BOOTH[((weight << 1) >> place) & 7]
        if digit:
            (plus if digit > 0 else minus).append(abs(digit) << place)
    return plus, minus


def weights_of(block: Block) -> list[list[int]]:
    """By output its weights, from the only word of the memory."""
    sizes = block.parameters
    bits, simd, pe = (sizes[name] for name in ("W_BITS", "SIMD", "PE"))
    assert isinstance(bits, int) and isinstance(simd, int) and isinstance(pe, int)
    name = sizes["WEIGHTS"]
    assert isinstance(name, str)
    word = int(block.files[name].split()[0], 16)
    mask, sign = (1 << bits) - 1, (1 << (bits - 1)) if sizes["W_SIGNED"] else 0
    lanes = [((word >> (bits * lane)) & mask) for lane in range(pe * simd)]
    values = [(lane ^ sign) - sign for lane in lanes]
    return [values[output * simd : (output + 1) * simd] for output in range(pe)]


def _zeros(number: int) -> int:
    """Bits below the lowest that is set."""
    return (number & -number).bit_length() - 1


def _sum(digits: Sequence[int], bits: int, signed: bool, most: int) -> Span:
    """The sum of an input at each of these digits."""
    low = min(map(_zeros, digits))
    if len(digits) == 1:
        return Span(low, most if signed else low + bits, bits)
    top = most if signed else min((((1 << bits) - 1) * sum(digits)).bit_length(), most)
    return Span(low, top, top - low)


def _part(digits: Sequence[int], bits: int, signed: bool, most: int) -> BlockParts:
    """Yosys adds more than two at once in rows of full adders, column by column, until two are
    left; those meet in one addition, above the bits that only one of them has."""
    span, places = _sum(digits, bits, signed, most), sorted(map(_zeros, digits))
    work: dict[Work, float] = {Work.REGISTER: span.differ}
    if len(places) > 1:
        last = span.top - places[1]
        held = (sum(place <= at < place + bits for place in places) for at in range(most))
        work[Work.DIGIT] = last
        work[Work.LOOK_AHEAD] = carry_joints(last)
        work[Work.FULL_ADD] = sum(max(count - 2, 0) for count in held)
    return BlockParts(work)


def _product(
    plus: Sequence[int], minus: Sequence[int], bits: int, signed: bool, most: int
) -> Span | None:
    """What an input times a weight leaves: nothing of zero; a difference has all bits above."""
    if minus:
        low = min(map(_zeros, (*plus, *minus)))
        return Span(low, most, most - low)
    return _sum(plus, bits, signed, most) if plus else None


def _tree(
    leaves: Sequence[Span | None], bits: int, out: int, levels: int
) -> tuple[BlockParts, Span | None]:
    """An `ei_tree` and its sum: what is alone is only held, below the lowest bit that two have
    in common nothing is added."""
    if levels == 0:
        return BlockParts(), leaves[0]
    part = min(bits + levels - 1, out)
    if len(leaves) == 1:
        below, alone = _tree(leaves, bits, part, levels - 1)
        return join_parts((below, _constant_parts(alone))), alone
    upper = len(leaves) // 2
    first, a = _tree(leaves[:-upper], bits, part, levels - 1)
    second, b = _tree(leaves[-upper:], bits, part, levels - 1)
    if a is None or b is None:
        alone = a or b
        return join_parts((first, second, _constant_parts(alone))), alone
    low, top = min(a.low, b.low), min(max(a.top, b.top) + 1, out)
    grown = Span(low, top, top - low)
    added = BlockParts(addition(max(top - max(a.low, b.low), 0)))
    return join_parts((first, second, _constant_parts(grown), added)), grown


def _constant_parts(span: Span | None) -> BlockParts:
    return registers(span.differ if span else 0)
