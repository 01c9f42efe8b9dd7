# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers of SparsePixels: HGQ2's and Keras's own at the first lit pixels of an image.

Beside its tensor each layer passes on the mask of the pixels that are kept. A convolution adds its
bias only where its sum is not zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import bounds_along
from edgeinfer.readers.keras import activations, pooling
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_layers import read_hgq_layer
from edgeinfer.readers.keras.hgq_quantizers import round_weights
from edgeinfer.readers.keras.sparse_variables import BIAS, CONV, PACKAGE, bias_layer, conv_layer

SMALLEST = float(np.finfo(np.float64).tiny)  # a step of any grid is larger


def read_sparse_layer(site: Site) -> tuple[str, ...]:
    """Append a layer's nodes; the names of its tensors, the mask last where it makes one."""
    match site.layer.kind.removeprefix(PACKAGE):
        case "InputReduce":
            return _keep_first(site)
        case "RemoveDilatedPixels":
            return (_hide(site, *_with_mask(site), site.name()),)
        case "QConv2DSparse":
            return (_convolve(site),)
        case "AveragePooling2DSparse":
            return _pool(site, g.PoolNodeKind.AVERAGE)
        case "MaxPooling2DSparse":
            return _pool(site, g.PoolNodeKind.MAX)
        case other:
            raise UnsupportedLayerError(f"it is SparsePixels' {other}, which is not read")


def _with_mask(site: Site) -> tuple[str, str]:
    if len(site.inputs) != 2:
        raise UnsupportedLayerError(f"it reads {len(site.inputs)} tensors, not one and its mask")
    return site.inputs[0], site.inputs[1]


def _hide(site: Site, x: str, mask: str, name: str) -> str:
    """The tensor where the mask is set, zero elsewhere."""
    return site.add(g.MergeNode(name, (x, mask), g.MergeKind.MULTIPLY))


def _keep_first(site: Site) -> tuple[str, ...]:
    """Pixels whose first channel lies above a threshold, so many of them row by row."""
    fields, x = site.fields, site.x
    most = fields.integer("n")
    if fields.flag("learn_n", True):
        share = np.float32(site.shaped("n_frac", ()))
        most = int(np.rint(np.float32(most) * share))
    threshold = np.float32(fields.number("threshold", 0.0))
    if fields.flag("learn_threshold", True):
        threshold = np.float32(site.shaped("threshold", ()))
    shape = site.shape(x)
    if len(shape) != 3 or most < 1:
        raise UnsupportedLayerError(f"it keeps {most} pixels of a tensor of {shape}")
    bright = x
    if shape[-1] > 1:
        bright = site.add(g.SliceNode(site.name("brightness"), x, *bounds_along(shape, -1, 0, 1)))
    mask = site.add(g.SitesNode(site.name("mask"), bright, float(threshold), most))
    return _hide(site, x, mask, site.name()), mask


def _convolve(site: Site) -> str:
    x, mask = _with_mask(site)
    inner = conv_layer(site.layer)
    inside = {
        name.removeprefix(CONV): dataset
        for name, dataset in site.datasets.items()
        if name.startswith(CONV)
    }
    hidden = _hide(site, x, mask, site.name("kept"))
    y = read_hgq_layer(
        replace(site, layer=inner, stem=site.name("conv"), xs=(hidden,), datasets=inside)
    )
    if site.fields.flag("use_bias", True):
        y = _add_bias(site, y)
    step = activations.parse_activation(site, site.fields.get("activation"))
    y = activations.fuse_activation(replace(site, stem=site.name("active")), y, step)
    return _hide(site, y, mask, site.name())


def _add_bias(site: Site, x: str) -> str:
    """A number for each channel where the tensor is not zero."""
    values = site.shaped("sparse_bias", site.shape(x)[-1:])
    quantizer = {
        name.removeprefix("_"): dataset
        for name, dataset in site.datasets.items()
        if name.startswith(BIAS)
    }
    inner = replace(site, layer=bias_layer(site.layer), datasets=quantizer)
    bias = round_weights(inner, "bq", values).astype(np.float64)
    if not bias.any():
        return x
    sign = site.add(g.ActivationNode(site.name("sign"), x, g.Function.TERNARY, (SMALLEST,)))
    some = site.add(g.MergeNode(site.name("nonzero"), (sign, sign), g.MergeKind.MULTIPLY))
    zeros, layer = np.zeros(1), f"{site.layer.path}/sparse_bias"
    there = site.add(g.AffineNode(site.name("bias"), layer, some, bias, zeros))
    return site.add(g.MergeNode(site.name("biased"), (x, there), g.MergeKind.ADD))


def _pool(site: Site, kind: g.PoolNodeKind) -> tuple[str, ...]:
    """The tensor pooled, and the mask by its maximum."""
    x, mask = _with_mask(site)
    config = site.fields.get("pool_config")
    if not isinstance(config, dict):
        raise UnsupportedLayerError("it does not describe its pool")
    layer = LayerConfig("", site.layer.name, site.layer.path, {"config": config})
    inner = replace(site, layer=layer, xs=(x,))
    y = pooling.pool_layer(inner, kind, 2)
    masked = replace(inner, stem=site.name("mask"), xs=(mask,))
    return y, pooling.pool_layer(masked, g.PoolNodeKind.MAX, 2)
