# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that multiply with weights: Dense and every convolution, float or quantized or folded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.graph import volumes
from edgeinfer.graph.windows import same_pads
from edgeinfer.readers.keras import activations, formats
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.quantizer_config import quantizer
from edgeinfer.readers.keras.quantizer_values import code_weights, straight_through
from edgeinfer.readers.keras.quantizers import Spec

F32 = NDArray[np.float32]
Make = Callable[[str, str, g.Floats, g.Floats | None], g.Node]


def channels_first(fields: Fields) -> bool:
    """Whether a layer counts its channels before its spatial axes."""
    orders = ("channels_last", "channels_first")
    return fields.one_of("data_format", "channels_last", *orders) == "channels_first"


def move_channels_last(site: Site, x: str, first: bool) -> str:
    """The tensor with its channels as the last axis."""
    if not first:
        return x
    rank = len(site.shape(x))
    order = (*range(1, rank), 0)
    return site.add(g.TransposeNode(site.name("channels_last"), x, order))


def move_channels_first(site: Site, x: str, first: bool) -> str:
    """The tensor with its channels as the first axis again."""
    if not first:
        return x
    rank = len(site.shape(x))
    return site.add(g.TransposeNode(site.name("channels_first"), x, (rank - 1, *range(rank - 1))))


def dense_layer(site: Site) -> str:
    """Dense and QDense."""
    fields = site.fields
    units = fields.integer("units")
    step = activations.parse_activation(site, fields.get("activation"))
    kernel_spec, bias_spec = _quantizers(fields, "kernel_quantizer")
    shape = site.shape(site.x)
    if not shape:
        raise UnsupportedLayerError("it reads a single number")
    kernel = site.shaped("kernel", (shape[-1], units))
    bias = _bias(site, units)
    kernel, bias = fold_batch_norm(site, kernel, bias)

    def make(name: str, layer: str, values: g.Floats, shift: g.Floats | None) -> g.Node:
        return g.DenseNode(name, layer, site.x, values, shift)

    y = add_product(site, make, kernel, kernel.shape, kernel_spec, bias, bias_spec)
    return activations.fuse_activation(site, y, step)


def coarse_layer(site: Site, *, zero: bool) -> str:
    """BinaryDense and TernaryDense, whose stored weights stand for -1 and 1, or (`zero`) also 0, as
    hls4ml reads them; the bias is what is stored."""
    fields = site.fields
    if fields.get("H", 1.0) not in (1, 1.0):
        raise UnsupportedLayerError(f"its weights stand for -H and H with H = {fields.get('H')!r}")
    step = activations.parse_activation(site, fields.get("activation"))
    units = fields.integer("units")
    stored = site.shaped("kernel", (site.shape(site.x)[-1], units)).astype(np.float64)
    kernel = np.where(stored >= 0, 1.0, -1.0)
    if zero:
        kernel = np.where(stored > 0.5, 1.0, np.where(stored <= -0.5, -1.0, 0.0))
    shift = _bias(site, units)
    bias = None if shift is None else shift.astype(np.float64)
    y = site.add(g.DenseNode(site.name(), site.layer.path, site.x, kernel, bias))
    return activations.fuse_activation(site, y, step)


