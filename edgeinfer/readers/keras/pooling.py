# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pooling layers: windows, whole tensors, and QKeras's averages with a rounded divisor."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph.nodes import AffineNode, ConvNode, PoolNode, PoolNodeKind, ReshapeNode, Shape
from edgeinfer.graph.volumes import VolumeWindow, pool_volume
from edgeinfer.readers.keras import activations
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.linear import (
    channels_first,
    conv_pads,
    move_channels_first,
    spatial_input,
)
from edgeinfer.readers.keras.quantizer_config import quantizer
from edgeinfer.readers.keras.quantizer_values import code_weights


def pool_layer(site: Site, kind: PoolNodeKind, rank: int) -> str:
    """MaxPooling and AveragePooling."""
    fields = site.fields
    window = fields.positive("pool_size", rank, 2)
    strides = fields.positive("strides", rank) if fields.get("strides") is not None else window
    padding = fields.one_of("padding", "valid", "valid", "same")
    step = activations.parse_activation(site, fields.get("activation"))
    divisor = _divisor(site, int(np.prod(window)))
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    if divisor is None:
        pads = conv_pads(padding, site.shape(x)[:-1], window, strides, (1,) * rank)
        y = _add_pool(site, x, kind, VolumeWindow(window, strides, pads))
    else:
        if padding == "same":
            raise UnsupportedLayerError(
                "it averages with a quantizer over windows that hang over the edge"
            )
        y = _add_sum(site, x, window, strides, divisor)
    return activations.fuse_activation(site, move_channels_first(site, y, first), step)


def global_pool_layer(site: Site, kind: PoolNodeKind, rank: int) -> str:
    """GlobalMaxPooling and GlobalAveragePooling."""
    fields = site.fields
    keep = fields.flag("keepdims", False)
    step = activations.parse_activation(site, fields.get("activation"))
    first = channels_first(fields)
    x = spatial_input(site, rank, first)
    window = site.shape(x)[:-1]
    divisor = _divisor(site, int(np.prod(window)))
    if divisor is None:
        pads = ((0, 0),) * rank
        y = _add_pool(site, x, kind, VolumeWindow(window, window, pads))
    else:
        y = _add_sum(site, x, window, window, divisor)
    if not keep:
        y = site.add(ReshapeNode(site.name("flat"), y, (site.shape(y)[-1],)))
    else:
        y = move_channels_first(site, y, first)
    return activations.fuse_activation(site, y, step)


def _add_pool(site: Site, x: str, kind: PoolNodeKind, over: VolumeWindow) -> str:
    if len(over.window) == 3:
        try:
            over.places(site.shape(x)[:-1])
        except ValueError as error:
            raise UnsupportedLayerError(str(error)) from None
        return pool_volume(site, x, kind, over)
    return site.add(PoolNode(site.name(), x, kind, over.window, over.strides, over.pads))


def _divisor(site: Site, area: int) -> float | None:
    """1 / area as QKeras's average_quantizer rounds it, or None for an exact average."""
    spec = quantizer(site.fields.get("average_quantizer"))
    if spec is None:
        return None
    coded = code_weights(spec, np.asarray(1.0 / area, dtype=np.float32))
    return float(coded.values.reshape(-1)[0])


def _add_sum(site: Site, x: str, window: Shape, strides: Shape, divisor: float) -> str:
    """The sum over each window, exactly, times the rounded divisor."""
    channels = site.shape(x)[-1]
    ones = np.ones((*window, 1, channels))
    name = site.name("sum")
    rank = len(window)
    total = site.add(
        ConvNode(name, name, x, ones, None, strides, ((0, 0),) * rank, (1,) * rank, channels)
    )
    return site.add(
        AffineNode(site.name(), site.layer.path, total, np.asarray([divisor]), np.zeros(1))
    )
