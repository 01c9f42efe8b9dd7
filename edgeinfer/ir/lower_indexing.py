# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Elements that are found by whole numbers, in integers: an index is compared with every entry, and
the comparisons, which are 0 or 1, choose.

What is found is a sum of products of which at most one is not zero, so every target that has sums
of products has a look-up. A constant table is read at one place instead.
"""

from __future__ import annotations

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.indexing import LookNode, RankNode, ScatterNode, widest_index
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.lower_tables import MOST_ENTRIES
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding, fixed_of_range

ONE = Fixed(False, 1, 1)


def look_up(b: ProgramBuilder, node: LookNode, name: str, x: str, index: str) -> str:
    """Append the rows of x that an index means."""
    (entries, columns), (places, wide) = b.shapes[x], b.shapes[index]
    index = _limit_index(b, name, index, entries)
    rows = _reshape(b, f"{name}.index", index, (places, wide, 1))
    hits = _hits(b, name, rows, np.arange(entries).reshape(1, 1, -1), entries)
    turned = _transpose(b, f"{name}.columns", x)
    sums = _sum_of_hits(
        b, name, hits, _reshape(b, f"{name}.entries", turned, (1, columns, entries))
    )
    exact = Quantizer(b.types[x], Rounding.TRN, Overflow.WRAP)  # which is wide enough: see above
    return b.requant(name, sums, exact)


def look_in_table(b: ProgramBuilder, name: str, table: Ints, type_: Fixed, index: str) -> str:
    """Append the rows of a constant that an index means: its integers in one table, row by row."""
    entries, columns = table.shape
    index = _limit_index(b, name, index, entries)
    low, high = b.ranges[index].bottom, b.ranges[index].top
    numbers = np.arange(low, high + 1)
    means = np.where(numbers < 0, numbers + entries, numbers)
    inside = (means >= 0) & (means < entries)
    rows = np.where(inside[:, None], table[np.where(inside, means, 0)], 0)
    if rows.size > MOST_ENTRIES:
        raise ProgramError(
            f"{b.name}: {name}: a table of {len(rows)} rows of {columns} is too large; at most "
            f"{MOST_ENTRIES:,} entries can be held.",
            hint="Give the index fewer bits in the recipe, or look it up on the host.",
        )
    factor = np.asarray(columns, np.int64)
    column = np.arange(columns, dtype=np.int64)
    factor_type = fixed_of_range(0, columns, 0)
    place = b.affine(f"{name}.place", index, factor, factor_type, column, 0)
    return b.add(ops.Table(name, type_, place, low * columns, ops.pack_weights(rows.reshape(-1))))


def add_up(b: ProgramBuilder, node: ScatterNode, name: str, x: str, index: str) -> str:
    """Append the sums of the rows of x whose index means an entry."""
    (rows, columns), (_, wide) = b.shapes[x], b.shapes[index]
    index = _limit_index(b, name, index, node.count)
    turned = _transpose(b, f"{name}.index_columns", index)
    spread = _reshape(b, f"{name}.index", turned, (1, wide, rows))
    entries = np.arange(node.count).reshape(-1, 1, 1)
    hits = _hits(b, name, spread, entries, node.count)
    turned = _transpose(b, f"{name}.columns", x)
    return _sum_of_hits(
        b, name, hits, _reshape(b, f"{name}.rows", turned, (1, columns, rows)), name
    )


def rank_rows(b: ProgramBuilder, node: RankNode, name: str, x: str) -> str:
    """Append the places of the largest elements of each row.

    Keys put the elements in order: x, and behind its last digit the place, the first (or the last)
    being the largest. No two keys are equal.
    """
    rows, size = b.shapes[x]
    digits = max((size - 1).bit_length(), 1)
    behind = np.arange(size, dtype=np.int64)
    frac = b.frac(x) + digits
    sign = np.asarray(-1 if node.smallest else 1, np.int64)
    key = b.affine(
        f"{name}.key", x, sign, fixed_of_range(min(int(sign), 0), 1, 0),
        behind if node.last else behind[::-1], frac,
    )  # fmt: skip
    key = b.refine(f"{name}.fine", key, frac)
    if node.count == 1:
        return _largest(b, node, name, key, digits)
    left = _reshape(b, f"{name}.left", key, (rows, size, 1))
    right = _reshape(b, f"{name}.right", key, (rows, 1, size))
    apart = b.pair(f"{name}.apart", left, right, ops.PairKind.SUB)
    above = b.clip(f"{name}.above", apart, 0, 1)
    above = b.shifted(f"{name}.is_above", above, frac, 0, 0)
    turned = b.exact(ops.Transpose(f"{name}.below", provisional(0), above, (0, 2, 1)))
    order = _sum_last_axis(b, f"{name}.order", turned)  # of each element: how many are larger
    asked_ranks = _reshape(b, f"{name}.asked", order, (rows, 1, size))
    ranks = np.arange(node.count).reshape(1, -1, 1)
    hits = _hits(b, name, asked_ranks, ranks, None)
    places = _constant(b, f"{name}.places", behind.reshape(1, 1, -1))
    return _sum_of_hits(b, name, hits, places, name)


def _largest(b: ProgramBuilder, node: RankNode, name: str, key: str, digits: int) -> str:
    """The place of the largest key: what its last digits say."""
    rows, size = b.shapes[key]
    deep = _reshape(b, f"{name}.row", key, (rows, size, 1))
    window = ((1, size), (1, 1), ((0, 0), (0, 0)))
    most = b.exact(
        ops.Pool(f"{name}.most", provisional(b.frac(key)), deep, ops.PoolKind.MAX, *window)
    )
    flat = _reshape(b, f"{name}.flat", most, (rows, 1))
    frac = b.frac(key)
    last = Quantizer(Fixed(False, digits, digits - frac), Rounding.TRN, Overflow.WRAP)
    rest = b.requant(f"{name}.rest", flat, last)
    factor, offset = (1, 0) if node.last else (-1, size - 1)
    return b.affine(
        name, rest, np.asarray(factor, np.int64), Fixed(True, 2, 2 + frac),
        np.asarray(offset, np.int64), 0,
    )  # fmt: skip


def _limit_index(b: ProgramBuilder, name: str, index: str, entries: int) -> str:
    """The index in whole numbers; one that means no entry may be any other that means none."""
    if b.frac(index) > 0:
        range_ = b.ranges[index]
        down = b.frac(index)
        type_ = fixed_of_range(range_.bottom >> down, range_.top >> down, 0)
        index = b.requant(f"{name}.whole", index, Quantizer(type_, Rounding.TRN, Overflow.SAT))
    index = b.refine(f"{name}.units", index, 0)
    low, high = widest_index(entries)
    if b.types[index].bits > fixed_of_range(low, high, 0).bits:  # else it is as narrow as can be
        index = b.clip(f"{name}.limited", index, low, high)
    return index


def _hits(b: ProgramBuilder, name: str, index: str, entries: Ints, around: int | None) -> str:
    """1 where the index means the entry, 0 elsewhere; `around`: so many entries before it is what
    counts from the end."""
    apart = b.pair(
        f"{name}.apart_from", index, _constant(b, f"{name}.each", entries), ops.PairKind.SUB
    )
    low, high = b.ranges[apart].bottom, b.ranges[apart].top
    differences = np.arange(low, high + 1)
    hit = differences == 0
    if around is not None and b.ranges[index].bottom < 0:
        hit |= differences == -around
    return b.add(ops.Table(f"{name}.hits", ONE, apart, low, ops.pack_weights(hit.astype(np.int64))))


def _sum_of_hits(b: ProgramBuilder, name: str, hits: str, x: str, result: str = "") -> str:
    """The sums of x over the last axis where there are hits."""
    products = b.pair(f"{name}.products", hits, x, ops.PairKind.MUL)
    return _sum_last_axis(b, result or f"{name}.sum", products)


def _sum_last_axis(b: ProgramBuilder, name: str, x: str) -> str:
    """Sums over the last of three axes."""
    first, second, last = b.shapes[x]
    rows = _reshape(b, f"{name}.terms", x, (first * second, last, 1))
    window = ((1, last), (1, 1), ((0, 0), (0, 0)))
    sums = ops.Pool(f"{name}.sums", provisional(b.frac(x)), rows, ops.PoolKind.SUM, *window)
    return _reshape(b, name, b.exact(sums), (first, second))


def _constant(b: ProgramBuilder, name: str, values: Ints) -> str:
    return b.exact(ops.Constant(name, provisional(0), ops.pack_weights(values.astype(np.int64))))


def _reshape(b: ProgramBuilder, name: str, x: str, shape: ops.Shape) -> str:
    return b.exact(ops.Reshape(name, provisional(b.frac(x)), x, shape))


def _transpose(b: ProgramBuilder, name: str, x: str) -> str:
    return b.exact(ops.Transpose(name, provisional(b.frac(x)), x, (1, 0)))
