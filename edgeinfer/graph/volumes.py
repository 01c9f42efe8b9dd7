# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions and pools of volumes, drawn with those of images, which every target has.

For a convolution, the slices that one slice of the result reads become channels, and all slices of
the result stand below one another in one tall image. Rows whose window reaches into the next slice
are left out again. A pool treats its channels apart, so it goes over rows and columns first, with
the depths as channels, and over the depths afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.graph import nodes as g
from edgeinfer.graph.compose import LayerSite, reshape, transpose
from edgeinfer.graph.moves import GatherNode
from edgeinfer.graph.windows import count_windows, dilate_window


@dataclass(frozen=True, slots=True)
class VolumeWindow:
    """Where a window of three axes goes over a volume (depth, height, width)."""

    window: g.Shape
    strides: g.Shape
    pads: g.Pads
    dilation: g.Shape = (1, 1, 1)

    def places(self, sizes: g.Shape) -> g.Shape:
        """How many places the window takes along each axis."""
        reach = dilate_window(self.window, self.dilation)
        return count_windows(sizes, reach, self.strides, self.pads)


def stack_slices(site: LayerSite, x: str, over: VolumeWindow, groups: int) -> str:
    """A volume as one image for a convolution without padding by strides and dilation of its last
    two axes: depth windows are channels (group by group), slices stand below one another."""
    *sizes, channels = site.shape(x)
    depth = over.places(tuple(sizes))[0]
    (front, back), (above, below), sides = over.pads
    below += -(sizes[1] + above + below) % over.strides[1]  # each slice begins at a step
    pads = ((front, back), (above, below), sides, (0, 0))
    if any(map(any, pads)):
        x = site.add(g.PadNode(site.name("padded"), x, pads))
    taps = over.window[0]
    chosen = tuple(
        place * over.strides[0] + tap * over.dilation[0]
        for place in range(depth)
        for tap in range(taps)
    )
    if chosen != tuple(range(site.shape(x)[0])):
        x = site.add(GatherNode(site.name("slices"), x, 0, chosen))
    height, width = site.shape(x)[1:3]
    parted = reshape(site, x, (depth, taps, height, width, groups, channels // groups), "parted")
    turned = transpose(site, parted, (0, 2, 3, 4, 1, 5), "by_place")
    return reshape(site, turned, (depth * height, width, taps * channels), "image")


def flatten_kernel(kernel: g.Floats) -> g.Floats:
    """The kernel for the image: (depth, height, width, in, out) -> (height, width, all in, out)."""
    taps, height, width, inward, outward = kernel.shape
    turned = kernel.transpose(1, 2, 0, 3, 4)
    return turned.reshape(height, width, taps * inward, outward)


def unstack_slices(site: LayerSite, y: str, over: VolumeWindow, sizes: g.Shape) -> str:
    """The volume out of the image that a convolution made of `stack_slices`; `sizes` are those of
    the volume that was read."""
    depth, rows, columns = over.places(sizes)
    height = sizes[1] + sum(over.pads[1])
    steps = -(-height // over.strides[1])  # from the first row of a slice to that of the next
    kept = tuple(place * steps + row for place in range(depth) for row in range(rows))
    if kept != tuple(range(site.shape(y)[0])):
        y = site.add(GatherNode(site.name("rows"), y, 0, kept))
    return reshape(site, y, (depth, rows, columns, site.shape(y)[-1]), "volume")


def pool_volume(
    site: LayerSite,
    x: str,
    kind: g.PoolNodeKind,
    over: VolumeWindow,
    *,
    count_pads: bool = False,
) -> str:
    """A pool over (depth, height, width); an average counts what lies inside, or whole windows."""
    *sizes, channels = site.shape(x)
    depth, rows, columns = over.places(tuple(sizes))
    turned = transpose(site, x, (1, 2, 0, 3), "by_place")
    image = reshape(site, turned, (*sizes[1:], sizes[0] * channels), "image")
    flat = (over.window[1:], over.strides[1:], over.pads[1:])
    pooled = site.add(g.PoolNode(site.name("slices"), image, kind, *flat, count_pads))
    parted = reshape(site, pooled, (rows, columns, sizes[0], channels), "parted")
    deep = transpose(site, parted, (2, 0, 1, 3), "by_depth")
    series = reshape(site, deep, (sizes[0], rows * columns * channels), "series")
    along = (over.window[:1], over.strides[:1], over.pads[:1])
    y = site.add(g.PoolNode(site.name("depths"), series, kind, *along, count_pads))
    return reshape(site, y, (depth, rows, columns, channels), "")
