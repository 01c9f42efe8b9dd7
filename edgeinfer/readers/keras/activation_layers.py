# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that are nothing but a function: Activation, ReLU and their kin, Softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import PReluNode, ReshapeNode, SoftmaxNode, TransposeNode
from edgeinfer.readers.keras.activations import emit, parse_activation
from edgeinfer.readers.keras.arguments import axes_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.element_formats import ElementFormats, round_elements
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import add_function, function_of_layer
from quantization.fixed import MAX_BITS, Overflow, Rounding


def activation_layer(site: Site) -> str:
    """Activation and QActivation."""
    step = parse_activation(site, site.fields.get("activation"))
    return site.x if step is None else emit(site, site.x, step, site.name())


def fixed_point_layer(site: Site) -> str:
    """hls4ml's FixedPointQuantizer, which stands for one of HGQ 1.

    What counts are the numbers that it holds for each element, and the layer's own rounding and
    overflow. The type that the file states for hls4ml holds all of these formats, and rounds less.
    """
    names = ("keep_negative", "bits", "integers")
    signed, bits, integer = np.broadcast_arrays(*(site.integers(name) for name in names))
    shape = site.shape(site.x)
    if max(np.abs(bits).max(), np.abs(integer).max()) > MAX_BITS or (signed > 1).any():
        raise UnsupportedLayerError(f"it has formats of more than {MAX_BITS} bits")
    if bits.size == 1:
        signed, bits, integer = (each.reshape([1] * len(shape)) for each in (signed, bits, integer))
    elif len(bits) == 1:  # an axis for the samples
        signed, bits, integer = signed[0], bits[0], integer[0]
    sizes = zip(bits.shape, shape, strict=False)
    if bits.ndim != len(shape) or any(size not in (1, whole) for size, whole in sizes):
        raise UnsupportedLayerError(f"it has formats for {bits.shape} elements, not for {shape}")
    before = np.where(bits > 0, integer - signed, 0)
    behind = np.where(bits > 0, bits - integer, -signed)
    modes = _modes(site.fields.text("RND", "TRN"), site.fields.text("SAT", "WRAP"))
    return round_elements(site, site.x, ElementFormats(signed, before, behind, *modes), site.name())


def _modes(rounding: str, overflow: str) -> tuple[Rounding, Overflow]:
    try:
        return Rounding(rounding), Overflow(overflow)
    except ValueError as error:
        raise UnsupportedLayerError(f"{error}; known are those of ap_fixed") from None


def function_layer(site: Site) -> str:
    """ReLU, LeakyReLU, ELU and Softmax."""
    axis = site.fields.get("axis") if site.layer.kind == "Softmax" else None
    if isinstance(axis, (list, tuple)):
        return _joint_softmax(site, axis)
    step = function_of_layer(site.layer.kind, site.fields)
    return add_function(site, site.x, step, site.name())


def _joint_softmax(site: Site, axis: Sequence[Any]) -> str:
    """Softmax over several axes at once: as one, behind the others."""
    shape = site.shape(site.x)
    axes = tuple(sorted(axes_of(axis, len(shape))))
    others = tuple(place for place in range(len(shape)) if place not in axes)
    order = (*others, *axes)
    turned = site.add(TransposeNode(site.name("turned"), site.x, order))
    rows = (*(shape[place] for place in others), math.prod(shape[place] for place in axes))
    flat = site.add(ReshapeNode(site.name("rows"), turned, rows))
    made = site.add(SoftmaxNode(site.name("softmax"), flat))
    whole = tuple(shape[place] for place in order)
    apart = site.add(ReshapeNode(site.name("apart"), made, whole))
    back = tuple(order.index(place) for place in range(len(shape)))
    return site.add(TransposeNode(site.name(), apart, back))


def prelu_layer(site: Site) -> str:
    """PReLU; axes that share a slope have size 1."""
    shared = site.fields.get("shared_axes") or []
    axes = {int(a) for a in (shared if isinstance(shared, list) else [shared]) if a in range(1, 9)}
    shape = site.shape(site.x)
    slope_shape = tuple(1 if axis + 1 in axes else size for axis, size in enumerate(shape))
    slope = site.shaped("alpha", slope_shape).astype(np.float64)
    return site.add(PReluNode(site.name(), site.layer.path, site.x, slope))
