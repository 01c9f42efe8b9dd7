# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the blocks for tokens are made of, from the parameters of an instance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from edgeinfer.targets.rtl.estimate.work import (
    BlockParts,
    Memory,
    Work,
    addition,
    bits_for,
    counter,
    join_parts,
    registers,
)

Known = Mapping[str, int]
DROPPED_BITS = 32


def _place_bits(known: Known) -> int:
    return max(bits_for(known["HEIGHT"]), 1) + max(bits_for(known["WIDTH"]), 1)


def _front(known: Known) -> BlockParts:
    pixels, pixel = known["PIXELS"], known["CHANNELS"] * known["BITS"]
    looked = known["LOOK"].bit_count()
    place, left = _place_bits(known), bits_for(known["MOST"] + 1)
    count = bits_for(pixels + 1)
    work: dict[Work, float] = {
        Work.REGISTER: pixels * (pixel + 1) + pixel + 4 * place + 2 * count + left + DROPPED_BITS,
        Work.COMPARE: pixels * looked * (known["BITS"] + 1),
        Work.SHORT_ADD: pixels + 2 * pixels,  # the lowest that is set, and how many are
        Work.PICK: pixels * pixel,
        Work.COUNT: left + DROPPED_BITS,
    }
    return join_parts((
        BlockParts(work), counter(known["HEIGHT"] * known["WIDTH"] // pixels),
        BlockParts(addition(place, 2)),
    ))  # fmt: skip


def _window(known: Known) -> BlockParts:
    pixel, banks = known["CHANNELS"] * known["BITS"], known["BANKS"]
    reach = (known["KERNEL_H"] - 1) * known["DILATE_H"] + 1
    rows = 1 << max(bits_for(reach), 1)
    taps = known["KERNEL_H"] * (known["KERNEL_W"] if banks > 1 else 1)
    place = _place_bits(known)
    row_bits = bits_for(known["HEIGHT"] + known["OUT_HEIGHT"] * known["STRIDE_H"] + reach) + 2
    ring = 1 << max(bits_for(known["SITES"]), 1)
    work: dict[Work, float] = {
        Work.REGISTER: rows * (banks * pixel + row_bits) + taps * pixel
        + known["KERNEL_H"] * rows + known["KERNEL_W"] * banks + 4 * row_bits,
        Work.COMPARE: (known["KERNEL_H"] * rows + 5) * row_bits,
        Work.CHOOSE: known["KERNEL_H"] * banks * rows * pixel
        + (taps * banks * pixel if banks > 1 else 0),
    }  # fmt: skip
    lines = Memory(math.ceil(known["WIDTH"] / banks), pixel, stages=1)
    return join_parts((
        BlockParts(work | addition(row_bits, known["KERNEL_H"] + banks + 4),
                   (*[lines] * (rows * banks), Memory(ring, place))),
        counter(ring), counter(ring), counter(2 * ring), counter(known["WIDTH"]),
    ))  # fmt: skip


def _tiles(known: Known) -> BlockParts:
    columns = known["WIDTH"] // known["TILE_W"]
    return join_parts((
        registers(columns + _place_bits(known)),
        BlockParts({
            Work.SHORT_ADD: columns,
            Work.PICK: columns * (1 + max(bits_for(columns), 1)),
            Work.COMPARE: _place_bits(known),
        }),
    ))  # fmt: skip


def _pool(known: Known) -> BlockParts:
    wide = known["CHANNELS"] * known["OUT_BITS"]
    count = bits_for(known["TILE_H"] * known["TILE_W"] + 1)
    work: dict[Work, float] = {Work.SELECT: wide, Work.COUNT: count}
    work |= addition(known["OUT_BITS"], known["CHANNELS"])
    if not known["SUM"]:
        work[Work.SELECT] += 2 * wide
    held = Memory(known["WIDTH"] // known["TILE_W"], wide + count)
    return join_parts((_tiles(known), BlockParts(work, (held,))))


def _spread(known: Known) -> BlockParts:
    own: dict[Work, float] = {Work.SELECT: known["PIXEL"], Work.COMPARE: _place_bits(known)}
    return join_parts((counter(known["HEIGHT"]), counter(known["WIDTH"]), BlockParts(own)))


SITE_MODULES: Mapping[str, Callable[[Known], BlockParts]] = {
    "ei_sites": _front,
    "ei_site_window": _window,
    "ei_site_coarsen": _tiles,
    "ei_site_pool": _pool,
    "ei_site_spread": _spread,
}
