# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An op for tokens as a block of a netlist in the making."""

from __future__ import annotations

import math
from typing import Protocol

from edgeinfer.base.names import Identifier
from edgeinfer.ir.bases import NamedValue
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.netlist import Block, Stream
from edgeinfer.targets.rtl.sparse import blocks
from edgeinfer.targets.rtl.sparse import ops as s
from quantization.fixed import Fixed


class Placing(Protocol):
    """What a netlist in the making offers: streams of values, and a place for blocks."""

    program: Program

    def name(self, name_wanted: str) -> Identifier: ...

    def stream(self, name_wanted: str, type_: Fixed, lanes: int, elements: int) -> Stream: ...

    def read(self, value: str) -> Stream: ...

    def with_lanes(self, x: Stream, lanes: int, op: str) -> Stream: ...

    def resize(self, x: Stream, type_: Fixed, op: str) -> Stream: ...

    def place(self, block: Block) -> None: ...

    def deliver(self, op: NamedValue, stream: Stream) -> None: ...


def place_site_op(op: s.SiteOp, build: Placing, wanted: int) -> None:
    """Place the block of an op and deliver its value. `wanted`: elements that the layer which
    reads a window takes at once."""
    shapes = build.program.shapes
    match op:
        case s.SiteFront():
            _place_front(op, build)
        case s.SiteList():
            return  # the front has delivered it
        case s.SiteCoarsen():
            y = build.stream(op.name, op.type, 1, math.prod(shapes[op.name]))
            build.place(blocks.coarsen(op, build.read(op.x), y))
            build.deliver(op, y)
        case s.SiteWindow():
            x, places, outputs = _pixels(op.x, op.name, build), op.places, op.outputs
            banks = blocks.window_banks(op, whole=wanted > op.kernel[0] * x.lanes)
            lanes = shapes[op.name][-1] // (1 if banks > 1 else op.kernel[1])
            y = build.stream(op.name, op.type, lanes, math.prod(shapes[op.name]))
            build.place(blocks.window(op, x, build.read(places), build.read(outputs), y, banks))
            build.deliver(op, y)
        case s.SiteAround():
            x = _pixels(op.x, op.name, build)
            banks = blocks.window_banks(op, whole=wanted > op.kernel[0] * x.lanes)
            lanes = shapes[op.name][-1] // (1 if banks > 1 else op.kernel[1])
            y = build.stream(op.name, op.type, lanes, math.prod(shapes[op.name]))
            build.place(blocks.around(op, x, build.read(op.places), y, banks))
            build.deliver(op, y)
        case s.SitePool():
            x = _pixels(op.x, op.name, build)
            if not op.add or x.type.bits > op.type.bits:
                x = build.resize(x, op.type, op.name)
            y = build.stream(op.name, op.type, x.lanes, math.prod(shapes[op.name]))
            build.place(blocks.pool(op, x, build.read(op.places), y))
            build.deliver(op, y)
        case s.SiteUp():
            channels = shapes[op.name][-1]
            x = build.resize(build.read(op.x), op.type, op.name)
            x = build.with_lanes(x, blocks.up_lanes(op, x.lanes, channels), op.name)
            y = build.stream(op.name, op.type, channels, math.prod(shapes[op.name]))
            build.place(blocks.up(op, x, build.read(op.places), build.read(op.outputs), y))
            build.deliver(op, y)
        case s.SiteSpread():
            x = _pixels(op.x, op.name, build)
            y = build.stream(op.name, op.type, x.lanes, math.prod(shapes[op.name]))
            build.place(blocks.spread(op, x, build.read(op.places), y))
            build.deliver(op, y)
        case _:
            raise AssertionError(op)


def _place_front(op: s.SiteFront, build: Placing) -> None:
    channels, grid = len(op.look), op.grid_of
    x = build.read(op.x)
    if not blocks.takes_whole_pixels(grid, x.lanes, channels):
        x = build.with_lanes(x, channels, op.name)
    tokens = build.stream(op.name, op.type, channels, grid.sites * channels)
    places = build.stream(op.places, grid.place_type, 1, grid.sites + 1)
    counter = build.name(f"{op.name}_dropped")
    build.place(blocks.front(op, x, tokens, places, counter))
    build.deliver(op, tokens)
    build.deliver(s.SiteList(op.places, grid.place_type, grid), places)


def _pixels(x: str, op: str, build: Placing) -> Stream:
    """A value with all channels of a token at once."""
    return build.with_lanes(build.read(x), build.program.shapes[x][-1], op)
