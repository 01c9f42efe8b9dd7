# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures as data: marks with places, which one template turns into SVG.

A mark's `kind` is a class of the style sheet, so that a picture follows the theme of its page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Anchor = Literal["start", "middle", "end"]
FONT = 12.0
WIDE = 0.56  # of the font's size: how wide a character is on average


@dataclass(frozen=True, slots=True)
class Line:
    """Straight from point to point."""

    points: tuple[tuple[float, float], ...]
    kind: str
    about: str = ""
    mark: Literal["line"] = "line"


@dataclass(frozen=True, slots=True)
class CurveMark:
    """From one point to another, leaving and arriving vertically."""

    start: tuple[float, float]
    stop: tuple[float, float]
    kind: str
    mark: Literal["curve"] = "curve"


@dataclass(frozen=True, slots=True)
class Area:
    """A filled shape."""

    points: tuple[tuple[float, float], ...]
    kind: str
    about: str = ""
    mark: Literal["area"] = "area"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    about: str = ""
    round: float = 0.0
    mark: Literal["box"] = "box"


@dataclass(frozen=True, slots=True)
class Dot:
    """A point that counts: a circle, or a square or a diamond of the same size."""

    x: float
    y: float
    kind: str
    about: str = ""
    size: float = 4.5
    form: Literal["circle", "square", "diamond"] = "circle"
    mark: Literal["dot"] = "dot"


@dataclass(frozen=True, slots=True)
class Label:
    """Words."""

    x: float
    y: float
    text: str
    kind: str = "ink"
    anchor: Anchor = "start"
    turned: bool = False
    mark: Literal["label"] = "label"


@dataclass(frozen=True, slots=True)
class Raster:
    """A picture of points, held in its address."""

    x: float
    y: float
    width: float
    height: float
    address: str  # data:image/png;base64,...
    about: str = ""
    mark: Literal["raster"] = "raster"


Mark = Line | CurveMark | Area | Box | Dot | Label | Raster


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture: what it shows in a title, and in a sentence for those who do not see it."""

    name: str
    title: str
    sentence: str
    width: float
    height: float
    marks: tuple[Mark, ...]
    note: str = ""


def width_of(text: str, font: float = FONT) -> float:
    """About how wide words are."""
    return len(text) * font * WIDE


def cut(text: str, room: float, font: float = FONT) -> str:
    """Words that fit into a width; the middle of those that do not is left out."""
    most = max(int(room / (font * WIDE)), 3)
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"