def conv_layer(site: Site, rank: int) -> str:
    """Conv1D, Conv2D, Conv3D and their QKeras kin."""
    fields = site.fields
    filters, groups = fields.integer("filters"), fields.integer("groups", 1)
    window = fields.positive("kernel_size", rank)
    geometry = _geometry(fields, rank)
    step = activations.parse_activation(site, fields.get("activation"))
    kernel_spec, bias_spec = _quantizers(fields, "kernel_quantizer")
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    channels = site.shape(x)[-1]
    if groups < 1 or channels % groups:
        raise UnsupportedLayerError(f"{channels} channels do not form {groups} groups")
    kernel = site.shaped("kernel", (*window, channels // groups, filters))
    bias = _bias(site, filters)
    kernel, bias = fold_batch_norm(site, kernel, bias)
    mask = _mask(fields, window)
    if rank == 3:
        padding, strides, dilation = geometry
        pads = conv_pads(padding, site.shape(x)[:-1], window, strides, dilation)
        over = volumes.VolumeWindow(window, strides, pads, dilation)
        y = add_volume(site, x, over, groups, kernel, bias)
        return activations.fuse_activation(site, move_channels_first(site, y, first), step)
    make = _convolution(site, x, window, geometry, groups)
    y = add_product(site, make, kernel, kernel.shape, kernel_spec, bias, bias_spec, mask=mask)
    return activations.fuse_activation(site, move_channels_first(site, y, first), step)


def add_volume(
    site: Site, x: str, over: volumes.VolumeWindow, groups: int, kernel: F32, bias: F32 | None
) -> str:
    """A convolution of a volume, as one of a tall image."""
    sizes = site.shape(x)[:-1]
    try:
        over.places(sizes)
    except ValueError as error:
        raise UnsupportedLayerError(str(error)) from None
    image = volumes.stack_slices(site, x, over, groups)
    flat = volumes.flatten_kernel(kernel.astype(np.float64))
    shift = None if bias is None else bias.astype(np.float64)
    place = (over.strides[1:], ((0, 0), (0, 0)), over.dilation[1:], groups)
    y = site.add(g.ConvNode(site.name(), site.layer.path, image, flat, shift, *place))
    return volumes.unstack_slices(site, y, over, sizes)


def depthwise_layer(site: Site, rank: int) -> str:
    """DepthwiseConv1D, DepthwiseConv2D and their QKeras kin."""
    fields = site.fields
    window = fields.positive("kernel_size", rank)
    factor = fields.integer("depth_multiplier", 1)
    geometry = _geometry(fields, rank)
    step = activations.parse_activation(site, fields.get("activation"))
    kernel_spec, bias_spec = _quantizers(fields, "depthwise_quantizer")
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    channels = site.shape(x)[-1]
    kernel = site.shaped("depthwise_kernel", (*window, channels, factor))
    bias = _bias(site, channels * factor)
    kernel, bias = fold_batch_norm(site, kernel, bias, (channels, factor))
    make = _convolution(site, x, window, geometry, channels)
    shape = (*window, 1, channels * factor)
    y = add_product(site, make, kernel, shape, kernel_spec, bias, bias_spec)
    return activations.fuse_activation(site, move_channels_first(site, y, first), step)


def separable_layer(site: Site, rank: int) -> str:
    """SeparableConv1D and SeparableConv2D: depthwise, then pointwise with the bias."""
    fields = site.fields
    filters, factor = fields.integer("filters"), fields.integer("depth_multiplier", 1)
    window = fields.positive("kernel_size", rank)
    geometry = _geometry(fields, rank)
    step = activations.parse_activation(site, fields.get("activation"))
    between = activations.parse_activation(site, fields.get("depthwise_activation"))
    depth_spec = quantizer(fields.get("depthwise_quantizer"), of_kernel=True)
    point_spec, bias_spec = _quantizers(fields, "pointwise_quantizer")
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    channels = site.shape(x)[-1]
    depthwise = site.shaped("depthwise_kernel", (*window, channels, factor))
    pointwise = site.shaped("pointwise_kernel", (*(1,) * rank, channels * factor, filters))
    bias = _bias(site, filters)
    make = _convolution(site, x, window, geometry, channels)
    shape = (*window, 1, channels * factor)
    x = add_product(site, make, depthwise, shape, depth_spec, None, None, part="_depthwise")
    if between is not None:
        name = site.builder.fresh(f"{x}_{activations.label(between)}")
        x = activations.emit(site, x, between, name)
    make = _convolution(site, x, (1,) * rank, ("valid", (1,) * rank, (1,) * rank), 1)
    y = add_product(site, make, pointwise, pointwise.shape, point_spec, bias, bias_spec)
    return activations.fuse_activation(site, move_channels_first(site, y, first), step)


Geometry = tuple[str, g.Shape, g.Shape]  # padding, strides, dilation


def _geometry(fields: Fields, rank: int) -> Geometry:
    paddings = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
    return (
        fields.one_of("padding", "valid", *paddings),
        fields.positive("strides", rank, 1),
        fields.positive("dilation_rate", rank, 1),
    )


def spatial_input(site: Site, rank: int, first: bool) -> str:
    """The tensor that a layer with `rank` spatial axes reads, with its channels last."""
    shape = site.shape(site.x)
    if len(shape) != rank + 1:
        raise UnsupportedLayerError(
            f"it reads a tensor of {shape}, which does not have {rank + 1} axes"
        )
    return move_channels_last(site, site.x, first)


def _quantizers(fields: Fields, kernel: str) -> tuple[Spec | None, Spec | None]:
    return quantizer(fields.get(kernel), of_kernel=True), quantizer(fields.get("bias_quantizer"))


def _bias(site: Site, channels: int) -> F32 | None:
    if not site.fields.flag("use_bias", True):
        return None
    return site.shaped("bias", (channels,))


def _mask(fields: Fields, window: g.Shape) -> NDArray[np.float64] | None:
    """QConv2D may hold a mask over its window."""
    if fields.get("mask") is None:
        return None
    try:
        mask = np.asarray(fields.get("mask"), dtype=np.float64).reshape(*window, 1, 1)
    except (ValueError, TypeError):
        raise UnsupportedLayerError("its mask does not fit its window") from None
    if not np.isin(mask, (0.0, 1.0)).all():
        raise UnsupportedLayerError("its mask holds more than zeros and ones")
    return mask


def _convolution(site: Site, x: str, window: g.Shape, geometry: Geometry, groups: int) -> Make:
    padding, strides, dilation = geometry
    sizes = site.shape(x)[:-1]

    def make(name: str, layer: str, kernel: g.Floats, bias: g.Floats | None) -> g.Node:
        pads = conv_pads(padding, sizes, window, strides, dilation)
        return g.ConvNode(name, layer, x, kernel, bias, strides, pads, dilation, groups)

    return make


def conv_pads(
    padding: str, sizes: g.Shape, window: g.Shape, strides: g.Shape, dilation: g.Shape
) -> g.Pads:
    """The rows of zeros that a padding rule puts around a tensor."""
    match padding:
        case "same":
            return same_pads(sizes, window, strides, dilation)
        case "causal":
            return tuple(((w - 1) * d, 0) for w, d in zip(window, dilation, strict=True))
        case _:  # "valid", the one rule left
            return ((0, 0),) * len(sizes)


def fold_batch_norm(
    site: Site, kernel: F32, bias: F32 | None, per_channel: g.Shape | None = None
) -> tuple[F32, F32 | None]:
    """Kernel and bias with the layer's own batch norm in them, in float32 as QKeras folds."""
    if not site.layer.kind.endswith("Batchnorm"):
        return kernel, bias
    fields = site.fields
    fields.one_of("folding_mode", "ema_stats_folding", "ema_stats_folding", "batch_stats_folding")
    channels = (kernel.shape[-1],) if per_channel is None else (int(np.prod(per_channel)),)
    mean = site.shaped("moving_mean", channels)
    variance = site.shaped("moving_variance", channels)
    inverse = np.float32(1) / np.sqrt(variance + np.float32(fields.epsilon(1e-3)))
    if fields.flag("scale", True):
        inverse = inverse * site.shaped("gamma", channels)
    shift = site.shaped("beta", channels) if fields.flag("center", True) else np.float32(0)
    old = np.float32(0) if bias is None else bias
    spread = inverse if per_channel is None else inverse.reshape(per_channel)
    return spread * kernel, inverse * (old - mean) + shift


def add_product(
    site: Site,
    make: Make,
    kernel: F32,
    shape: g.Shape,
    kernel_spec: Spec | None,
    bias: F32 | None,
    bias_spec: Spec | None,
    *,
    part: str = "",
    mask: NDArray[np.float64] | None = None,
) -> str:
    """Append the multiplication; a scale that is no power of two becomes a node of its own."""
    layer, name = site.layer.path + part, site.stem if not part else site.name(part[1:])
    formatted = _format_weight(site, f"{layer}/kernel", kernel, shape, kernel_spec)
    values = formatted.values if mask is None else formatted.values * mask
    shift = None
    if bias is not None:
        shifted = _format_weight(site, f"{layer}/bias", bias, bias.shape, bias_spec)
        shift = shifted.values if shifted.scale is None else shifted.values * shifted.scale
        bias_format = shifted.format if shifted.scale is None else None
    else:
        bias_format = None
    if formatted.format is not None:
        site.builder.weights[f"{layer}/kernel"] = formatted.format
    if formatted.scale is None:
        if bias_format is not None:
            site.builder.weights[f"{layer}/bias"] = bias_format
        return site.add(make(name, layer, values, shift))
    x = site.add(make(name, layer, values, None))
    scale_layer = site.builder.free_name(f"{layer}_scale")
    if bias_format is not None:
        site.builder.weights[f"{scale_layer}/shift"] = bias_format
    scaled = site.builder.fresh(f"{name}_scale")
    shift = np.zeros(1) if shift is None else shift
    return site.add(g.AffineNode(scaled, scale_layer, x, formatted.scale, shift))


def _format_weight(
    site: Site, key: str, weights: F32, shape: g.Shape, spec: Spec | None
) -> formats.FormattedWeight:
    if spec is None:
        return formats.FormattedWeight(weights.astype(np.float64).reshape(shape), None)
    coded = code_weights(spec, weights)
    off = straight_through(spec, weights, coded.values).astype(np.float64) - coded.values
    worst = float(np.abs(off).max(initial=0.0))
    if worst:
        site.builder.find(
            f"{key}: QKeras itself computes in float32 with values that lie up to {worst:.2g} "
            "beside their quantizer's grid; the grid is what counts here."
        )
    return formats.format_weight(coded, shape)
