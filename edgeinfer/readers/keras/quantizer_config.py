# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QKeras quantizers read from a file: from either serialisation, or from text."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinfer.readers.keras.config import class_name, own_function
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, scalar
from edgeinfer.readers.keras.quantizers import (
    Alpha,
    AutoScale,
    Binary,
    PowerOfTwo,
    QuantizedBits,
    QuantizedHardSwish,
    QuantizedLinear,
    QuantizedRelu,
    QuantizedSigmoid,
    QuantizedTanh,
    Spec,
    Ternary,
)

_SIGNATURES: dict[str, tuple[str, ...]] = {
    "quantized_bits": (
        *("bits", "integer", "symmetric", "keep_negative", "alpha", "use_stochastic_rounding"),
        *("scale_axis", "qnoise_factor"),
    ),
    "quantized_linear": (
        *("bits", "integer", "symmetric", "keep_negative", "alpha", "use_stochastic_rounding"),
        *("scale_axis", "qnoise_factor"),
    ),
    "binary": ("use_01", "alpha", "use_stochastic_rounding"),
    "ternary": ("alpha", "threshold", "use_stochastic_rounding", "number_of_unrolls"),
    "quantized_po2": (
        *("bits", "max_value", "use_stochastic_rounding", "quadratic_approximation"),
        *("log2_rounding", "qnoise_factor"),
    ),
    "quantized_relu_po2": (
        *("bits", "max_value", "negative_slope", "use_stochastic_rounding"),
        *("quadratic_approximation", "log2_rounding", "qnoise_factor"),
    ),
    "quantized_relu": (
        *("bits", "integer", "use_sigmoid", "negative_slope", "use_stochastic_rounding"),
        *("relu_upper_bound", "is_quantized_clip", "qnoise_factor"),
    ),
    "quantized_tanh": ("bits", "use_stochastic_rounding", "symmetric", "use_real_tanh"),
    "quantized_sigmoid": ("bits", "symmetric", "use_real_sigmoid", "use_stochastic_rounding"),
    "quantized_hswish": (
        *("bits", "integer", "symmetric", "alpha", "use_stochastic_rounding", "scale_axis"),
        *("qnoise_factor",),
    ),
}
_RANDOM = {"bernoulli", "stochastic_binary", "stochastic_ternary"}


def parse_serialised(value: Any) -> tuple[str, Fields] | None:
    """The class name and arguments of a serialised quantizer or function, or None for none."""
    if value is None:
        return None
    if isinstance(value, str):
        return _from_text(value)
    if not isinstance(value, Mapping):
        raise UnsupportedLayerError(f"{value!r} is not a quantizer")
    name = class_name(value)
    config = value.get("config")
    if name == "function" and isinstance(config, str):
        return own_function(config), Fields({})
    if isinstance(config, str):  # a wrapped name, as some versions wrote functions
        return _from_text(config)
    return name, Fields(config or {})


def _from_text(text: str) -> tuple[str, Fields]:
    if len(text) > 1000:
        raise UnsupportedLayerError("a quantizer's text is longer than 1000 characters")
    if "(" not in text:
        return own_function(text).strip(), Fields({})
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError
        name = call.func.id
        values = [ast.literal_eval(argument) for argument in call.args]
        settings = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise UnsupportedLayerError(f"{text!r} is not a quantizer that can be read") from None
    order = _SIGNATURES.get(name, ())
    if len(values) > len(order) and name in _SIGNATURES:
        raise UnsupportedLayerError(f"{text!r} has more arguments than {name} takes")
    return name, Fields(dict(zip(order, values, strict=False)) | settings)


def quantizer(value: Any, *, of_kernel: bool = False) -> Spec | None:
    """A quantizer, or None where there is none.

    of_kernel: QKeras layers give a kernel's quantizer a scale of its own where alpha is None.
    """
    parsed = parse_serialised(value)
    if parsed is None or parsed[0] in {"linear", "None", ""}:
        return None
    spec = spec_of(*parsed)
    match spec:
        case QuantizedBits(alpha=None) | QuantizedLinear(alpha=None) if of_kernel:
            return replace(spec, alpha="auto_po2", symmetric=True)
        case Binary(alpha=None) | Ternary(alpha=None) if of_kernel:
            return replace(spec, alpha="auto_po2")
        case _:  # it says how kernels are scaled, or need not
            return spec


def is_quantizer(name: str) -> bool:
    """Whether a name is that of a quantizer rather than of a plain function."""
    return name in _SIGNATURES or name in _RANDOM or name.startswith(("quantized_", "stochastic_"))


