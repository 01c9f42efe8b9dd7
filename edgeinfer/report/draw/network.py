# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The network as a graph: values in rows by their distance from the inputs, data flowing down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeinfer.evaluate.profile.data import Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.draw.graph_layout import lay_out
from edgeinfer.report.draw.marks import (
    Area,
    Box,
    CurveMark,
    Figure,
    Label,
    Line,
    Mark,
    cut,
    width_of,
)

ACROSS, DOWN = 252.0, 72.0  # from one value to the next
WIDE, TALL = 220.0, 44.0
MARGIN = 2.0
MOST_VALUES = 120  # that are drawn
IN_A_ROW = 4  # of a network that is a mere chain, which runs like text
ARROW = 4.0
BOLDER = 1.25  # how much wider bold words are
LINEAR = ("Conv", "Dense", "Scale", "PRelu")
ROUNDING = ("Requant", "Clip", "Table", "Softmax")


def network_figure(profile: Profile) -> Figure | None:
    """The first values of the Program, and what reads what."""
    layers = profile.layers[:MOST_VALUES]
    if not layers:
        return None
    names = {layer.name for layer in layers}
    reads = {layer.name: [r for r in layer.reads if r in names] for layer in layers}
    chain = all(
        read == [before] for before, read in zip(reads, list(reads.values())[1:], strict=False)
    )
    places, marks, width, height = _text_like(reads) if chain else _in_rows(reads)
    for layer in layers:
        marks += _value(layer, *places[layer.name])
    left = len(profile.layers) - len(layers)
    note = f"The first {len(layers)} of {len(profile.layers):,} values." if left else ""
    ops = [f"{layer.op} {words.short(layer.name, 30)}" for layer in layers[:12]]
    more = " and so on" if len(layers) > 12 else ""
    sentence = (
        f"{words.count_noun(len(profile.layers), 'value')}, in order: {', '.join(ops)}{more}."
    )
    return Figure(
        "network", "The Program as a graph", sentence, max(width, 320.0), height, tuple(marks), note
    )


Drawn = tuple[dict[str, tuple[float, float]], list[Mark], float, float]


def _text_like(reads: Mapping[str, Sequence[str]]) -> Drawn:
    """A mere chain, from left to right and row below row."""
    places = {
        name: (MARGIN + ACROSS * (n % IN_A_ROW), MARGIN + DOWN * (n // IN_A_ROW))
        for n, name in enumerate(reads)
    }
    marks: list[Mark] = []
    for name, sources in reads.items():
        for source in sources:
            marks += _step(places[source], places[name])
    width = max(x for x, _ in places.values()) + WIDE + MARGIN
    return places, marks, width, max(y for _, y in places.values()) + TALL + MARGIN


def _step(before: tuple[float, float], after: tuple[float, float]) -> list[Mark]:
    """To the next value, or to the first of the next row."""
    y = before[1] + TALL / 2
    if after[1] == before[1]:
        side = before[0] + WIDE
        tip = ((after[0], y), (after[0] - 2 * ARROW, y - ARROW), (after[0] - 2 * ARROW, y + ARROW))
        return [Line(((side, y), (after[0] - ARROW, y)), "edge"), Area(tip, "arrow")]
    middle, down = (before[1] + TALL + after[1]) / 2, before[0] + WIDE / 2
    x = after[0] + WIDE / 2
    way = ((down, before[1] + TALL), (down, middle), (x, middle), (x, after[1] - ARROW))
    return [Line(way, "edge"), _arrow_down(x, after[1])]


def _in_rows(reads: Mapping[str, Sequence[str]]) -> Drawn:
    """A network with branches: data flow down."""
    layout = lay_out(reads, WIDE, TALL, DOWN)
    places = {name: (MARGIN + x, MARGIN + y) for name, (x, y) in layout.places.items()}
    marks: list[Mark] = []
    for name, sources in reads.items():
        for source in dict.fromkeys(sources):
            x, y = places[source]
            at = (x + WIDE / 2, y + TALL)
            for lane_x, lane_y in layout.lanes.get((source, name), ()):
                top = (MARGIN + lane_x, MARGIN + lane_y)
                bottom = (top[0], top[1] + TALL)
                marks += [CurveMark(at, top, "edge"), Line((top, bottom), "edge")]
                at = bottom
            x, y = places[name]
            marks += [CurveMark(at, (x + WIDE / 2, y), "edge"), _arrow_down(x + WIDE / 2, y)]
    return places, marks, layout.width + 2 * MARGIN, layout.height + 2 * MARGIN


def _arrow_down(x: float, y: float) -> Mark:
    return Area(((x, y), (x - ARROW, y - 2 * ARROW), (x + ARROW, y - 2 * ARROW)), "arrow")


def _value(layer: Layer, x: float, y: float) -> list[Mark]:
    kind = "linear" if layer.op in LINEAR else "rounding" if layer.op in ROUNDING else "other"
    about = f"{layer.name}: {layer.op}, {layer.format}, {words.size(layer.shape)}"
    if layer.weight_format:
        about += f", weights {layer.weight_format}"
    shape = cut(words.size(layer.shape), 90)
    op = cut(layer.op, 90)
    room = WIDE - 40 - BOLDER * width_of(op)
    return [
        Box(x, y, WIDE, TALL, "value", about, 4),
        Box(x, y, 5, TALL, f"stripe {kind}", "", 2),
        Label(x + 14, y + 18, op, "ink strong"),
        Label(x + WIDE - 10, y + 18, cut(words.short(layer.name), room), "muted", "end"),
        Label(x + 14, y + 35, cut(layer.format, 100), "muted small"),
        Label(x + WIDE - 10, y + 35, shape, "muted small", "end"),
    ]
