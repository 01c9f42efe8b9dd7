# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that are drawn as several nodes: norms of one sample, products of two tensors, attention.

Each is written with nodes that every target has, so a target needs to know nothing of them. A mean
is a pool, a product of two tensors is a multiplication followed by a sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import GatherNode


class LayerSite(Protocol):
    """Where the nodes of a layer go."""

    def add(self, node: g.Node) -> str:
        """Append a node; the name of its tensor."""

    def name(self, suffix: str = "") -> str:
        """A free name for a further node of the layer; without a suffix, the layer's own name."""

    def shape(self, tensor: str) -> g.Shape:
        """A tensor's shape without the batch."""


class NodeDrawing(Protocol):
    """A graph that a reader draws, node by node."""

    shapes: dict[str, g.Shape]

    def add(self, node: g.Node) -> str:
        """Append a node; the name of its tensor."""

    def fresh(self, name: str) -> str:
        """The name, or a free one like it."""


@dataclass(frozen=True, slots=True)
class OperatorSite:
    """Where the nodes of one operator of a file go."""

    d: NodeDrawing
    stem: str

    def add(self, node: g.Node) -> str:
        return self.d.add(node)

    def name(self, suffix: str = "") -> str:
        return self.d.fresh(f"{self.stem}_{suffix}" if suffix else self.stem)

    def shape(self, tensor: str) -> g.Shape:
        return self.d.shapes[tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A dense layer: its name for recipes, its kernel and its bias."""

    layer: str
    kernel: g.Floats  # (in, out)
    bias: g.Floats | None


def reshape(site: LayerSite, x: str, shape: g.Shape, label: str) -> str:
    """The tensor in another shape; itself where it has that shape."""
    return x if site.shape(x) == shape else site.add(g.ReshapeNode(site.name(label), x, shape))


def transpose(site: LayerSite, x: str, order: g.Shape, label: str) -> str:
    """The tensor with its axes in another order; itself where the order is theirs."""
    if order == tuple(range(len(order))):
        return x
    return site.add(g.TransposeNode(site.name(label), x, order))


def spread(site: LayerSite, x: str, shape: g.Shape, label: str) -> str:
    """The tensor repeated to a shape, as NumPy broadcasts: along axes of size 1, and along new ones
    in front. A ValueError where it has another size."""
    have = (1,) * (len(shape) - len(site.shape(x))) + site.shape(x)
    if np.broadcast_shapes(have, shape) != shape:
        raise ValueError(f"a tensor of {site.shape(x)} cannot be spread over {shape}")
    x = reshape(site, x, have, label)
    for axis, (size, wanted) in enumerate(zip(have, shape, strict=True)):
        if size != wanted:
            x = site.add(GatherNode(site.name(label), x, axis, (0,) * wanted))
    return x


def pool_rows(site: LayerSite, rows: str, kind: g.PoolNodeKind, label: str) -> str:
    """The sum or the mean of every row of a tensor (rows, elements, 1), as (rows, 1, 1)."""
    window = (1, site.shape(rows)[1])
    return site.add(g.PoolNode(site.name(label), rows, kind, window, (1, 1), ((0, 0), (0, 0))))


def normalize_rows(site: LayerSite, rows: str, epsilon: float, *, centred: bool, mean: bool) -> str:
    """Rows of (rows, elements, 1) divided by the square root of their squares' mean (or sum).

    Where `centred`, the mean of a row is taken away from it first, so that the divisor is the
    standard deviation. epsilon is added to what the root is taken of.
    """
    if centred:
        middle = pool_rows(site, rows, g.PoolNodeKind.AVERAGE, "mean")
        rows = site.add(g.MergeNode(site.name("centred"), (rows, middle), g.MergeKind.SUBTRACT))
    square = site.add(g.MergeNode(site.name("square"), (rows, rows), g.MergeKind.MULTIPLY))
    kind = g.PoolNodeKind.AVERAGE if mean else g.PoolNodeKind.SUM
    power = pool_rows(site, square, kind, "variance" if centred else "power")
    inverse = site.add(g.ActivationNode(site.name("inverse"), power, g.Function.RSQRT, (epsilon,)))
    return site.add(g.MergeNode(site.name("normalized"), (rows, inverse), g.MergeKind.MULTIPLY))


def normalize_last_axes(
    site: LayerSite,
    x: str,
    axes: int,
    epsilon: float,
    *,
    centred: bool = True,
    mean: bool = True,
    label: str = "shaped",
) -> str:
    """Every sample's last axes normalized together, as layer normalization does."""
    shape = site.shape(x)
    lead = len(shape) - axes
    elements = math.prod(shape[lead:])
    rows = reshape(site, x, (math.prod(shape[:lead]), elements, 1), "rows")
    normal = normalize_rows(site, rows, epsilon, centred=centred, mean=mean)
    return reshape(site, normal, shape, label)


def normalize_groups(site: LayerSite, x: str, groups: int, epsilon: float) -> str:
    """Groups of channels (the last axis) normalized over all of their elements."""
    shape = site.shape(x)
    size = shape[-1] // groups
    places = math.prod(shape[:-1])
    parted = reshape(site, x, (places, groups, size), "groups")
    gathered = transpose(site, parted, (1, 0, 2), "by_group")
    rows = reshape(site, gathered, (groups, places * size, 1), "rows")
    normal = normalize_rows(site, rows, epsilon, centred=True, mean=True)
    back = reshape(site, normal, (groups, places, size), "grouped")
    return reshape(site, transpose(site, back, (1, 0, 2), "by_place"), shape, "shaped")


def multiply_rows(site: LayerSite, a: str, b: str, label: str) -> str:
    """Every row of a times every row of b: (parts, M, K) and (parts, N, K) make (parts, M, N)."""
    parts, rows, length = site.shape(a)
    columns = site.shape(b)[1]
    left = reshape(site, a, (parts, rows, 1, length), f"{label}_left")
    right = reshape(site, b, (parts, 1, columns, length), f"{label}_right")
    products = site.add(
        g.MergeNode(site.name(f"{label}_products"), (left, right), g.MergeKind.MULTIPLY)
    )
    flat = reshape(site, products, (parts * rows * columns, length, 1), f"{label}_rows")
    sums = pool_rows(site, flat, g.PoolNodeKind.SUM, label)
    return reshape(site, sums, (parts, rows, columns), f"{label}_shaped")


def attend(
    site: LayerSite,
    query: str,
    key: str,
    value: str,
    projections: tuple[Projection, Projection, Projection],
    heads: int,
    key_heads: int,
    mask: str | None = None,
) -> str:
    """softmax(q k) v for every head, as (places, heads x size): q, k and v are projections.

    key_heads: heads of keys and values; each serves as many heads of the query as there are for it.
    The factor of the products is part of the query's projection.
    """
    queries, keys, values = (
        _split_heads(site, x, projection, count, label)
        for x, projection, count, label in zip(
            (query, key, value),
            projections,
            (heads, key_heads, key_heads),
            ("query", "key", "value"),
            strict=True,
        )
    )
    mixed = weigh_values(site, queries, keys, values, mask)
    heads, places, size = site.shape(mixed)
    joined = transpose(site, mixed, (1, 0, 2), "by_place")
    return reshape(site, joined, (places, heads * size), "joined")


def weigh_values(
    site: LayerSite,
    queries: str,
    keys: str,
    values: str,
    mask: str | None = None,
    bias: str | None = None,
) -> str:
    """softmax(queries keys) values for every head: (heads, places, size of a value).

    queries: (heads, places, size); keys and values: (key heads, other places, size), each of whose
    heads serves as many of the queries. mask, and bias, which is added to the scores: (places,
    other places), for each head or for all.
    """
    heads, places, _ = site.shape(queries)
    key_heads = site.shape(keys)[0]
    if key_heads != heads:  # the heads that share a key are further rows of one product
        queries = _share_heads(site, queries, key_heads)
        mask, bias = (
            None if each is None else _share_mask(site, each, heads, key_heads)
            for each in (mask, bias)
        )
    scores = multiply_rows(site, queries, keys, "scores")
    if bias is not None:
        scores = site.add(g.MergeNode(site.name("biased"), (scores, bias), g.MergeKind.ADD))
    weights = weigh_rows(site, scores, mask)
    columns = transpose(site, values, (0, 2, 1), "value_columns")
    mixed = multiply_rows(site, weights, columns, "mixed")
    return reshape(site, mixed, (heads, places, site.shape(mixed)[-1]), "mixed_heads")


def weigh_rows(site: LayerSite, scores: str, mask: str | None) -> str:
    """The softmax of each row of scores."""
    return site.add(g.SoftmaxNode(site.name("weights"), scores, -1, mask))


def _split_heads(site: LayerSite, x: str, projection: Projection, heads: int, label: str) -> str:
    """A projection of a sequence, as (heads, places, size)."""
    layer, kernel, bias = projection.layer, projection.kernel, projection.bias
    dense = site.add(g.DenseNode(site.name(label), layer, x, kernel, bias))
    places, width = site.shape(dense)
    parted = reshape(site, dense, (places, heads, width // heads), f"{label}_parted")
    return transpose(site, parted, (1, 0, 2), f"{label}_heads")


def _share_heads(site: LayerSite, queries: str, key_heads: int) -> str:
    heads, places, size = site.shape(queries)
    return reshape(site, queries, (key_heads, heads // key_heads * places, size), "query_groups")


def _share_mask(site: LayerSite, mask: str, heads: int, key_heads: int) -> str:
    """The mask for every key head's rows: those of each head of the query that it serves."""
    *lead, places, others = site.shape(mask)
    shared = heads // key_heads
    if lead and lead[0] == heads:
        return reshape(site, mask, (key_heads, shared * places, others), "mask_groups")
    flat = reshape(site, mask, (places, others), "mask_rows")
    return site.add(g.ConcatNode(site.name("mask_groups"), (flat,) * shared, 0))
