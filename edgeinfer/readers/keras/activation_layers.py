# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that are nothing but a function: Activation, ReLU and their kin, Softmax."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, Function, PReluNode
from edgeinfer.readers.keras.activations import add_quantized, emit, parse_activation
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import add_function, function_of_layer
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding


def activation_layer(site: Site) -> str:
    """Activation and QActivation."""
    step = parse_activation(site, site.fields.get("activation"))
    return site.x if step is None else emit(site, site.x, step, site.name())


def fixed_point_layer(site: Site) -> str:
    """hls4ml's FixedPointQuantizer, where all of its elements have one format.

    What counts are the numbers that it holds for each element, and the layer's own rounding and
    overflow. The type that the file states for hls4ml holds all of these formats, and rounds less.
    """
    held = [site.integers(name) for name in ("keep_negative", "bits", "integers")]
    if any((each != each.flat[0]).any() for each in held):
        raise UnsupportedLayerError(
            "its elements have formats of their own, which no op here can hold yet"
        )
    signed, bits, integer = (int(each.flat[0]) for each in held)
    if bits == 0:
        raise UnsupportedLayerError("it has 0 bits, so it lets nothing through")
    modes = site.fields.text("RND", "TRN"), site.fields.text("SAT", "WRAP")
    try:
        quantizer = Quantizer(Fixed(bool(signed), bits, integer), *_modes(*modes))
    except FormatError as error:
        raise UnsupportedLayerError(str(error)) from None
    return add_quantized(site, ActivationNode(site.name(), site.x, Function.LINEAR), quantizer)


def _modes(rounding: str, overflow: str) -> tuple[Rounding, Overflow]:
    try:
        return Rounding(rounding), Overflow(overflow)
    except ValueError as error:
        raise UnsupportedLayerError(f"{error}; known are those of ap_fixed") from None


def function_layer(site: Site) -> str:
    """ReLU, LeakyReLU, ELU and Softmax."""
    step = function_of_layer(site.layer.kind, site.fields)
    return add_function(site, site.x, step, site.name())


def prelu_layer(site: Site) -> str:
    """PReLU; axes that share a slope have size 1."""
    shared = site.fields.get("shared_axes") or []
    axes = {int(a) for a in (shared if isinstance(shared, list) else [shared]) if a in range(1, 9)}
    shape = site.shape(site.x)
    wanted = tuple(1 if axis + 1 in axes else size for axis, size in enumerate(shape))
    slope = site.shaped("alpha", wanted).astype(np.float64)
    return site.add(PReluNode(site.name(), site.layer.path, site.x, slope))
