# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Activations: plain functions and QKeras quantizers, as layers or fused into the layer before."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.readers.keras import quantizers as q
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import (
    LAYERS,
    QKERAS_HARD_SIGMOID,
    FloatStep,
    GraphFunction,
    Plain,
    Rectifier,
    SoftmaxAlong,
    add_clip,
    add_function,
    function_of_layer,
    label_of_function,
    plain_function,
)
from edgeinfer.readers.keras.quantizer_config import is_quantizer, parse_serialised, spec_of
from quantization.fixed import Fixed, Overflow, Quantizer

Step = FloatStep | q.Spec


def parse_activation(site: Site, value: Any) -> Step | None:
    """What an `activation` argument asks for; None for nothing."""
    parsed = parse_serialised(value)
    if parsed is None or parsed[0] in {"linear", "None", ""}:
        return None
    name, fields = parsed
    if is_quantizer(name):
        return spec_of(name, fields)
    if name == "Activation":
        return parse_activation(site, fields.get("activation"))
    if name in LAYERS:
        return function_of_layer(name, fields)
    return plain_function(name)


def label(step: Step) -> str:
    """The word that a fused activation adds to its layer's name."""
    match step:
        case Plain() | Rectifier() | GraphFunction() | SoftmaxAlong():
            return label_of_function(step)
        case q.QuantizedBits() | q.QuantizedLinear():
            return g.Function.LINEAR
        case q.QuantizedRelu():
            return g.Function.LEAKY_RELU if step.negative_slope else g.Function.RELU
        case q.QuantizedTanh():
            return g.Function.TANH
        case q.QuantizedSigmoid():
            return g.Function.SIGMOID
        case q.Binary():
            return g.Function.SIGN
        case q.Ternary():
            return g.Function.TERNARY
        case q.PowerOfTwo():
            return g.Function.POWER_OF_TWO
        case q.QuantizedHardSwish():
            return "hard_swish"
        case _:
            assert_never(step)


def fuse_activation(site: Site, x: str, step: Step | None) -> str:
    """Append a layer's `activation` behind its linear part."""
    return x if step is None else emit(site, x, step, site.name(label(step)))


def emit(site: Site, x: str, step: Step, name: str) -> str:
    """Append the nodes of a function; the last of them is the tensor that the user knows."""
    match step:
        case Plain() | Rectifier() | GraphFunction() | SoftmaxAlong():
            return add_function(site, x, step, name)
        case q.QuantizedBits() | q.QuantizedLinear():
            return _fixed_point(site, x, step, name)
        case q.QuantizedRelu():
            return _relu(site, x, step, name)
        case q.QuantizedTanh():
            function = g.Function.TANH if step.real else g.Function.HARD_TANH
            type_ = Fixed(True, step.bits, 1)
            overflow = Overflow.SAT_SYM if step.symmetric else Overflow.SAT
            return add_quantized(
                site, g.ActivationNode(name, x, function), Quantizer(type_, overflow=overflow)
            )
        case q.QuantizedSigmoid():
            return _sigmoid(site, x, step, name)
        case q.Binary():
            _refuse_auto(step.alpha)
            y = add_quantized(site, g.ActivationNode(name, x, g.Function.SIGN), _SIGNS)
            half = 0.5 if step.zero_one else 0.0
            return _add_scale(site, y, step.alpha, 1.0 - half, half)
        case q.Ternary():
            _refuse_auto(step.alpha)
            threshold = np.float32(0.33 if step.threshold is None else step.threshold)
            node = g.ActivationNode(name, x, g.Function.TERNARY, (float(threshold),))
            return _add_scale(site, add_quantized(site, node, _SIGNS), step.alpha)
        case q.PowerOfTwo():
            return _power_of_two(site, x, step, name)
        case q.QuantizedHardSwish():
            return _hard_swish(site, x, step, name)
        case _:
            assert_never(step)


_SIGNS = Quantizer(Fixed(True, 2, 2), overflow=Overflow.SAT_SYM)


def add_quantized(site: Site, node: g.ActivationNode | g.MergeNode, quantizer: Quantizer) -> str:
    site.builder.activations[node.name] = quantizer
    return site.add(node)


def _refuse_auto(alpha: q.Alpha) -> None:
    if isinstance(alpha, str):
        raise UnsupportedLayerError(
            f"its quantizer takes its scale from the data of each batch (alpha={alpha!r}), which "
            "no fixed hardware can; set alpha=1"
        )


def _add_scale(site: Site, x: str, alpha: q.Alpha, factor: float = 1.0, shift: float = 0.0) -> str:
    """The tensor times a quantizer's constant scale."""
    factors = np.asarray(1.0 if alpha is None else alpha, dtype=np.float32).reshape(-1)
    if (factors == 1.0).all() and factor == 1.0 and shift == 0.0:
        return x
    name = site.builder.fresh(f"{x}_scale")
    scale = factors.astype(np.float64)
    return site.add(g.AffineNode(name, name, x, scale * factor, scale * shift))


