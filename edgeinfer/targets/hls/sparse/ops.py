# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a project in tokens does beside the ops of a Program.

A value in tokens has a position for each site, in the order of a list of places: an image of one
row. So every op that looks at one pixel at a time is what it was. A list has as many places as a
frame can have sites, each {row + 1, column}, or {0, 0} after the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgeinfer.ir.bases import OPERAND, NamedValue
from edgeinfer.ir.ops import Shape
from quantization.fixed import Fixed

PLACE = 2  # numbers of a place


@dataclass(frozen=True, slots=True)
class SiteExtent:
    """The image that sites lie in, of one row if it has one axis, and how many there can be."""

    height: int
    width: int
    sites: int

    @property
    def place_type(self) -> Fixed:
        """The type of the numbers in a list. It has two bits at least, for one bit is another type
        in some backends."""
        bits = max(self.height.bit_length(), (self.width - 1).bit_length(), 2)
        return Fixed(False, bits, bits)

    @property
    def row_type(self) -> Fixed:
        """The type that tells where in a memory the word of a pixel is: its number, from 1."""
        bits = max(self.sites.bit_length(), 2)
        return Fixed(False, bits, bits)


@dataclass(frozen=True, slots=True)
class SiteTaps:
    """Which pixels a window sees, along rows and columns."""

    window: Shape
    strides: Shape
    dilation: Shape
    first_pads: Shape  # above and left of the image

    @staticmethod
    def of(window: Shape, strides: Shape, dilation: Shape, first_pads: Shape) -> SiteTaps:
        """Those of an image, or of one axis."""
        lead = 2 - len(window)
        ones, none = (1,) * lead, (0,) * lead
        return SiteTaps(
            (*ones, *window), (*ones, *strides), (*ones, *dilation), (*none, *first_pads)
        )

    @property
    def count(self) -> int:
        """How many."""
        return math.prod(self.window)

    @property
    def overlapping(self) -> Shape:
        """How many windows can see one pixel, along each axis."""
        pairs = zip(self.window, self.strides, strict=True)
        return tuple(-(-width // step) for width, step in pairs)


ONE_PIXEL = SiteTaps((1, 1), (1, 1), (1, 1), (0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class TokenOp(NamedValue):
    """An op of such a project alone."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceList(TokenOp):
    """The places where a mask is not zero."""

    x: str = field(metadata=OPERAND)
    extent: SiteExtent

    def shape_of(self, x: Shape) -> Shape:
        """A place for each site."""
        del x
        return (self.extent.sites, PLACE)


@dataclass(frozen=True, slots=True, eq=False)
class CoarserList(TokenOp):
    """The places of the windows that see a place of another list."""

    x: str = field(metadata=OPERAND)
    fine: SiteExtent
    coarse: SiteExtent
    taps: SiteTaps

    def shape_of(self, x: Shape) -> Shape:
        """A place for each coarser site."""
        del x
        return (self.coarse.sites, PLACE)


@dataclass(frozen=True, slots=True, eq=False)
class TokenWindows(TokenOp):
    """All taps of a window around each site as its channels; `others` are the sites where windows
    lie, if they are not those of x."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    others: tuple[str, ...] = field(metadata=OPERAND)
    extent: SiteExtent
    others_extent: SiteExtent
    taps: SiteTaps

    def shape_of(self, x: Shape, *lists: Shape) -> Shape:
        """A position for each site."""
        del lists
        return (*x[:-2], self.others_extent.sites, self.taps.count * x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class TokenPool(TokenOp):
    """The sum, or the largest, of what each window sees."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    others: str = field(metadata=OPERAND)
    extent: SiteExtent
    others_extent: SiteExtent
    taps: SiteTaps
    adds: bool

    def shape_of(self, x: Shape, *lists: Shape) -> Shape:
        """A position for each coarser site."""
        del lists
        return (*x[:-2], self.others_extent.sites, x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class FinerTokens(TokenOp):
    """The part of a coarser site's channels that each finer site is."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    others: str = field(metadata=OPERAND)
    extent: SiteExtent
    others_extent: SiteExtent
    factors: Shape  # along rows and columns
    fill: int  # after the last site

    def shape_of(self, x: Shape, *lists: Shape) -> Shape:
        """A position for each finer site."""
        del lists
        return (*x[:-2], self.others_extent.sites, x[-1] // math.prod(self.factors))


@dataclass(frozen=True, slots=True, eq=False)
class FrameWindows(TokenOp):
    """Windows around sites in a value that is there for every pixel."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    extent: SiteExtent
    image: Shape  # rows and columns of x
    taps: SiteTaps
    fill: int  # after the last site

    def shape_of(self, x: Shape, places: Shape) -> Shape:
        """A position for each site."""
        del places
        return (*(1,) * (len(x) - 2), self.extent.sites, self.taps.count * x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class TokenFrame(TokenOp):
    """Tokens as a frame again, zero beside the sites."""

    x: str = field(metadata=OPERAND)
    places: str = field(metadata=OPERAND)
    extent: SiteExtent

    def shape_of(self, x: Shape, places: Shape) -> Shape:
        """The image."""
        del places
        return (*(self.extent.height, self.extent.width)[-(len(x) - 1) :], x[-1])


@dataclass(frozen=True, slots=True, eq=False)
class ListCopy(TokenOp):
    """A list once more, for more readers than a stream of hls4ml has."""

    x: str = field(metadata=OPERAND)

    def shape_of(self, x: Shape) -> Shape:
        """The list's."""
        return x


SiteStep = (
    PlaceList
    | CoarserList
    | TokenWindows
    | TokenPool
    | FinerTokens
    | FrameWindows
    | TokenFrame
    | ListCopy
)
