# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions and pools that a model calls as functions of `keras.ops`, with constant kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeinfer.graph.nodes import ConvNode, PoolNode, PoolNodeKind, Shape
from edgeinfer.readers.keras.arguments import Arguments, as_constant
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.linear import conv_pads

CHANNELS = "its channels are first; channels_last is read, by a layer also channels_first"


def read_conv(site: Site, arguments: Arguments) -> str:
    """`keras.ops.conv`."""
    x, kernel, rank = _operands(site, arguments)
    return _add_conv(site, x, arguments, kernel, 1, rank)


def read_depthwise(site: Site, arguments: Arguments) -> str:
    """`keras.ops.depthwise_conv`: each channel with kernels of its own."""
    x, kernel, rank = _operands(site, arguments)
    channels = kernel.shape[-2]
    flat = kernel.reshape(*kernel.shape[:-2], 1, channels * kernel.shape[-1])
    return _add_conv(site, x, arguments, flat, channels, rank)


def _operands(site: Site, arguments: Arguments) -> tuple[str, Any, int]:
    x = arguments.tensor()
    kernel = as_constant(arguments.take(1, "kernel"))
    rank = _spatial_axes(site, x, kernel.ndim - 2)
    if kernel.shape[-2] != site.shape(x)[-1]:
        raise UnsupportedLayerError(f"its kernel of {kernel.shape} does not fit {site.shape(x)}")
    return x, kernel, rank


def _spatial_axes(site: Site, x: str, count: int) -> int:
    if count not in (1, 2) or len(site.shape(x)) != count + 1:
        raise UnsupportedLayerError(
            f"its window of {count} axes does not fit a tensor of {site.shape(x)}; one and two "
            f"axes are read, by a layer three"
        )
    return count


def _add_conv(site: Site, x: str, arguments: Arguments, kernel: Any, groups: int, rank: int) -> str:
    window: Shape = kernel.shape[:rank]
    strides, padding = _stride_options(arguments, rank, (1,) * rank)
    dilation = _sizes(arguments.option("dilation_rate", default=1), "dilation_rate", rank)
    pads = conv_pads(padding, site.shape(x)[:-1], window, strides, dilation)
    values = np.asarray(kernel, np.float64)
    return site.add(
        ConvNode(site.name(), site.layer.path, x, values, None, strides, pads, dilation, groups)
    )


def read_pool(site: Site, arguments: Arguments, kind: PoolNodeKind) -> str:
    """`keras.ops.max_pool` and `average_pool`."""
    x = arguments.tensor()
    rank = _spatial_axes(site, x, len(site.shape(x)) - 1)
    window = _sizes(arguments.option("pool_size"), "pool_size", rank)
    strides, padding = _stride_options(arguments, rank, window)
    pads = conv_pads(padding, site.shape(x)[:-1], window, strides, (1,) * rank)
    return site.add(PoolNode(site.name(), x, kind, window, strides, pads))


def _stride_options(arguments: Arguments, rank: int, default: Shape) -> tuple[Shape, str]:
    if arguments.option("data_format", default="channels_last") != "channels_last":
        raise UnsupportedLayerError(CHANNELS)
    strides = arguments.option("strides")
    padding = str(arguments.option("padding", default="valid"))
    if padding not in ("valid", "same"):
        raise UnsupportedLayerError(f"its padding is {padding!r}; 'valid' and 'same' are read")
    return default if strides is None else _sizes(strides, "strides", rank), padding


def _sizes(value: Any, name: str, rank: int) -> Shape:
    return Fields({name: value}).positive(name, rank)
