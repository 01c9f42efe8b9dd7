# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The network as a graph: values in rows by their distance from the inputs, data flowing down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeinfer.profile.data import Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.marks import Area, Box, Curve, Figure, Label, Line, Mark, cut

ACROSS, DOWN = 252.0, 72.0  # from one value to the next
WIDE, TALL = 220.0, 44.0
MARGIN = 2.0
MOST_VALUES = 120  # that are drawn
IN_A_ROW = 4  # of a network that is a mere chain, which runs like text
ARROW = 4.0
LINEAR = ("Conv", "Dense", "Scale", "PRelu")
ROUNDING = ("Requant", "Clip", "Table", "Softmax")
SWEEPS = 4  # over the rows, to bring values below what they read


def network_figure(profile: Profile) -> Figure | None:
    """The first values of the Program, and what reads what."""
    shown = profile.layers[:MOST_VALUES]
    if not shown:
        return None
    places = _placed(shown)
    chain = all(len(row) == 1 for row in _rows(shown))
    marks: list[Mark] = []
    for layer in shown:
        x, y = places[layer.name]
        for read in layer.reads:
            if read in places:
                marks += _edge(places[read], (x, y), chain)
    for layer in shown:
        marks += _value(layer, *places[layer.name])
    width = max(x for x, _ in places.values()) + WIDE + MARGIN
    height = max(y for _, y in places.values()) + TALL + MARGIN
    left = len(profile.layers) - len(shown)
    note = f"The first {len(shown)} of {len(profile.layers):,} values." if left else ""
    ops = [f"{layer.op} {words.short(layer.name, 30)}" for layer in shown[:12]]
    more = " and so on" if len(shown) > 12 else ""
    sentence = f"{words.counted(len(profile.layers), 'value')}, in order: {', '.join(ops)}{more}."
    return Figure(
        "network", "The Program as a graph", sentence, max(width, 320.0), height, tuple(marks), note
    )


def _placed(layers: Sequence[Layer]) -> dict[str, tuple[float, float]]:
    rows = _rows(layers)
    if all(len(row) == 1 for row in rows):
        return {
            row[0]: (MARGIN + ACROSS * (n % IN_A_ROW), MARGIN + DOWN * (n // IN_A_ROW))
            for n, row in enumerate(rows)
        }
    widest = max(len(row) for row in rows)
    places = {}
    for number, row in enumerate(rows):
        inset = (widest - len(row)) * ACROSS / 2
        for column, name in enumerate(row):
            places[name] = (MARGIN + inset + ACROSS * column, MARGIN + DOWN * number)
    return places


def _rows(layers: Sequence[Layer]) -> list[list[str]]:
    depth: dict[str, int] = {}
    for layer in layers:
        depth[layer.name] = 1 + max((depth.get(read, -1) for read in layer.reads), default=-1)
    rows: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name, level in depth.items():
        rows[level].append(name)
    reads = {layer.name: [r for r in layer.reads if r in depth] for layer in layers}
    readers: dict[str, list[str]] = {name: [] for name in depth}
    for name, read in reads.items():
        for each in read:
            readers[each].append(name)
    for sweep in range(SWEEPS if any(len(row) > 1 for row in rows) else 0):
        near = reads if sweep % 2 == 0 else readers
        column = {name: place for row in rows for place, name in enumerate(row)}
        for row in rows:
            row.sort(key=lambda name: _mean(near[name], column, column[name]))
    return rows


def _mean(names: Sequence[str], column: Mapping[str, int], otherwise: int) -> float:
    return sum(column[name] for name in names) / len(names) if names else float(otherwise)


def _edge(before: tuple[float, float], after: tuple[float, float], straight: bool) -> list[Mark]:
    """A line with an arrow; in a chain, to the next value or to the next row's first."""
    if not straight:
        start, stop = (before[0] + WIDE / 2, before[1] + TALL), (after[0] + WIDE / 2, after[1])
        return [Curve(start, stop, "edge"), _arrow_down(*stop)]
    y = before[1] + TALL / 2
    if after[1] == before[1]:
        side = before[0] + WIDE
        tip = ((after[0], y), (after[0] - 2 * ARROW, y - ARROW), (after[0] - 2 * ARROW, y + ARROW))
        return [Line(((side, y), (after[0] - ARROW, y)), "edge"), Area(tip, "arrow")]
    middle, down = (before[1] + TALL + after[1]) / 2, before[0] + WIDE / 2
    x = after[0] + WIDE / 2
    way = ((down, before[1] + TALL), (down, middle), (x, middle), (x, after[1] - ARROW))
    return [Line(way, "edge"), _arrow_down(x, after[1])]


def _arrow_down(x: float, y: float) -> Mark:
    return Area(((x, y), (x - ARROW, y - 2 * ARROW), (x + ARROW, y - 2 * ARROW)), "arrow")


def _value(layer: Layer, x: float, y: float) -> list[Mark]:
    kind = "linear" if layer.op in LINEAR else "rounding" if layer.op in ROUNDING else "other"
    about = f"{layer.name}: {layer.op}, {layer.format}, {words.size(layer.shape)}"
    if layer.weight_format:
        about += f", weights {layer.weight_format}"
    shape = cut(words.size(layer.shape), 90)
    return [
        Box(x, y, WIDE, TALL, "value", about, 4),
        Box(x, y, 5, TALL, f"stripe {kind}", "", 2),
        Label(x + 14, y + 18, layer.op, "ink strong"),
        Label(x + WIDE - 10, y + 18, cut(words.short(layer.name), 120), "muted", "end"),
        Label(x + 14, y + 35, layer.format, "muted small"),
        Label(x + WIDE - 10, y + 35, shape, "muted small", "end"),
    ]
