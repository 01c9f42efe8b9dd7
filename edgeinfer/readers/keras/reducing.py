# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Means, sums, maxima and minima over axes: pools whose window is all of what is reduced."""

from __future__ import annotations

from math import prod

from edgeinfer.graph.nodes import PoolNode, PoolNodeKind, ReshapeNode, Shape, TransposeNode
from edgeinfer.readers.keras.arguments import Arguments, axes_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.functions import add_scale


def read_reduction(site: Site, arguments: Arguments, kind: PoolNodeKind) -> str:
    """`keras.ops.mean`, `sum` and `max`, and TensorFlow's `reduce_...`."""
    x, axes, keep = parse_reduction(site, arguments)
    return add_reduction(site, x, axes, kind, keep, site.name())


def read_min(site: Site, arguments: Arguments) -> str:
    """`keras.ops.min`, `tf.reduce_min`: the maximum of what is turned round, turned back."""
    x, axes, keep = parse_reduction(site, arguments)
    turned = add_scale(site, x, -1.0, site.name("negative"))
    largest = add_reduction(site, turned, axes, PoolNodeKind.MAX, keep, site.name("max"))
    return add_scale(site, largest, -1.0, site.name())


def parse_reduction(site: Site, arguments: Arguments) -> tuple[str, Shape, bool]:
    """The tensor, its axes without the batch, and whether these stay with one element."""
    x = arguments.tensor()
    axes = axes_of(arguments.take(1, "axis", "reduction_indices"), len(site.shape(x)))
    return x, axes, bool(arguments.option("keepdims", "keep_dims", default=False))


def add_reduction(
    site: Site, x: str, axes: Shape, kind: PoolNodeKind, keep: bool, name: str
) -> str:
    """Append a reduction over axes (counted without the batch)."""
    shape = site.shape(x)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    result = tuple(size for axis, size in enumerate(shape) if axis in rest)
    if keep:
        result = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if axes != tuple(range(len(axes))):
        x = site.add(TransposeNode(site.name("axes"), x, (*axes, *rest)))
    window = tuple(shape[axis] for axis in axes)
    if len(rest) != 1 or len(window) > 2:
        window = (prod(window),)
        row_shape = (*window, prod(shape[axis] for axis in rest))
        x = site.add(ReshapeNode(site.name("rows"), x, row_shape))
    pads = ((0, 0),) * len(window)
    pooled = (1,) * len(window) + site.shape(x)[-1:]
    if pooled == result:
        return site.add(PoolNode(name, x, kind, window, window, pads))
    y = site.add(PoolNode(site.name("pool"), x, kind, window, window, pads))
    return site.add(ReshapeNode(name, y, result))
