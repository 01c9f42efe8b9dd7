# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that make images and series larger: transposed convolutions and upsampling."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import GatherNode, bounds_along
from edgeinfer.graph.volumes import VolumeWindow
from edgeinfer.graph.windows import dilate_window
from edgeinfer.readers.keras import activations
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.linear import (
    add_product,
    add_volume,
    channels_first,
    move_channels_first,
    move_channels_last,
    spatial_input,
)


def transposed_layer(site: Site, rank: int) -> str:
    """Conv1DTranspose to Conv3DTranspose: zeros between the elements, then a convolution with the
    kernel turned round; a product for each element where windows lie side by side."""
    fields = site.fields
    filters = fields.integer("filters")
    window, strides = fields.positive("kernel_size", rank), fields.positive("strides", rank, 1)
    dilation = fields.positive("dilation_rate", rank, 1)
    padding = fields.one_of("padding", "valid", "valid", "same")
    extra = _output_padding(fields, rank)
    step = activations.parse_activation(site, fields.get("activation"))
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    *sizes, channels = site.shape(x)
    if window == strides and set(dilation) == {1} and extra == (None,) * rank:
        y = _tile(site, x, window, filters)
        return activations.fuse_activation(site, move_channels_first(site, y, first), step)
    reach = dilate_window(window, dilation)
    x = add_zeros_between(site, x, strides)
    pads: list[tuple[int, int]] = []
    for axis, size in enumerate(sizes):
        result_size, before = _result_size(size, reach[axis], strides[axis], padding, extra[axis])
        after = result_size + reach[axis] - 1 - size * strides[axis] - before
        pads.append((before, after))
    x = _without_last(site, x, tuple(min(after, 0) for _, after in pads))
    kernel = site.shaped("kernel", (*window, filters, channels))
    bias = site.shaped("bias", (filters,)) if fields.flag("use_bias", True) else None
    kernel = np.flip(kernel, tuple(range(rank))).swapaxes(-1, -2)
    margins = tuple((before, max(after, 0)) for before, after in pads)
    if rank == 3:
        over = VolumeWindow(window, (1,) * rank, margins, dilation)
        y = add_volume(site, x, over, 1, kernel, bias)
        return activations.fuse_activation(site, move_channels_first(site, y, first), step)

    def make(name: str, layer: str, values: g.Floats, shift: g.Floats | None) -> g.Node:
        return g.ConvNode(name, layer, x, values, shift, (1,) * rank, margins, dilation)

    y = add_product(site, make, kernel, kernel.shape, None, bias, None)
    return activations.fuse_activation(site, move_channels_first(site, y, first), step)


def _tile(site: Site, x: str, window: g.Shape, filters: int) -> str:
    """Windows that lie side by side: each pixel is multiplied with the whole window, whose places
    are channels first and pixels then."""
    *space, channels = site.shape(x)
    taps, rank = math.prod(window), len(window)
    kernel = np.moveaxis(site.shaped("kernel", (*window, filters, channels)), -1, 0)
    kernel = kernel.reshape(channels, taps * filters)
    bias = None
    if site.fields.flag("use_bias", True):
        bias = np.tile(site.shaped("bias", (filters,)), taps)

    def make(name: str, layer: str, values: g.Floats, shift: g.Floats | None) -> g.Node:
        return g.DenseNode(name, layer, x, values, shift)

    y = add_product(site, make, kernel, kernel.shape, None, bias, None)
    pairs = zip(range(rank), range(rank, 2 * rank), strict=True)
    order = (*(axis for pair in pairs for axis in pair), 2 * rank)
    fine = tuple(size * width for size, width in zip(space, window, strict=True))
    apart = site.add(g.ReshapeNode(site.name("apart"), y, (*space, *window, filters)))
    turned = site.add(g.TransposeNode(site.name("turned"), apart, order))
    return site.add(g.ReshapeNode(site.name("fine"), turned, (*fine, filters)))


