# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The pictures of a report drawn by matplotlib: the same marks, in the same places and colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any, assert_never

from edgeinfer.report.draw.marks import (
    FONT,
    Area,
    Box,
    CurveMark,
    Dot,
    Figure,
    Label,
    Line,
    Mark,
    Raster,
)
from edgeinfer.report.draw.style import look_of

PIXELS_AN_INCH = 96.0  # as CSS has it
POINTS_A_PIXEL = 72.0 / PIXELS_AN_INCH
DOTS_AN_INCH = 300  # of a PNG
ALIGNED = {"start": "left", "middle": "center", "end": "right"}
WEIGHTS = {"600": "bold"}
SQUARE, DIAMOND = 0.9, 1.3  # of a dot's size, as figure.svg.j2 draws them


def pdf_and_png(figure: Figure) -> dict[str, bytes]:
    """A picture as PDF, with text as text, and as PNG for screens, by the ends of their names."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    settings: Any = {"pdf.fonttype": 42, "font.family": "DejaVu Sans", "text.parse_math": False}
    with rc_context(settings):
        size = (figure.width / PIXELS_AN_INCH, figure.height / PIXELS_AN_INCH)
        canvas = Canvas(figsize=size, dpi=PIXELS_AN_INCH)
        FigureCanvasAgg(canvas)
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, figure.width)
        axes.set_ylim(figure.height, 0)  # as in SVG, y grows downwards
        axes.set_axis_off()
        for order, mark in enumerate(figure.marks):
            _draw(axes, mark, order + 1)
        contents = {}
        for ending, options in (
            ("pdf", {"metadata": {"CreationDate": None, "Title": figure.title}}),
            ("png", {"dpi": DOTS_AN_INCH, "metadata": {"Title": figure.title}}),
        ):
            buffer = io.BytesIO()
            canvas.savefig(buffer, format=ending, **options)
            contents[ending] = buffer.getvalue()
    return contents


def _draw(axes: Any, mark: Mark, order: int) -> None:
    from matplotlib import patches

    match mark:
        case Line(points=points, kind=kind):
            look = look_of(kind, "polyline")
            xs, ys = zip(*points, strict=True)
            line = _line_style(look)
            if line is not None:
                axes.plot(xs, ys, zorder=order, solid_capstyle="butt", **line)
        case CurveMark(start=start, stop=stop, kind=kind):
            middle = (start[1] + stop[1]) / 2
            places = [start, (start[0], middle), (stop[0], middle), stop]
            _add_path(axes, places, [1, 4, 4, 4], look_of(kind, "path"), order)
        case Area(points=points, kind=kind):
            axes.add_patch(
                patches.Polygon(
                    list(points), closed=True, zorder=order, **_fill_style(look_of(kind, "polygon"))
                )
            )
        case Box():
            look = look_of(mark.kind, "rect")
            corner = (mark.x, mark.y)
            shape: Any = patches.Rectangle(corner, mark.width, mark.height)
            if mark.round:
                style = patches.BoxStyle.Round(pad=0, rounding_size=mark.round)
                shape = patches.FancyBboxPatch(corner, mark.width, mark.height, boxstyle=style)
            shape.set(zorder=order, **_fill_style(look))
            axes.add_patch(shape)
        case Raster():
            right, bottom = mark.x + mark.width, mark.y + mark.height
            axes.imshow(
                _pixels(mark.address),
                extent=(mark.x, right, bottom, mark.y),
                aspect="auto",
                interpolation="nearest",
                zorder=order,
            )
        case Dot():
            axes.add_patch(_dot(mark, order))
        case Label():
            _write(axes, mark, order)
        case _:
            assert_never(mark)


def _pixels(address: str) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(base64.b64decode(address.partition(",")[2])), format="png")


def _add_path(
    axes: Any, places: list[tuple[float, float]], codes: list[int], look: Mapping[str, str],
    order: int,
) -> None:  # fmt: skip
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    axes.add_patch(PathPatch(Path(places, codes), zorder=order, **_fill_style(look)))


def _dot(mark: Dot, order: int) -> Any:
    from matplotlib import patches

    kind, size = f"dot {mark.kind}", mark.size
    match mark.form:
        case "circle":
            shape: Any = patches.Circle((mark.x, mark.y), size)
            element = "circle"
        case "square":
            half = SQUARE * size
            shape = patches.Rectangle((mark.x - half, mark.y - half), 2 * half, 2 * half)
            element = "rect"
        case "diamond":
            reach = DIAMOND * size
            places = [(0, -reach), (reach, 0), (0, reach), (-reach, 0)]
            shape = patches.Polygon([(mark.x + dx, mark.y + dy) for dx, dy in places])
            element = "path"
        case _:
            assert_never(mark.form)
    shape.set(zorder=order, **_fill_style(look_of(kind, element)))
    return shape


def _write(axes: Any, mark: Label, order: int) -> None:
    from matplotlib import patheffects

    look = look_of(mark.kind, "text")
    size = float(look.get("font-size", f"{FONT:g}px").removesuffix("px")) * POINTS_A_PIXEL
    drawn = axes.text(
        mark.x, mark.y, mark.text, zorder=order, color=look["fill"], fontsize=size,
        ha=ALIGNED[mark.anchor], va="baseline", rotation=90 if mark.turned else 0,
        rotation_mode="anchor", weight=WEIGHTS.get(look.get("font-weight", ""), "normal"),
    )  # fmt: skip
    if look.get("paint-order") == "stroke":
        width = _width(look)
        drawn.set_path_effects([patheffects.withStroke(linewidth=width, foreground=look["stroke"])])


def _width(look: Mapping[str, str]) -> float:
    return float(look["stroke-width"].removesuffix("px")) * POINTS_A_PIXEL


def _line_style(look: Mapping[str, str]) -> dict[str, Any] | None:
    """Colour, width and dashes of a line; None where nothing is drawn."""
    if look["stroke"] == "none":
        return None
    style: dict[str, Any] = {
        "color": look["stroke"],
        "linewidth": _width(look),
        "alpha": float(look.get("stroke-opacity", 1)),
    }
    if dashes := look.get("stroke-dasharray"):
        width = float(look["stroke-width"].removesuffix("px"))
        style["linestyle"] = (0, [float(part) / width for part in dashes.split()])
    return style


def _fill_style(look: Mapping[str, str]) -> dict[str, Any]:
    """Fill and edge of a shape."""
    from matplotlib.colors import to_rgba

    fill = look["fill"]
    line = _line_style(look)
    style: dict[str, Any] = {
        "facecolor": "none" if fill == "none" else to_rgba(fill, float(look.get("fill-opacity", 1)))
    }
    if line is None:
        return {**style, "edgecolor": "none", "linewidth": 0}
    style |= {"edgecolor": to_rgba(line["color"], line["alpha"]), "linewidth": line["linewidth"]}
    return style | ({"linestyle": line["linestyle"]} if "linestyle" in line else {})
