# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers of quantization-aware models of TensorFlow's Model Optimization Toolkit.

A tensor is divided by its step, rounded to whole numbers and multiplied by the step again, which
the finished Graph carries on to the next rounding (`readers/scales.py`). Where the step is a power
of two, the tensor simply has a fixed-point format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, AffineNode, Function, MergeKind
from edgeinfer.readers.keras.activations import add_quantized, fuse_activation, parse_activation
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import add_clip
from edgeinfer.readers.keras.parameters import unwrap_layer
from edgeinfer.readers.keras.tfmot_variables import (
    F32,
    ROUNDED_AFTER,
    ROUNDED_BEFORE,
    FakeQuantizer,
    RoundedParts,
    StepRange,
    activation_name,
    parse_quantizer,
    parse_wrapper,
    step_range,
)
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, fixed_of_range

WEIGHTED = ("Dense", "Conv1D", "Conv2D", "Conv2DTranspose", "DepthwiseConv2D")


def read_quantize_layer(site: Site) -> str:
    """QuantizeLayer: its input on steps."""
    quantizer = parse_quantizer(site.fields.get("quantizer"))
    if quantizer is None:
        return site.x
    return _round_tensor(site, site.x, quantizer, site.layer.name, site.name())


def read_wrapper(site: Site, read: Callable[[Site], tuple[str, ...]]) -> str:
    """QuantizeWrapperV2: the layer in it, with weights and what it makes on steps."""
    parts, inner = parse_wrapper(site.layer), unwrap_layer(site.layer)
    stem = site.stem
    if stem.endswith(site.layer.name):
        stem = stem.removesuffix(site.layer.name) + inner.name
    config = inner.entry.get("config")
    options: dict[str, Any] = dict(config) if isinstance(config, Mapping) else {}
    if "activation" in options:
        options["activation"] = activation_name(site.layer) or "linear"
    function = options.get("activation") if parts.activation else None
    if function is not None:
        options["activation"] = "linear"
    values: dict[str, F32] = {}
    scale = bias = None
    if parts.weights is not None:
        if inner.kind not in WEIGHTED:
            raise UnsupportedLayerError(f"it rounds the weights of {inner.kind}, which is not read")
        values[parts.weights], scale = _code_weights(site, parts)
        if scale is None:
            pass  # a power of two is part of the weights
        elif options.get("use_bias", True):
            bias, options["use_bias"] = site.weight("bias").astype(np.float64), False
    layer = replace(inner, entry={**inner.entry, "config": options})
    inside = replace(site, layer=layer, stem=stem, values=values)
    (x,) = read(inside)
    if scale is not None:
        name = site.builder.fresh(f"{stem}_scale")
        shift = np.zeros(1) if bias is None else bias
        x = site.add(AffineNode(name, name, x, scale.astype(np.float64), shift))
    steps = f"{stem}_rounded"
    if function is not None:
        named = activation_name(site.layer)
        if named in ROUNDED_BEFORE:
            x = _round_tensor(site, x, FakeQuantizer(), "pre_activation", steps)
        x = fuse_activation(inside, x, parse_activation(inside, function))
        if named in ROUNDED_AFTER:
            x = _round_tensor(site, x, FakeQuantizer(), "post_activation", steps)
    if parts.output:
        x = _round_tensor(site, x, FakeQuantizer(), "output", steps)
    return x


def _code_weights(site: Site, parts: RoundedParts) -> tuple[F32, F32 | None]:
    """Weights in steps, and the step for each output channel; steps that are powers of two are
    multiplied in, and None."""
    name = str(parts.weights)
    weights = site.weight(name)
    steps = _stored_range(site, parts.weight_quantizer, name)
    if steps.scale.shape != ((weights.shape[-1],) if parts.weight_quantizer.per_channel else ()):
        raise UnsupportedLayerError(f"its ranges do not fit its {name} of {weights.shape}")
    codes = steps.code(weights)
    if _powers_of_two(steps.scale):
        return codes * steps.scale, None
    scale = steps.scale.reshape(-1)
    if name == "depthwise_kernel" and scale.size > 1:  # the last axis: outputs of one channel
        scale = np.tile(scale, weights.shape[-2])
    return codes, scale


def _stored_range(site: Site, quantizer: FakeQuantizer, name: str) -> StepRange:
    if quantizer.ends is not None:
        ends = [np.asarray(end, np.float32) for end in quantizer.ends]
    else:
        ends = [site.weight(f"{name}_{end}") for end in ("min", "max")]
    return step_range(quantizer, *ends)


def _round_tensor(site: Site, x: str, quantizer: FakeQuantizer, stored: str, name: str) -> str:
    """Append what brings a tensor onto its steps."""
    steps = _stored_range(site, quantizer, stored)
    if steps.scale.ndim:
        raise UnsupportedLayerError(f"its range {stored} has the shape {steps.scale.shape}")
    low, high, scale = int(steps.low), int(steps.high), float(steps.scale)
    if low == high:
        raise UnsupportedLayerError(f"its range {stored} is empty: the model was never trained")
    builder = site.builder
    fitted = _whole_type(low, high)
    if fitted is not None and _powers_of_two(steps.scale):
        bits, frac = fitted.type.bits, 1 - int(np.frexp(scale)[1])
        type_ = Fixed(fitted.type.signed, bits, bits - frac)
        node = ActivationNode(builder.fresh(name), x, Function.LINEAR)
        return add_quantized(site, node, replace(fitted, type=type_))
    builder.scaled = True
    # Where no type ends as the steps do, they are counted from the least one while they saturate.
    moved = 0 if fitted is not None else int(steps.zero)
    rounded = fitted or _saturating_quantizer(fixed_of_range(0, (1 << quantizer.bits) - 1, 0))
    y = _add_affine(site, x, 1.0 / scale, float(moved), f"{name}_scaled")
    node = ActivationNode(builder.fresh(f"{name}_steps"), y, Function.LINEAR)
    y = add_quantized(site, node, rounded)
    if fitted is None and quantizer.narrow:
        y = add_clip(site, y, MergeKind.MAXIMUM, 1.0)
    if moved:
        y = _add_affine(site, y, 1.0, -float(moved), f"{name}_centred")
    return _add_affine(site, y, scale, 0.0, name)


def _add_affine(site: Site, x: str, scale: float, shift: float, name: str) -> str:
    name = site.builder.fresh(name)
    return site.add(AffineNode(name, name, x, np.asarray([scale]), np.asarray([shift])))


def _whole_type(low: int, high: int) -> Quantizer | None:
    """The type of whole numbers that saturates at these ends, if one does."""
    type_ = fixed_of_range(low, high, 0)
    if (type_.raw_min, type_.raw_max) == (low, high):
        return _saturating_quantizer(type_)
    if low == -high == -type_.raw_max:
        return replace(_saturating_quantizer(type_), overflow=Overflow.SAT_SYM)
    return None


def _saturating_quantizer(type_: Fixed) -> Quantizer:
    return Quantizer(type_, Rounding.RND, Overflow.SAT)


def _powers_of_two(scale: F32) -> bool:
    return bool((np.frexp(scale)[0] == 0.5).all())