def _output_padding(fields: Fields, rank: int) -> tuple[int | None, ...]:
    padding_field = fields.get("output_padding")
    if padding_field is None:
        return (None,) * rank
    listed = (
        list(padding_field) if isinstance(padding_field, (list, tuple)) else [padding_field] * rank
    )
    paddings = tuple(Fields({"output_padding": each}).integer("output_padding") for each in listed)
    if len(paddings) not in (1, rank) or min(paddings) < 0:
        raise UnsupportedLayerError(f"its output_padding is {padding_field!r}")
    return paddings if len(paddings) == rank else paddings * rank


def _result_size(
    size: int, reach: int, stride: int, padding: str, extra: int | None
) -> tuple[int, int]:
    """How many elements an axis has in the end, and how many zeros stand before its first."""
    if padding == "valid":
        spare = max(stride - reach, 0) if extra is None else extra
        return (size - 1) * stride + reach + spare, reach - 1
    result_size = size * stride if extra is None else (size - 1) * stride + reach % 2 + extra
    if -(-result_size // stride) != size:
        raise UnsupportedLayerError(f"its output_padding does not fit its strides of {stride}")
    cut = max((size - 1) * stride + reach - result_size, 0)
    return result_size, reach - 1 - cut // 2


def add_zeros_between(site: Site, x: str, steps: g.Shape) -> str:
    """Append moves that put zeros after each element, so that the next one is a step away."""
    sizes, channels = list(site.shape(x)[:-1]), site.shape(x)[-1]
    wide = list(sizes)
    for axis in reversed(range(len(sizes))):
        if steps[axis] == 1:
            continue
        inside = int(np.prod(wide[axis + 1 :], dtype=int)) * channels
        row = (int(np.prod(wide[: axis + 1], dtype=int)), 1, inside)
        x = site.add(g.ReshapeNode(site.name("apart"), x, row))
        x = site.add(g.PadNode(site.name("zeros"), x, ((0, 0), (0, steps[axis] - 1), (0, 0))))
        wide[axis] *= steps[axis]
    if wide == sizes:
        return x
    return site.add(g.ReshapeNode(site.name("wide"), x, (*wide, channels)))


def _without_last(site: Site, x: str, ends: g.Shape) -> str:
    """The tensor without some of the last elements of each axis (negative numbers)."""
    shape = site.shape(x)
    stops = (*(size + end for size, end in zip(shape[:-1], ends, strict=True)), shape[-1])
    if stops == shape:
        return x
    ones = (1,) * len(shape)
    return site.add(g.SliceNode(site.name("cut"), x, (0,) * len(shape), stops, ones))


def upsampling_layer(site: Site, rank: int) -> str:
    """UpSampling1D and UpSampling2D, by repetition or between neighbours."""
    fields = site.fields
    smooth = fields.one_of("interpolation", "nearest", "nearest", "bilinear") == "bilinear"
    factors = fields.positive("size", rank, 2)
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    return move_channels_first(site, add_enlargement(site, x, factors, smooth=smooth), first)


def resizing_layer(site: Site) -> str:
    """Resizing to any size."""
    fields = site.fields
    methods = ("nearest", "bilinear")
    smooth = fields.one_of("interpolation", "bilinear", *methods) == "bilinear"
    for option in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        if fields.flag(option, False):
            raise UnsupportedLayerError(f"its {option} is set")
    first = channels_first(fields)
    x = spatial_input(site, 2, first)
    target_size = (fields.integer("height"), fields.integer("width"))
    return move_channels_first(site, add_resizing(site, x, target_size, smooth=smooth), first)


def add_resizing(site: Site, x: str, target_size: g.Shape, *, smooth: bool) -> str:
    """Append what brings an image to another size, as TensorFlow does without smoothing before."""
    old = site.shape(x)[:-1]
    if min(target_size) < 1:
        raise UnsupportedLayerError(f"it brings an image of {old} to {target_size}")
    pairs = list(zip(old, target_size, strict=True))
    if all(new >= size and new % size == 0 for size, new in pairs):
        factors = tuple(new // size for size, new in pairs)
        return add_enlargement(site, x, factors, smooth=smooth)
    changed = [axis for axis, (size, new) in enumerate(pairs) if size != new]
    for axis in changed:
        name = site.name() if axis == changed[-1] else site.name("rows")
        size, new = pairs[axis]
        places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(size / new)
        if smooth:
            x = _map_axis(site, x, axis, _line_weights(places - np.float32(0.5), size), name)
        else:
            taken = np.minimum(np.floor(places).astype(int), size - 1)
            x = site.add(GatherNode(name, x, axis, tuple(taken.tolist())))
    return x


def _line_weights(places: NDArray[np.float32], size: int) -> g.Floats:
    """(size, places): by how much each element counts at a place between two of them."""
    weights = np.zeros((size, len(places)))
    low = np.floor(places)
    beyond = (places - low).astype(np.float64)
    for end, share in ((low, 1.0 - beyond), (low + 1, beyond)):
        np.add.at(weights, (np.clip(end, 0, size - 1).astype(int), np.arange(len(places))), share)
    return weights


def _map_axis(site: Site, x: str, axis: int, matrix: g.Floats, name: str) -> str:
    """Every column along an axis times a matrix (in, out)."""
    rank = len(site.shape(x))
    order = (*(other for other in range(rank) if other != axis), axis)
    turned = site.add(g.TransposeNode(site.name("turned"), x, order))
    layer = site.layer.path if name == site.name() else name
    mapped = site.add(g.DenseNode(site.name("mapped"), layer, turned, matrix, None))
    back = tuple(order.index(place) for place in range(rank))
    return site.add(g.TransposeNode(name, mapped, back))


def add_enlargement(site: Site, x: str, factors: g.Shape, *, smooth: bool) -> str:
    """Append an enlargement by whole factors; the names are the layer's own."""
    if not smooth or set(factors) == {1}:
        return site.add(g.UpsampleNode(site.name(), x, factors))
    return _add_bilinear(site, x, factors)


def _add_bilinear(site: Site, x: str, factors: g.Shape) -> str:
    """Repetition, then an average over as many elements as one was repeated to: that is the line
    between neighbours. The elements at the edge go on beyond it."""
    ones = (1,) * (len(factors) + 1)
    for axis, factor in enumerate(factors):
        if factor > 1:
            shape = site.shape(x)
            ends = []
            for place in (0, shape[axis] - 1):
                bounds = bounds_along(shape, axis, place, place + 1)
                ends.append(site.add(g.SliceNode(site.name("edge"), x, *bounds)))
            x = site.add(g.ConcatNode(site.name("edges"), (ends[0], x, ends[1]), axis))
    x = site.add(g.UpsampleNode(site.name("steps"), x, factors))
    shape, rows = site.shape(x), [_line(factor) for factor in factors]
    spare = [f - len(row) // 2 if f > 1 else 0 for f, row in zip(factors, rows, strict=True)]
    stops = [size - cut for size, cut in zip(shape[:-1], spare, strict=True)]
    inner = g.SliceNode(site.name("inner"), x, (*spare, 0), (*stops, shape[-1]), ones)
    x = site.add(inner)
    window: g.Floats = reduce(np.multiply.outer, rows)
    kernel = np.repeat(window[..., None, None], shape[-1], axis=-1)
    rank, name = len(factors), site.name()
    pads = ((0, 0),) * rank
    return site.add(
        g.ConvNode(name, site.layer.path, x, kernel, None, ones[1:], pads, ones[1:], shape[-1])
    )


def _line(factor: int) -> g.Floats:
    """The weights of an average over `factor` elements around a middle one."""
    weights = np.ones(factor + 1 - factor % 2)
    if factor % 2 == 0:
        weights[[0, -1]] = 0.5
    return weights / factor


def center_crop_layer(site: Site) -> str:
    """CenterCrop to a size that is inside the image."""
    fields = site.fields
    first = channels_first(fields)
    x = move_channels_last(site, spatial_input(site, 2, False), first)
    shape = site.shape(x)
    target_size = (fields.integer("height"), fields.integer("width"))
    if any(not 1 <= new <= old for old, new in zip(shape[:-1], target_size, strict=True)):
        raise UnsupportedLayerError(f"it crops an image of {shape[:-1]} to {target_size}")
    starts = [(old - new) // 2 for old, new in zip(shape[:-1], target_size, strict=True)]
    stops = [start + new for start, new in zip(starts, target_size, strict=True)]
    node = g.SliceNode(site.name(), x, (*starts, 0), (*stops, shape[-1]), (1, 1, 1))
    return move_channels_first(site, site.add(node), first)
