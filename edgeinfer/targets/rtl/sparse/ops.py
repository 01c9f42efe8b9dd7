# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a design in tokens does beside the ops of a Program.

A value in tokens has the shape (1, sites, channels): an image of one row, with a pixel for each
site, in the order of the rows. So every op that looks at one pixel at a time is what it was. Where
the sites lie is a value of its own, their list: {end, row, column} for each, and one whose `end` is
set after the last of a frame. `sites` is the most that a frame can have; a frame that has fewer has
fewer beats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgeinfer.ir.bases import OPERAND, NamedValue
from edgeinfer.ir.ops import Shape
from quantization.fixed import Fixed


@dataclass(frozen=True, slots=True)
class SiteGrid:
    """The image that sites lie in, and how many there can be."""

    height: int
    width: int
    sites: int

    @property
    def place_type(self) -> Fixed:
        """The type of a place in a list."""
        bits = 1 + index_bits(self.height) + index_bits(self.width)
        return Fixed(False, bits, bits)

    @property
    def list_shape(self) -> Shape:
        """The shape of a list, its end included."""
        return (1, self.sites + 1, 1)

    def tiles(self, window: Shape) -> SiteGrid:
        """The grid of its whole tiles."""
        rows, columns = self.height // window[0], self.width // window[1]
        return SiteGrid(rows, columns, min(self.sites, rows * columns))


def index_bits(count: int) -> int:
    """Bits of a number below `count`; at least one."""
    return max(count - 1, 1).bit_length()


@dataclass(frozen=True, slots=True, eq=False)
class SiteOp(NamedValue):
    """An op of such a design alone."""


@dataclass(frozen=True, slots=True, eq=False)
class SiteFront(SiteOp):
    """A frame's first lit pixels as tokens; `places` is the list that it makes beside them."""

    x: str = field(metadata=OPERAND)
    places: str
    threshold: int
    look: tuple[bool, ...]  # the channels that make a pixel lit
    grid_of: SiteGrid

    def shape_of(self, x: Shape) -> Shape:
        """A pixel for each site."""
        return (1, self.grid_of.sites, x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class SiteList(SiteOp):
    """The list that a front makes; it reads nothing, for the front has read it."""

    grid_of: SiteGrid

    def shape_of(self) -> Shape:
        """That of a list."""
        return self.grid_of.list_shape


@dataclass(frozen=True, slots=True, eq=False)
class SiteCoarsen(SiteOp):
    """The list of the tiles that hold a place of another list."""

    x: str = field(metadata=OPERAND)
    fine: SiteGrid
    window: Shape

    def shape_of(self, x: Shape) -> Shape:
        """That of the coarser list."""
        del x
        return self.fine.tiles(self.window).list_shape


@dataclass(frozen=True, slots=True, eq=False)
class SiteWindow(SiteOp):
    """The windows around the places of another list, the coarser sites, column by column."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    outputs: str = field(metadata=OPERAND)
    fine: SiteGrid
    coarse: SiteGrid
    kernel: Shape
    strides: Shape
    dilation: Shape
    first_pads: Shape  # above and left of the image

    def shape_of(self, x: Shape, places: Shape, outputs: Shape) -> Shape:
        """All taps of a window as channels of its pixel."""
        del places, outputs
        return (1, self.coarse.sites, math.prod(self.kernel) * x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class SiteAround(SiteOp):
    """The windows around the places of one list, each beside its own token, column by column."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    grid_of: SiteGrid
    kernel: Shape
    dilation: Shape
    first_pads: Shape  # above and left of the image

    def shape_of(self, x: Shape, places: Shape) -> Shape:
        """All taps of a window as channels of its pixel."""
        del places
        return (1, self.grid_of.sites, math.prod(self.kernel) * x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class SitePool(SiteOp):
    """The sum, or the largest, of the tokens in each tile."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    fine: SiteGrid
    window: Shape
    add: bool

    def shape_of(self, x: Shape, places: Shape) -> Shape:
        """A pixel for each tile that holds a site."""
        del places
        return (1, self.fine.tiles(self.window).sites, x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class SiteUp(SiteOp):
    """The tokens of tiles, with the channels of all their pixels, as tokens of finer sites."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    outputs: str = field(metadata=OPERAND)
    fine: SiteGrid
    window: Shape

    def shape_of(self, x: Shape, places: Shape, outputs: Shape) -> Shape:
        """A pixel for each finer site."""
        del places, outputs
        return (1, self.fine.sites, x[-1] // math.prod(self.window))


@dataclass(frozen=True, slots=True, eq=False)
class SiteSpread(SiteOp):
    """Tokens as a frame again, zero beside the sites."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    grid_of: SiteGrid

    def shape_of(self, x: Shape, places: Shape) -> Shape:
        """The image."""
        del places
        return (self.grid_of.height, self.grid_of.width, x[-1])