def spec_of(name: str, fields: Fields) -> Spec:
    """A quantizer from its class name and arguments."""
    if name in _RANDOM:
        raise UnsupportedLayerError(
            f"{name} draws random numbers; use binary, ternary or quantized_bits"
        )
    if name not in _SIGNATURES:
        raise UnsupportedLayerError(f"{name} is not a quantizer that can be computed on integers")
    if fields.optional("qnoise_factor") not in (None, 1.0):
        raise UnsupportedLayerError(f"{name} mixes in unquantized values (qnoise_factor is not 1)")
    bits = _bits(fields) if "bits" in _SIGNATURES[name] else 1
    match name:
        case "quantized_bits":
            alpha = _alpha(fields)
            return QuantizedBits(
                bits,
                _integer_bits(fields),
                fields.flag("symmetric", False) or isinstance(alpha, str),
                fields.flag("keep_negative", True),
                alpha,
                _auto(fields),
                _numbers(fields, "post_training_scale"),
            )
        case "quantized_linear":
            return QuantizedLinear(
                bits,
                _integer_bits(fields),
                fields.flag("symmetric", True),
                fields.flag("keep_negative", True),
                _alpha(fields),
                _auto(fields),
            )
        case "binary":
            return Binary(_alpha(fields), fields.flag("use_01", False), _auto(fields))
        case "ternary":
            rounds = fields.integer("number_of_unrolls", 5)
            if not 0 <= rounds <= 1000:
                raise UnsupportedLayerError(f"its number_of_unrolls is {rounds}")
            return Ternary(_alpha(fields), fields.optional("threshold"), rounds)
        case "quantized_po2" | "quantized_relu_po2":
            return _power_of_two(name, bits, fields)
        case "quantized_relu":
            return _relu(bits, fields)
        case "quantized_tanh":
            if fields.get("integer", 0):
                raise UnsupportedLayerError(
                    "quantized_tanh with integer bits was dropped by QKeras"
                )
            return QuantizedTanh(
                bits, fields.flag("symmetric", False), fields.flag("use_real_tanh", False)
            )
        case "quantized_sigmoid":
            if fields.get("integer", 0):
                raise UnsupportedLayerError(
                    "quantized_sigmoid with integer bits was dropped by QKeras"
                )
            return QuantizedSigmoid(
                bits, fields.flag("symmetric", False), fields.flag("use_real_sigmoid", False)
            )
        case _:  # quantized_tanh, the last of those checked above
            output = QuantizedBits(
                bits, _integer_bits(fields), fields.flag("symmetric", False), True, _alpha(fields)
            )
            return QuantizedHardSwish(
                fields.number("relu_shift", 3), fields.number("relu_upper_bound", 6), output
            )


def _bits(fields: Fields) -> int:
    bits = fields.integer("bits", 8)
    if not 1 <= bits <= 32:
        raise UnsupportedLayerError(f"it quantizes to {bits} bits; 1 to 32 are possible")
    return bits


def _integer_bits(fields: Fields) -> int:
    integer = fields.integer("integer", 0)
    if abs(integer) > 64:
        raise UnsupportedLayerError(f"it has {integer} integer bits")
    return integer


def _alpha(fields: Fields) -> Alpha:
    value = fields.get("alpha")
    if value is None:
        return None
    if isinstance(value, str):
        if value in ("auto", "auto_po2"):
            return value
        try:
            value = float(value)
        except ValueError:
            raise UnsupportedLayerError(f"its alpha is {value!r}") from None
    one = scalar(value)
    if one is not None:
        if not np.isfinite(one) or one <= 0:
            raise UnsupportedLayerError(f"its alpha is {value!r}, not a positive number")
        return one
    return _numbers(fields, "alpha")


def _numbers(fields: Fields, name: str) -> tuple[float, ...] | None:
    """Numbers, one for each output channel, whatever axes of size 1 are around them."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, Mapping):
        config = value.get("config", value)
        value = config.get("value") if isinstance(config, Mapping) else config
    try:
        array = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError):
        raise UnsupportedLayerError(f"its {name} is {value!r}, not numbers") from None
    if array.size == 0 or array.size != array.shape[-1:][0] if array.ndim else False:
        raise UnsupportedLayerError(f"its {name} varies along more than the last axis")
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise UnsupportedLayerError(f"its {name} holds values that are not positive numbers")
    return tuple(float(v) for v in array.reshape(-1))


def _auto(fields: Fields) -> AutoScale:
    axes, group = fields.get("scale_axis"), fields.get("elements_per_scale")
    found_axes = None if axes is None else _whole_numbers(axes, "scale_axis")
    found_group = None if group is None else _whole_numbers(group, "elements_per_scale")
    if found_group is not None:
        if found_axes is None:
            raise UnsupportedLayerError("it has elements_per_scale without scale_axis")
        found_group = found_group * len(found_axes) if len(found_group) == 1 else found_group
        if len(found_group) != len(found_axes) or min(found_group) < 1:
            raise UnsupportedLayerError(
                f"its elements_per_scale {group!r} does not fit its scale_axis"
            )
    return AutoScale(
        found_axes,
        found_group,
        fields.optional("min_po2_exponent"),
        fields.optional("max_po2_exponent"),
    )


def _whole_numbers(value: Any, name: str) -> tuple[int, ...]:
    listed = value if isinstance(value, (list, tuple)) else [value]
    return tuple(Fields({name: v}).integer(name) for v in listed)


def _power_of_two(name: str, bits: int, fields: Fields) -> PowerOfTwo:
    limit = fields.optional("max_value")
    if bits > 8 or (limit is not None and limit <= 0):
        raise UnsupportedLayerError(
            f"{name} with {bits} bits and max_value {limit} has no use on integers"
        )
    relu = name == "quantized_relu_po2"
    if not relu and bits - 1 - int(limit is None or limit > 1) < 0:
        raise UnsupportedLayerError(f"{name} needs more than {bits} bits")
    return PowerOfTwo(
        bits,
        limit,
        relu,
        fields.number("negative_slope", 0.0) if relu else 0.0,
        fields.flag("quadratic_approximation", False),
        fields.one_of("log2_rounding", "rnd", "rnd", "floor") == "floor",
    )


def _relu(bits: int, fields: Fields) -> QuantizedRelu:
    slope = fields.number("negative_slope", 0.0)
    if slope < 0 or (slope and np.log2(slope) % 1):
        raise UnsupportedLayerError(f"its negative_slope is {slope}, not a power of two")
    bound = None
    if not fields.flag("is_quantized_clip", True):
        bound = fields.optional("relu_upper_bound")
    return QuantizedRelu(
        bits, _integer_bits(fields), slope, bound or None, fields.flag("use_sigmoid", False)
    )