def _fixed_point(site: Site, x: str, spec: q.QuantizedBits | q.QuantizedLinear, name: str) -> str:
    _refuse_auto(spec.alpha)
    if spec.bits == 1 and spec.keep_negative:
        y = add_quantized(site, g.ActivationNode(name, x, g.Function.SIGN), _SIGNS)
        step = 0.5 * 2.0**spec.integer if isinstance(spec, q.QuantizedLinear) else 1.0
        return _add_scale(site, y, spec.alpha, step)
    if isinstance(spec, q.QuantizedLinear) and spec.alpha not in (None, 1.0):
        raise UnsupportedLayerError(
            "quantized_linear with a scale of its own is used as an activation"
        )
    type_ = Fixed(spec.keep_negative, spec.bits, spec.integer + int(spec.keep_negative))
    overflow = Overflow.SAT_SYM if spec.symmetric and spec.keep_negative else Overflow.SAT
    node = g.ActivationNode(name, x, g.Function.LINEAR)
    return _add_scale(
        site, add_quantized(site, node, Quantizer(type_, overflow=overflow)), spec.alpha
    )


def _relu(site: Site, x: str, spec: q.QuantizedRelu, name: str) -> str:
    if spec.use_sigmoid:
        raise UnsupportedLayerError("quantized_relu with use_sigmoid is not known on integers")
    slope = spec.negative_slope
    if not slope:
        type_ = Fixed(False, spec.bits, spec.integer)
        y = add_quantized(site, g.ActivationNode(name, x, g.Function.RELU), Quantizer(type_))
    else:
        if spec.bits < 2:
            raise UnsupportedLayerError("quantized_relu with a negative slope needs 2 bits")
        type_ = Fixed(True, spec.bits, spec.integer + 1)
        node = g.ActivationNode(name, x, g.Function.LEAKY_RELU, (slope,))
        y = add_quantized(site, node, Quantizer(type_))
        lowest = -slope * 2.0**spec.integer
        if slope > 1 or lowest > -type_.lsb:
            raise UnsupportedLayerError(f"its negative_slope {slope} leaves no step below zero")
        y = add_clip(site, y, g.MergeKind.MAXIMUM, lowest) if slope < 1 else y
    if spec.upper_bound is None or spec.upper_bound >= type_.max:
        return y
    if spec.upper_bound / type_.lsb % 1:
        raise UnsupportedLayerError("its relu_upper_bound lies between two of its steps")
    return add_clip(site, y, g.MergeKind.MINIMUM, spec.upper_bound)


def _sigmoid(site: Site, x: str, spec: q.QuantizedSigmoid, name: str) -> str:
    node = (
        g.ActivationNode(name, x, g.Function.SIGMOID)
        if spec.real
        else g.ActivationNode(name, x, g.Function.HARD_SIGMOID, QKERAS_HARD_SIGMOID)
    )
    type_ = Fixed(False, spec.bits, 0)
    y = add_quantized(site, node, Quantizer(type_))
    return add_clip(site, y, g.MergeKind.MAXIMUM, type_.lsb) if spec.symmetric else y


def _power_of_two(site: Site, x: str, spec: q.PowerOfTwo, name: str) -> str:
    if spec.quadratic or spec.floor:
        raise UnsupportedLayerError(
            "a power of two with rounding of its own is used as an activation"
        )
    low, high = spec.exponents
    if spec.max_value is not None:
        high = max(low, min(high, round(float(np.log2(spec.max_value)))))
    signed = not spec.relu or spec.negative_slope != 0
    if high - low > 24:
        site.builder.find(
            f"{name} makes powers of two down to 2^{low}; those below 2^{high - 24} become that."
        )
        low = high - 24
    if spec.relu and spec.negative_slope:
        slope = site.builder.fresh(f"{name}_slope")
        x = site.add(g.ActivationNode(slope, x, g.Function.LEAKY_RELU, (spec.negative_slope,)))
    parameters = (float(low), float(high), float(signed))
    type_ = Fixed(signed, high - low + 1 + int(signed), high + 1 + int(signed))
    overflow = Overflow.SAT_SYM if signed else Overflow.SAT
    node = g.ActivationNode(name, x, g.Function.POWER_OF_TWO, parameters)
    return add_quantized(site, node, Quantizer(type_, overflow=overflow))


def _hard_swish(site: Site, x: str, spec: q.QuantizedHardSwish, name: str) -> str:
    if spec.bound <= 0 or spec.shift <= 0:
        raise UnsupportedLayerError(
            "quantized_hswish needs a positive relu_shift and relu_upper_bound"
        )
    curve = site.builder.fresh(f"{name}_curve")
    parameters = (float(spec.shift), float(spec.bound))
    site.add(g.ActivationNode(curve, x, g.Function.HARD_SWISH, parameters))
    return _fixed_point(site, curve, spec.output, name)
