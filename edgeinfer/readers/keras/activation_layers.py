# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that are nothing but a function: Activation, ReLU and their kin, Softmax."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, Function, MergeKind, PReluNode, SoftmaxNode
from edgeinfer.readers.keras.activations import add_clip, add_quantized, emit, parse_activation
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding

FUNCTIONS = {  # of keras.ops, as layers of a functional model
    "Erf": Function.ERF,
    "Exp": Function.EXPONENTIAL,
    "Tanh": Function.TANH,
}


def function_layer(site: Site) -> str:
    """A function of `keras.ops` that has no settings."""
    return site.add(ActivationNode(site.name(), site.x, FUNCTIONS[site.layer.kind]))


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


def relu_layer(site: Site) -> str:
    """ReLU with its bounds and slope."""
    fields = site.fields
    if fields.optional("threshold") not in (None, 0.0):
        raise UnsupportedLayerError("its threshold is not 0")
    slope = fields.optional("negative_slope") or 0.0
    top = fields.optional("max_value")
    if slope:
        node = ActivationNode(site.name(), site.x, Function.LEAKY_RELU, (slope,))
    else:
        function = Function.RELU6 if top == 6.0 else Function.RELU
        node = ActivationNode(site.name(), site.x, function)
    y = site.add(node)
    if top is None or node.function is Function.RELU6:
        return y
    return add_clip(site, y, MergeKind.MINIMUM, top)


def sloped_layer(site: Site) -> str:
    """LeakyReLU and ELU, whose parameter changed its name with Keras 3."""
    fields, kind = site.fields, site.layer.kind
    if kind == "ELU":
        alpha = fields.optional("alpha")
        parameters = (1.0 if alpha is None else alpha,)
        return site.add(ActivationNode(site.name(), site.x, Function.ELU, parameters))
    slope = _slope(fields)
    return site.add(ActivationNode(site.name(), site.x, Function.LEAKY_RELU, (slope,)))


def _slope(fields: Fields) -> float:
    for name in ("negative_slope", "alpha"):
        if fields.get(name) is not None:
            return float(np.float32(fields.number(name, limit=1e30)))
    return float(np.float32(0.3))


def prelu_layer(site: Site) -> str:
    """PReLU; axes that share a slope have size 1."""
    shared = site.fields.get("shared_axes") or []
    axes = {int(a) for a in (shared if isinstance(shared, list) else [shared]) if a in range(1, 9)}
    shape = site.shape(site.x)
    wanted = tuple(1 if axis + 1 in axes else size for axis, size in enumerate(shape))
    slope = site.shaped("alpha", wanted).astype(np.float64)
    return site.add(PReluNode(site.name(), site.layer.path, site.x, slope))


def softmax_layer(site: Site) -> str:
    """Softmax over one axis; Keras counts it with the batch."""
    axis = site.fields.get("axis", -1)
    axis = Fields({"axis": axis}).integer("axis")
    rank = len(site.shape(site.x))
    if axis == 0 or not -rank <= axis <= rank:
        raise UnsupportedLayerError(f"it runs over axis {axis} of a tensor with {rank} axes")
    return site.add(SoftmaxNode(site.name(), site.x, axis - 1 if axis > 0 else axis))
