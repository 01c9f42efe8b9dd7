# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The network as a graph: values in rows by their distance from the inputs, data flowing down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeinfer.profile.data import Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.marks import Box, Curve, Figure, Label, Line, Mark, cut

ACROSS, DOWN = 232.0, 66.0  # from one value to the next
WIDE, TALL = 208.0, 44.0
MARGIN = 12.0
MOST_VALUES = 120  # that are drawn
IN_A_COLUMN = 10  # of a network that is a mere chain
LINEAR = ("Conv", "Dense", "Scale", "PRelu")
ROUNDING = ("Requant", "Clip", "Table", "Softmax")
SWEEPS = 4  # over the rows, to bring values below what they read


def network_figure(profile: Profile) -> Figure | None:
    """The first values of the Program, and what reads what."""
    shown = profile.layers[:MOST_VALUES]
    if not shown:
        return None
    places = _placed(shown)
    marks: list[Mark] = []
    for layer in shown:
        x, y = places[layer.name]
        for read in layer.reads:
            if read in places:
                marks.append(_edge(places[read], (x, y)))
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
    if all(len(row) == 1 for row in rows) and len(rows) > IN_A_COLUMN:
        return {
            row[0]: (
                MARGIN + ACROSS * (number // IN_A_COLUMN),
                MARGIN + DOWN * (number % IN_A_COLUMN),
            )
            for number, row in enumerate(rows)
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


def _edge(before: tuple[float, float], after: tuple[float, float]) -> Mark:
    start = (before[0] + WIDE / 2, before[1] + TALL)
    stop = (after[0] + WIDE / 2, after[1])
    if stop[1] <= start[1]:  # the next column of a chain
        side = before[0] + WIDE
        between = (side + after[0]) / 2
        y, end = before[1] + TALL / 2, after[1] + TALL / 2
        return Line(((side, y), (between, y), (between, end), (after[0], end)), "edge")
    return Curve(start, stop, "edge")


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
