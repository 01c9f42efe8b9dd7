# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Places for the nodes of a graph in rows, and ways for its edges past what lies between.

Rows are distances from the inputs. An edge over several rows keeps a narrow lane free in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP, LANE = 32.0, 16.0  # between neighbours; the width of a lane
SWEEPS = 8  # over the rows, to bring everything near what it is joined with

Place = tuple[float, float]
Item = str | tuple[str, str, int]  # a node, or an edge's lane in a row


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """Left upper corners of nodes, and for each edge the points where it crosses rows."""

    places: Mapping[str, Place]
    lanes: Mapping[tuple[str, str], tuple[Place, ...]]
    width: float
    height: float


def lay_out(
    reads: Mapping[str, Sequence[str]], wide: float, tall: float, down: float
) -> GraphLayout:
    """Places for nodes of one size, in an order in which each is made before it is read."""
    depth = _depths(reads)
    rows: list[list[Item]] = [[] for _ in range(max(depth.values()) + 1)]
    for name, row in depth.items():
        rows[row].append(name)
    joined: list[tuple[Item, Item]] = []
    for name, sources in reads.items():
        for source in dict.fromkeys(sources):
            before: Item = source
            for row in range(depth[source] + 1, depth[name]):
                lane = (source, name, row)
                rows[row].append(lane)
                joined.append((before, lane))
                before = lane
            joined.append((before, name))
    _order_rows(rows, joined)
    centres, width = _across(rows, wide)
    places = {
        name: (centres[name] - wide / 2, down * row)
        for row, items in enumerate(rows)
        for name in items
        if isinstance(name, str)
    }
    lanes: dict[tuple[str, str], tuple[Place, ...]] = {}
    for row, items in enumerate(rows):
        for item in items:
            if not isinstance(item, str):
                key = (item[0], item[1])
                lanes[key] = (*lanes.get(key, ()), (centres[item], down * row))
    return GraphLayout(places, lanes, width, down * (len(rows) - 1) + tall)


def _depths(reads: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Rows below what is read; what reads nothing goes right above its first reader."""
    depth: dict[str, int] = {}
    for name, sources in reads.items():
        depth[name] = 1 + max((depth[source] for source in sources), default=-1)
    first: dict[str, int] = {}
    for name, sources in reads.items():
        for source in sources:
            first[source] = min(first.get(source, depth[name]), depth[name])
    for name, sources in reads.items():
        if not sources and name in first:
            depth[name] = first[name] - 1
    return depth


def _order_rows(rows: list[list[Item]], joined: Sequence[tuple[Item, Item]]) -> None:
    above: dict[Item, list[Item]] = {}
    below: dict[Item, list[Item]] = {}
    for before, after in joined:
        above.setdefault(after, []).append(before)
        below.setdefault(before, []).append(after)
    for sweep in range(SWEEPS):
        near, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        place = {item: number for row in rows for number, item in enumerate(row)}
        for row in order:
            means = {
                item: sum(place[other] for other in near[item]) / len(near[item])
                if near.get(item)
                else float(place[item])
                for item in row
            }
            row.sort(key=means.__getitem__)
            place |= {item: number for number, item in enumerate(row)}


def _across(rows: Sequence[Sequence[Item]], wide: float) -> tuple[dict[Item, float], float]:
    """Centres of all items, every row in the middle."""

    def room(row: Sequence[Item]) -> float:
        return sum(wide if isinstance(i, str) else LANE for i in row) + GAP * (len(row) - 1)

    width = max(room(row) for row in rows)
    centres: dict[Item, float] = {}
    for row in rows:
        x = (width - room(row)) / 2
        for item in row:
            size = wide if isinstance(item, str) else LANE
            centres[item] = x + size / 2
            x += size + GAP
    return centres, width
