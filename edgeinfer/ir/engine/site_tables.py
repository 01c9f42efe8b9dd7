# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where sites lie and which are neighbours, as ONNX tensors that are made once for a set of sites.

A value at sites is a matrix: one row for each site, image by image and in each in raster order. A
grid holds for every pixel the number of its row, or -1. The builder yields the same tensor for
whoever asks again, so all layers of a level share one table of neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.graph.moves import Pads, Shape
from edgeinfer.ir.engine.extremes import largest_along
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.site_sets import SiteSet
from edgeinfer.ir.engine.values import CarriedTensor, number_beside
from edgeinfer.ir.engine.window import onnx_pads


@dataclass(frozen=True, slots=True)
class SiteTables:
    """Tables of sites in a graph; `mask` yields a mask's tensor, (batch, *sizes, 1)."""

    builder: OnnxBuilder
    mask: Callable[[str], str]

    def lit(self, sites: SiteSet) -> str:
        """1 at sites, as floats: (batch, 1, *sizes)."""
        tensor = self.mask(sites.mask)
        flat = self.builder.node("Squeeze", tensor, self.builder.constant([-1], np.int64))
        whole = self.builder.node("Unsqueeze", flat, self.builder.constant([1], np.int64))
        lit = self.builder.cast(whole, np.float32)
        for step in sites.pooled:
            lit = self.builder.node(
                "MaxPool",
                lit,
                kernel_shape=list(step.window),
                strides=list(step.strides),
                pads=onnx_pads(step.pads),
            )
        return lit

    def batch(self, sites: SiteSet) -> str:
        """The number of images, as a tensor of one element."""
        return self.builder.node("Shape", self.mask(sites.mask), start=0, end=1)

    def places(self, sites: SiteSet) -> str:
        """The image and the coordinates of every site: (sites, 1 + axes)."""
        node, one = self.builder.node, self.builder.constant([1], np.int64)
        flat = node("Squeeze", self.lit(sites), one)
        return node("Transpose", node("NonZero", flat), perm=[1, 0])

    def numbers(self, places: str, sizes: Shape, steps: Shape, first: Shape = ()) -> str:
        """The row-major numbers of pixels at `steps` times the coordinates, counted from `first`,
        in images of these sizes."""
        node = self.builder.node
        strides = [math.prod(sizes[axis:]) for axis in range(len(sizes) + 1)]
        factors = [strides[0], *(a * b for a, b in zip(strides[1:], steps, strict=True))]
        scaled = node("Mul", places, self.builder.constant(factors, np.int64))
        summed = node("ReduceSum", scaled, self.builder.constant([1], np.int64), keepdims=0)
        shift = sum(a * b for a, b in zip(first, strides[1:], strict=True)) if first else 0
        return node("Add", summed, self.builder.constant(shift, np.int64)) if shift else summed

    def grid(self, sites: SiteSet, pads: Pads) -> str:
        """The number of the row of every pixel of padded images, or -1."""
        node, constant = self.builder.node, self.builder.constant
        sizes, first = pad_sizes(sites.sizes, pads), tuple(before for before, _ in pads)
        places = self.places(sites)
        pixels = self.numbers(places, sizes, (1,) * len(sizes), first)
        count = node("Squeeze", node("Shape", pixels), constant([0], np.int64))
        rows = self.builder.cast(
            node("Range", constant(0, np.int64), count, constant(1, np.int64)), np.int32
        )
        length = node("Mul", self.batch(sites), constant([math.prod(sizes)], np.int64))
        empty = self.builder.filled(length, -1, np.int32)
        return node("ScatterElements", empty, pixels, rows, axis=0)

    def neighbours(
        self, source: SiteSet | None, sites: SiteSet, steps: Shape, taps: Shape, pads: Pads,
        dilation: Shape, image: Shape,
    ) -> str:  # fmt: skip
        """For every site and every tap of a window, the row of the pixel that it sees: of `source`,
        or -1; of padded images where everything is known."""
        sizes = pad_sizes(image, pads)
        strides = [math.prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
        offsets = np.zeros((), np.int64)
        for stride, count, step in zip(strides, taps, dilation, strict=True):
            offsets = np.add.outer(offsets, np.arange(count) * (step * stride))
        node = self.builder.node
        corners = self.numbers(self.places(sites), sizes, steps)
        column = node("Unsqueeze", corners, self.builder.constant([1], np.int64))
        pixels = node("Add", column, self.builder.constant(offsets.reshape(1, -1)))
        if source is None:
            return pixels
        return node("Gather", self.grid(source, pads), pixels, axis=0)


def find_sites(
    builder: OnnxBuilder, x: CarriedTensor, threshold: float, most: int | None
) -> CarriedTensor:
    """1 where a pixel is lit and is among the first of its image. x: channels last."""
    node, constant = builder.node, builder.constant
    *sizes, channels = x.layout
    brightest = largest_along(builder, x, len(x.layout), channels) if channels > 1 else x.tensor
    limit = number_beside(builder, threshold, x)
    lit = builder.cast(node("Greater", brightest, limit), x.carrier.dtype)
    y = replace(x, tensor=lit, layout=(*sizes, 1))
    if most is None or most >= math.prod(sizes):
        return y
    # Each lit pixel's number in its image: that among all lit pixels, without those before it.
    one, zero = constant(1, np.int64), constant(0, np.int64)
    places = node("Transpose", node("NonZero", lit), perm=[1, 0])
    count = node("Squeeze", node("Shape", places, start=0, end=1), constant([0], np.int64))
    axes = constant(list(range(1, len(x.layout) + 1)), np.int64)
    each = node("ReduceSum", builder.cast(lit, np.int64), axes, keepdims=0)
    starts = node("CumSum", each, zero, exclusive=1)
    image = node("Gather", places, zero, axis=1)
    number = node("Sub", node("Range", zero, count, one), node("Gather", starts, image, axis=0))
    kept = builder.cast(node("Less", number, constant(most, np.int64)), x.carrier.dtype)
    return replace(y, tensor=node("ScatterND", y.tensor, places, kept))


def pad_sizes(sizes: Shape, pads: Pads) -> Shape:
    """Sizes with padding."""
    return tuple(size + sum(pad) for size, pad in zip(sizes, pads, strict=True))
