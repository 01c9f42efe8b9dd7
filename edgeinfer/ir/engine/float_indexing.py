# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Nodes that find elements by whole numbers, in float32, by ONNX's own operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from edgeinfer.graph.indexing import (
    IndexingNode,
    LookNode,
    RankNode,
    ScatterNode,
    Shape,
    SitesNode,
)
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.site_tables import find_sites
from edgeinfer.ir.engine.values import CarriedTensor, Carrier


def choose_elements(
    builder: OnnxBuilder, node: IndexingNode, tensors: Sequence[str], shapes: Sequence[Shape]
) -> str:
    """The node's result from tensors of these shapes, the batch being their first axis."""
    match node:
        case LookNode():
            return _look_up(builder, tensors[0], tensors[1], shapes[0])
        case ScatterNode():
            return _add_up(builder, tensors[0], tensors[1], shapes[0], node.count)
        case RankNode():
            return _rank(builder, node, tensors[0], shapes[0])
        case SitesNode():
            x = CarriedTensor(tensors[0], Carrier.FLOAT32, shapes[0])
            return find_sites(builder, x, node.threshold, node.most).tensor
        case IndexingNode():
            raise AssertionError(f"{type(node).__name__} is none of those above")
        case _:
            assert_never(node)


def _look_up(builder: OnnxBuilder, x: str, index: str, shape: Shape) -> str:
    """The entries that are meant, and zero from a row behind the last where none is."""
    node, constant = builder.node, builder.constant
    around = constant([0, 0, 0, 0, 1, 0], np.int64)
    padded = node("Pad", x, around, constant(0.0, np.float32))
    places = _entries(builder, index, shape[0])
    padded = _repeat(builder, padded, places, (1, 1))
    places = _repeat(builder, places, padded, (1, shape[1]))
    return node("GatherElements", padded, places, axis=1)


def _add_up(builder: OnnxBuilder, x: str, index: str, shape: Shape, count: int) -> str:
    """Sums by entry; a row behind the last takes what means none, and is cut off."""
    places = _entries(builder, index, count)
    rows = _repeat(builder, x, places, (1, 1))
    places = _repeat(builder, places, rows, (1, shape[1]))
    nothing = builder.constant(np.zeros((1, count + 1, shape[1])), np.float32)
    nothing = _repeat(builder, nothing, rows, (1, 1))
    sums = builder.node("ScatterElements", nothing, places, rows, axis=1, reduction="add")
    bounds = [builder.constant([number], np.int64) for number in (0, count, 1)]
    return builder.node("Slice", sums, *bounds)


def _rank(builder: OnnxBuilder, node: RankNode, x: str, shape: Shape) -> str:
    """Places in order; where the last of equals comes first, they are counted from the end."""
    size = shape[1]
    keys = builder.node("Neg", x) if node.smallest else x
    if node.last:
        turned = builder.constant(np.arange(size)[::-1], np.int64)
        keys = builder.node("Gather", keys, turned, axis=2)
    places_of_largest = builder.places_of_largest(keys, node.count)
    places = builder.cast(places_of_largest, np.float32)
    if not node.last:
        return places
    return builder.node("Sub", builder.constant(size - 1, np.float32), places)


def _entries(builder: OnnxBuilder, index: str, entries: int) -> str:
    """The entry that each index means; as many as there are where it means none."""
    node = builder.node

    def number(value: float) -> str:
        return builder.constant(value, np.float32)

    whole = node("Floor", index)
    counted = node(
        "Where", node("Less", whole, number(0)), node("Add", whole, number(entries)), whole
    )
    none = node("Or", node("Less", counted, number(0)), node("Greater", counted, number(entries)))
    return builder.cast(node("Where", none, number(entries), counted), np.int64)


def _repeat(builder: OnnxBuilder, tensor: str, like: str, sizes: tuple[int, int]) -> str:
    """The tensor for as many samples as another has, and at least so large."""
    batch = builder.node("Shape", like, start=0, end=1)
    repeated_shape = builder.node("Concat", batch, builder.constant(sizes, np.int64), axis=0)
    return builder.node("Expand", tensor, repeated_shape)
