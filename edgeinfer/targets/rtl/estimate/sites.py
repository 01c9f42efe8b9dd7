# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the blocks for tokens are made of, from the parameters of an instance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from edgeinfer.targets.rtl.estimate.work import (
    BlockParts,
    BlockSizes,
    Memory,
    WordChoice,
    Work,
    addition,
    bits_for,
    counter,
    join_parts,
    registers,
)

DROPPED_BITS = 32


def _place_bits(sizes: BlockSizes) -> int:
    return max(bits_for(sizes["HEIGHT"]), 1) + max(bits_for(sizes["WIDTH"]), 1)


def _front(sizes: BlockSizes) -> BlockParts:
    pixels, pixel = sizes["PIXELS"], sizes["CHANNELS"] * sizes["BITS"]
    looked = sizes["LOOK"].bit_count()
    place, left = _place_bits(sizes), bits_for(sizes["MOST"] + 1)
    count = bits_for(pixels + 1)
    work: dict[Work, float] = {
        Work.REGISTER: pixels * (pixel + 1) + pixel + 4 * place + 2 * count + left + DROPPED_BITS,
        Work.EQUAL: pixels * looked * (sizes["BITS"] + 1),
        Work.SHORT_ADD: pixels + 2 * pixels,  # the lowest that is set, and how many are
        Work.COUNT: left + DROPPED_BITS,
    }
    return join_parts((
        BlockParts(work, choices=(WordChoice(pixels, pixel),)),
        counter(sizes["HEIGHT"] * sizes["WIDTH"] // pixels), BlockParts(addition(place, 2)),
    ))  # fmt: skip


def _window(sizes: BlockSizes) -> BlockParts:
    pixel, banks = sizes["CHANNELS"] * sizes["BITS"], sizes["BANKS"]
    reach = (sizes["KERNEL_H"] - 1) * sizes["DILATE_H"] + 1
    rows = 1 << max(bits_for(reach), 1)
    taps = sizes["KERNEL_H"] * (sizes["KERNEL_W"] if banks > 1 else 1)
    place = _place_bits(sizes)
    row_bits = bits_for(sizes["HEIGHT"] + sizes["OUT_HEIGHT"] * sizes["STRIDE_H"] + reach) + 2
    ring = 1 << max(bits_for(sizes["SITES"]), 1)
    work: dict[Work, float] = {
        Work.REGISTER: rows * (banks * pixel + row_bits) + taps * pixel
        + sizes["KERNEL_H"] * rows + sizes["KERNEL_W"] * banks + 4 * row_bits,
        Work.EQUAL: sizes["KERNEL_H"] * rows * row_bits,
        Work.COMPARE: 5 * row_bits,
        Work.CHOOSE: sizes["KERNEL_H"] * banks * rows * pixel
        + (taps * banks * pixel if banks > 1 else 0),
    }  # fmt: skip
    lines = Memory(math.ceil(sizes["WIDTH"] / banks), pixel, stages=1)
    return join_parts((
        BlockParts(work | addition(row_bits, sizes["KERNEL_H"] + banks + 4),
                   (*[lines] * (rows * banks), Memory(ring, place))),
        counter(ring), counter(ring), counter(2 * ring), counter(sizes["WIDTH"]),
    ))  # fmt: skip


def _around(sizes: BlockSizes) -> BlockParts:
    """A window that reads its list once; its place is looked up beside the oldest one."""
    same = {"OUT_HEIGHT": sizes["HEIGHT"], "STRIDE_H": 1}
    ring = 1 << max(bits_for(sizes["SITES"]), 1)
    return join_parts((
        _window({**sizes, **same}), BlockParts({}, (Memory(ring, _place_bits(sizes)),)),
        counter(ring), counter(2 * ring),
    ))  # fmt: skip


def _tiles(sizes: BlockSizes) -> BlockParts:
    columns = sizes["WIDTH"] // sizes["TILE_W"]
    return join_parts((
        registers(columns + _place_bits(sizes)),
        BlockParts(
            {Work.SHORT_ADD: columns, Work.EQUAL: _place_bits(sizes)},
            choices=(WordChoice(columns, 1 + max(bits_for(columns), 1)),),
        ),
    ))  # fmt: skip


def _pool(sizes: BlockSizes) -> BlockParts:
    wide = sizes["CHANNELS"] * sizes["OUT_BITS"]
    count = bits_for(sizes["TILE_H"] * sizes["TILE_W"] + 1)
    work: dict[Work, float] = {Work.SELECT: wide, Work.COUNT: count}
    work |= addition(sizes["OUT_BITS"], sizes["CHANNELS"])
    if not sizes["SUM"]:
        work[Work.SELECT] += 2 * wide
    line_memory = Memory(sizes["WIDTH"] // sizes["TILE_W"], wide + count)
    return join_parts((_tiles(sizes), BlockParts(work, (line_memory,))))


def _up(sizes: BlockSizes) -> BlockParts:
    pixel, beats = sizes["PIXEL"], sizes["BEATS"]
    parts = sizes["TILE_H"] * sizes["TILE_W"] // beats
    columns, place = sizes["WIDTH"] // sizes["TILE_W"], _place_bits(sizes)
    words = columns if beats == 1 else columns << bits_for(beats)
    work: dict[Work, float] = {
        Work.REGISTER: pixel + place + bits_for(parts) + 4,
        Work.EQUAL: 3 * place,
    }
    return join_parts((
        BlockParts(
            work, (Memory(words, parts * pixel, stages=1),), choices=(WordChoice(parts, pixel),)
        ),
        counter(beats),
    ))  # fmt: skip


def _spread(sizes: BlockSizes) -> BlockParts:
    own: dict[Work, float] = {Work.SELECT: sizes["PIXEL"], Work.EQUAL: _place_bits(sizes)}
    return join_parts((counter(sizes["HEIGHT"]), counter(sizes["WIDTH"]), BlockParts(own)))


SITE_MODULES: Mapping[str, Callable[[BlockSizes], BlockParts]] = {
    "ei_sites": _front,
    "ei_site_window": _window,
    "ei_site_around": _around,
    "ei_site_coarsen": _tiles,
    "ei_site_pool": _pool,
    "ei_site_up": _up,
    "ei_site_spread": _spread,
}
