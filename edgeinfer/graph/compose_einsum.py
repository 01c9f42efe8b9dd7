# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sums of products of two tensors along named axes, drawn as one product of rows."""

from __future__ import annotations

import string
from math import prod

import numpy as np

from edgeinfer.graph.compose import LayerSite, multiply_rows, reshape, transpose
from edgeinfer.graph.nodes import ConstantNode, DenseNode, Floats, PoolNode, PoolNodeKind


def split_equation(text: str, ranks: tuple[int, int]) -> tuple[str, str, str]:
    """The axes of both tensors and of the result by letters, an ellipsis written out; ValueError
    where the equation is none of two tensors."""
    compact = text.replace(" ", "")
    inputs, arrow, y = compact.partition("->")
    parts = inputs.split(",")
    if len(parts) != 2:
        raise ValueError(f"its equation is {text!r}; one of two tensors is read")
    if not arrow:
        letters = "".join(parts).replace(".", "")
        y = ("..." if "..." in inputs else "") + "".join(
            sorted(c for c in set(letters) if letters.count(c) == 1)
        )
    spare = [c for c in string.ascii_letters if c not in compact]
    named = []
    for part, rank in zip(parts, ranks, strict=True):
        open_ = rank - len(part.replace("...", ""))
        named.append(part.replace("...", "".join(spare[-open_:] if open_ > 0 else "")))
    widest = max(named, key=len) if "..." in inputs else ""
    y = y.replace("...", "".join(c for c in widest if c in spare))
    for part, rank in zip((*named, y), (*ranks, len(y)), strict=True):
        if len(part) != rank or len(set(part)) != rank or (part and not part.isalpha()):
            raise ValueError(f"its equation {text!r} does not name each axis by a letter")
    if not set(y) <= {*named[0], *named[1]}:
        raise ValueError(f"its equation {text!r} makes axes from nothing")
    return named[0], named[1], y


def multiply_along(site: LayerSite, a: str, b: str, axes: tuple[str, str, str]) -> str:
    """The sums of products of two tensors, whose axes and those of the result have these names."""
    left, right, y = axes
    a, left = _without_lone_axes(site, a, left, {*right, *y}, "left")
    b, right = _without_lone_axes(site, b, right, {*left, *y}, "right")
    sizes = dict(zip(left, site.shape(a), strict=True))
    for name, size in zip(right, site.shape(b), strict=True):
        if sizes.setdefault(name, size) != size:
            raise ValueError(f"axis {name!r} has {sizes[name]} and {size} elements")
    common = [c for c in left if c in right and c in y]
    summed = [c for c in left if c in right and c not in y]
    rows, columns = [c for c in left if c not in right], [c for c in right if c not in left]

    def arranged(x: str, names: str, own: list[str], label: str) -> str:
        order = tuple(names.index(c) for c in (*common, *own, *summed))
        turned = transpose(site, x, order, f"{label}_axes")
        shape = (count(common), count(own), count(summed))
        return reshape(site, turned, shape, f"{label}_rows")

    def count(names: list[str]) -> int:
        return prod(sizes[c] for c in names)

    product = multiply_rows(
        site, arranged(a, left, rows, "left"), arranged(b, right, columns, "right"), "sums"
    )
    named = (*common, *rows, *columns)
    opened = reshape(site, product, tuple(sizes[c] for c in named), "opened")
    return transpose(site, opened, tuple(named.index(c) for c in y), "ordered")


def _without_lone_axes(
    site: LayerSite, x: str, names: str, kept_names: set[str], label: str
) -> tuple[str, str]:
    """The tensor summed over the axes that nothing else has."""
    lone = [c for c in names if c not in kept_names]
    if not lone:
        return x, names
    kept = [c for c in names if c in kept_names]
    sizes = dict(zip(names, site.shape(x), strict=True))
    turned = transpose(site, x, tuple(names.index(c) for c in (*lone, *kept)), f"{label}_turned")
    count = prod(sizes[c] for c in lone)
    rows = reshape(site, turned, (count, prod(sizes[c] for c in kept)), f"{label}_lone")
    pool = PoolNode(site.name(f"{label}_sum"), rows, PoolNodeKind.SUM, (count,), (1,), ((0, 0),))
    summed = site.add(pool)
    return reshape(site, summed, tuple(sizes[c] for c in kept), f"{label}_kept"), "".join(kept)


def multiply_by_constant(
    site: LayerSite, layer: str, x: str, kernel: Floats, axes: tuple[str, str, str]
) -> str:
    """The same with a constant as the second: a dense layer where its axes are summed or new."""
    left, right, y = axes
    common = [c for c in right if c in left and c in y]
    lone = [c for c in right if c not in left and c not in y]
    if common or lone:
        constant = site.add(ConstantNode(site.name("constant"), kernel))
        return multiply_along(site, x, constant, axes)
    x, left = _without_lone_axes(site, x, left, {*right, *y}, "left")
    sizes = dict(zip(left, site.shape(x), strict=True)) | dict(
        zip(right, kernel.shape, strict=True)
    )
    summed, new = [c for c in right if c in left], [c for c in right if c not in left]
    kept = [c for c in left if c not in summed]
    if any(site.shape(x)[left.index(c)] != sizes[c] for c in summed):
        raise ValueError(f"a constant of {kernel.shape} does not fit a tensor of {site.shape(x)}")
    turned = transpose(site, x, tuple(left.index(c) for c in (*kept, *summed)), "axes")
    depth = prod(sizes[c] for c in summed)
    rows = reshape(site, turned, (*(sizes[c] for c in kept), depth), "rows")
    matrix = kernel.transpose([right.index(c) for c in (*summed, *new)]).reshape(depth, -1)
    dense = DenseNode(site.name("product"), layer, rows, np.ascontiguousarray(matrix), None)
    named = (*kept, *new)
    opened = reshape(site, site.add(dense), tuple(sizes[c] for c in named), "opened")
    return transpose(site, opened, tuple(named.index(c) for c in y), "ordered")
