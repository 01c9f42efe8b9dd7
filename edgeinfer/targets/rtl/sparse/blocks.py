# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The blocks of designs in tokens: their parameters and their timing.

How long such a block takes depends on the frame: on how many sites it has and where they lie. The
timing here is that of the latest it can be with the most sites: all inputs come, then all outputs
leave. A block whose memory holds a few rows may take an input later than that, when outputs must
leave first. Then the work before it and the work behind it take turns, while here all of one comes
before all of the other, so that nothing leaves later. A design is never later than it is counted
with these, and often earlier; frames in simulation are held to that.
"""

from __future__ import annotations

import math

from edgeinfer.targets.rtl.design.blocks import axis_parameters, make_block, type_parameters
from edgeinfer.targets.rtl.design.netlist import (
    Actor,
    Block,
    BlockStep,
    Parameter,
    PortNames,
    SizedNumber,
    Stream,
)
from edgeinfer.targets.rtl.sparse import ops as s

FRONT_LATENCY, WINDOW_LATENCY, TILES_LATENCY, UP_LATENCY, SPREAD_LATENCY = 3, 4, 1, 3, 1
TILES = frozenset({"ei_site_tiles"})
WINDOW = frozenset({"ei_site_window"})
JOINED = PortNames(inputs=("s", "b", "o"))
MOST_BANKS = 16  # of columns that a window reads at once

GIVE = BlockStep(reserves=True, yields=True)


def _take(bits: int, cycles: int = 1) -> BlockStep:
    return BlockStep(reads=bits, frees=bits, cycles=cycles)


def front(op: s.SiteFront, x: Stream, tokens: Stream, places: Stream, counter: str) -> Block:
    """Lit pixels of a frame, and their places."""
    grid, channels = op.grid_of, len(op.look)
    # A threshold that no number reaches, or that all do, is the nearest that a beat can be held to.
    threshold = min(max(op.threshold, x.type.raw_min - 1), x.type.raw_max)
    pattern = (
        *[_take(1)] * x.beats,
        *[GIVE] * grid.sites,
        BlockStep(reserves=True, yields=True, gives=0b10),
    )
    actor = Actor((x.name,), (tokens.name, places.name), pattern, 1, FRONT_LATENCY)
    parameters: dict[str, Parameter] = {
        **type_parameters("", x.type),
        "CHANNELS": channels,
        "PIXELS": x.lanes // channels,
        "HEIGHT": grid.height,
        "WIDTH": grid.width,
        "MOST": grid.sites,
        "THRESHOLD": SizedNumber(x.type.bits + 1, threshold),
        "LOOK": SizedNumber(channels, sum(1 << k for k, seen in enumerate(op.look) if seen)),
    }
    return Block(
        "ei_sites", f"{tokens.name}_front", op.name, parameters, (x.name,),
        (tokens.name, places.name), (actor,), counter=counter,
    )  # fmt: skip


def front_pixels(grid: s.SiteGrid, channels: int, bits: int, widest: int) -> int:
    """Pixels that come at once: so many that a frame has no more beats than sites, if a beat may be
    so wide. They divide a row, or are whole rows."""
    rows = [n * grid.width for n in range(1, grid.height + 1) if grid.height % n == 0]
    choices = [n for n in range(1, grid.width) if grid.width % n == 0] + rows
    fitting = [n for n in choices if n * channels * bits <= widest] or [1]
    enough = [n for n in fitting if grid.height * grid.width <= n * grid.sites]
    return min(enough, default=max(fitting))


def takes_whole_pixels(grid: s.SiteGrid, lanes: int, channels: int) -> bool:
    """Whether beats of so many elements are what a front takes."""
    pixels = lanes // channels
    return lanes % channels == 0 and (grid.width % pixels == 0 or pixels % grid.width == 0)


def coarsen(op: s.SiteCoarsen, x: Stream, y: Stream) -> Block:
    """The list of tiles."""
    waiting = BlockStep(reads=1, reserves=True, yields=True)
    last = BlockStep(reads=1, frees=1, reserves=True, yields=True)
    pattern = (*[_take(1)] * op.fine.sites, *[waiting] * (y.beats - 1), last)
    return make_block(
        "ei_site_coarsen", (x,), y, op.name, _tiles(op.fine, op.window), TILES_LATENCY, {}, pattern,
        1, parts=TILES,
    )  # fmt: skip


def _tiles(grid: s.SiteGrid, window: tuple[int, ...]) -> dict[str, Parameter]:
    return {"HEIGHT": grid.height, "WIDTH": grid.width, **axis_parameters("TILE", window)}


def pool(op: s.SitePool, x: Stream, places: Stream, y: Stream) -> Block:
    """The tokens of each tile as one."""
    waiting = BlockStep(reads=0b10, reserves=True, yields=True)
    pattern = (*[_take(0b11)] * op.fine.sites, *[waiting] * y.beats, _take(0b10))
    parameters: dict[str, Parameter] = {
        **type_parameters("", x.type),
        "CHANNELS": x.lanes,
        **_tiles(op.fine, op.window),
        "SUM": int(op.add),
        "OUT_BITS": y.type.bits,
    }
    xs = (x, places)
    return make_block(
        "ei_site_pool", xs, y, op.name, parameters, TILES_LATENCY, {}, pattern, 1, parts=TILES
    )


def window_banks(op: s.SiteWindow | s.SiteAround, whole: bool) -> int:
    """Memories that a row lies in: as many as a window has columns, where it is read at once."""
    banks = 1 << (op.kernel[1] - 1).bit_length()
    return banks if whole and op.dilation[1] == 1 and 1 < banks <= MOST_BANKS else 1


def window(
    op: s.SiteWindow, x: Stream, places: Stream, outputs: Stream, y: Stream, banks: int
) -> Block:
    """The windows around sites."""
    beats = 1 if banks > 1 else op.kernel[1]
    waiting = BlockStep(reads=0b100, reserves=True, yields=True)
    last = BlockStep(reads=0b100, frees=0b100, reserves=True, yields=True)
    # A token is cleared again, which takes the memories a second cycle.
    pattern = (
        *[_take(0b011, cycles=2)] * op.fine.sites,
        _take(0b010),
        *(*[waiting] * (beats - 1), last) * op.coarse.sites,
        _take(0b100),
    )
    parameters: dict[str, Parameter] = {
        "BITS": x.type.bits,
        "CHANNELS": x.lanes,
        "HEIGHT": op.fine.height,
        "WIDTH": op.fine.width,
        "OUT_HEIGHT": op.coarse.height,
        "OUT_WIDTH": op.coarse.width,
        **axis_parameters("KERNEL", op.kernel),
        **axis_parameters("STRIDE", op.strides),
        **axis_parameters("DILATE", op.dilation),
        "PAD_TOP": op.first_pads[0],
        "PAD_LEFT": op.first_pads[1],
        "SITES": _tokens_at_once(op, op.fine),
        "BANKS": banks,
    }
    xs = (x, places, outputs)
    return make_block(
        "ei_site_window", xs, y, op.name, parameters, WINDOW_LATENCY, {}, pattern, 1, JOINED
    )


def around(op: s.SiteAround, x: Stream, places: Stream, y: Stream, banks: int) -> Block:
    """The windows around sites of one list, which is read once."""
    grid, beats = op.grid_of, 1 if banks > 1 else op.kernel[1]
    # A token is cleared again, which takes the memories a second cycle.
    pattern = (*[_take(0b11, cycles=2)] * grid.sites, _take(0b10), *[GIVE] * (beats * grid.sites))
    parameters: dict[str, Parameter] = {
        "BITS": x.type.bits,
        "CHANNELS": x.lanes,
        "HEIGHT": grid.height,
        "WIDTH": grid.width,
        **axis_parameters("KERNEL", op.kernel),
        **axis_parameters("DILATE", op.dilation),
        "PAD_TOP": op.first_pads[0],
        "PAD_LEFT": op.first_pads[1],
        "SITES": _tokens_at_once(op, grid),
        "BANKS": banks,
    }
    return make_block(
        "ei_site_around", (x, places), y, op.name, parameters, WINDOW_LATENCY, {}, pattern, 1,
        parts=WINDOW,
    )  # fmt: skip


def _tokens_at_once(op: s.SiteWindow | s.SiteAround, grid: s.SiteGrid) -> int:
    """Tokens that lie in a window's memories at most: those of a frame, or of all their rows."""
    rows = 1 << max(((op.kernel[0] - 1) * op.dilation[0]).bit_length(), 1)
    return min(grid.sites, rows * grid.width)


