# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Look-ups, sums by index and ranks along any axis, drawn with the nodes that know two axes."""

from __future__ import annotations

from math import prod

from edgeinfer.graph.compose import LayerSite, reshape, transpose
from edgeinfer.graph.indexing import LookNode, RankNode, ScatterNode
from edgeinfer.graph.nodes import Shape


def look_up_rows(site: LayerSite, x: str, index: str, axis: int) -> str:
    """Whole entries of an axis by an index of any shape, which takes the axis' place."""
    shape, places = site.shape(x), site.shape(index)
    table, rest = _rows(site, x, axis, "entries")
    column = reshape(site, index, (prod(places), 1), "index")
    rows_node = site.add(LookNode(site.name("found"), table, column))
    return _back(site, rows_node, places, rest, axis, len(shape))


def look_up_elements(site: LayerSite, x: str, index: str, axis: int) -> str:
    """Elements along an axis by an index with as many axes, of which each but this one is as large
    as that of x, or all are 1."""
    shape = site.shape(x)
    table, rest = _rows(site, x, axis, "entries")
    rows = _index_rows(site, index, axis, rest)
    rows_node = site.add(LookNode(site.name("found"), table, rows))
    return _back(site, rows_node, site.shape(index)[axis : axis + 1], rest, axis, len(shape))


def add_up_elements(site: LayerSite, x: str, index: str, axis: int, count: int) -> str:
    """Sums along an axis, which is `count` long then, of the elements that have the same index."""
    shape = site.shape(x)
    rows, rest = _rows(site, x, axis, "rows")
    sums = site.add(
        ScatterNode(site.name("sums"), rows, _index_rows(site, index, axis, rest), count)
    )
    return _back(site, sums, (count,), rest, axis, len(shape))


def rank_elements(
    site: LayerSite, x: str, axis: int, count: int, *, smallest: bool, last: bool = False
) -> str:
    """Where the largest elements along an axis are; the axis is `count` long then."""
    shape = site.shape(x)
    order = (*(other for other in range(len(shape)) if other != axis), axis)
    turned = transpose(site, x, order, "rows")
    rest = (*shape[:axis], *shape[axis + 1 :])
    rows = reshape(site, turned, (prod(rest), shape[axis]), "row")
    ranks = site.add(RankNode(site.name("places"), rows, count, smallest, last))
    parted = reshape(site, ranks, (*rest, count), "parted")
    return transpose(site, parted, tuple(order.index(axis) for axis in range(len(order))), "ranked")


def _rows(site: LayerSite, x: str, axis: int, label: str) -> tuple[str, Shape]:
    """The tensor as (entries of the axis, all the rest), and the sizes of the rest."""
    shape = site.shape(x)
    rest = (*shape[:axis], *shape[axis + 1 :])
    order = (axis, *(other for other in range(len(shape)) if other != axis))
    turned = transpose(site, x, order, f"{label}_turned")
    return reshape(site, turned, (shape[axis], prod(rest)), label), rest


def _index_rows(site: LayerSite, index: str, axis: int, rest: Shape) -> str:
    """An index as (places, one for each of the rest, or one for all)."""
    rows, own = _rows(site, index, axis, "index")
    if own != rest and prod(own) != 1:
        raise ValueError(f"an index of {site.shape(index)} does not fit axes of {rest}")
    return rows


def _back(site: LayerSite, rows: str, places: Shape, rest: Shape, axis: int, rank: int) -> str:
    """(places, all the rest) with the places where the axis was."""
    parted = reshape(site, rows, (*places, *rest), "parted")
    width = len(places)
    order = (*range(width, width + axis), *range(width), *range(width + axis, width + rank - 1))
    return transpose(site, parted, order, "placed")