def up_lanes(op: s.SiteUp, lanes: int, channels: int) -> int:
    """Elements of a tile's token that come at once: those of whole pixels, as many as make no beats
    wider than they are, and one pixel at least."""
    pixels = math.prod(op.window)
    return max(
        part * channels
        for part in range(1, pixels + 1)
        if pixels % part == 0 and (part == 1 or part * channels <= lanes)
    )


def up(op: s.SiteUp, x: Stream, places: Stream, outputs: Stream, y: Stream) -> Block:
    """Finer sites."""
    tiles = op.fine.tiles(op.window)
    beats = math.prod(op.window) * y.lanes // x.lanes
    token = (*[BlockStep(reads=0b011, frees=0b001)] * (beats - 1), _take(0b011))
    one = BlockStep(reads=0b100, frees=0b100, reserves=True, yields=True)
    pattern = (*token * tiles.sites, *[one] * op.fine.sites, _take(0b110))
    parameters: dict[str, Parameter] = {
        "PIXEL": y.width,
        **_tiles(op.fine, op.window),
        "BEATS": beats,
    }
    xs = (x, places, outputs)
    return make_block("ei_site_up", xs, y, op.name, parameters, UP_LATENCY, {}, pattern, 1, JOINED)


def spread(op: s.SiteSpread, x: Stream, places: Stream, y: Stream) -> Block:
    """Tokens as a frame."""
    pattern = (*[_take(0b11)] * op.grid_of.sites, _take(0b10), *[GIVE] * y.beats)
    parameters: dict[str, Parameter] = {
        "PIXEL": x.width,
        "HEIGHT": op.grid_of.height,
        "WIDTH": op.grid_of.width,
    }
    xs = (x, places)
    return make_block("ei_site_spread", xs, y, op.name, parameters, SPREAD_LATENCY, {}, pattern, 1)
