# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What QKeras makes of a weight tensor: integer codes, the step between them, and a scale.

Everything is computed in float32, operation by operation, because that is how QKeras decides to
which code a value goes. The codes are then exact integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.quantizers import (
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

F32 = NDArray[np.float32]
_EPSILON = np.float32(1e-7)  # keras.backend.epsilon()
_LN2 = np.float32(np.log(2.0))


@dataclass(frozen=True, slots=True)
class CodedWeights:
    """codes x step x scale; the step is a power of two, the scale broadcasts against the codes."""

    codes: NDArray[np.float64]  # whole numbers
    step: float
    scale: NDArray[np.float64]  # float32 values
    low: int  # what the codes may be
    high: int

    @property
    def values(self) -> NDArray[np.float64]:
        """The weights, exactly."""
        return self.codes * self.step * self.scale


def code_weights(spec: Spec, weights: F32) -> CodedWeights:
    """A weight tensor's codes under a quantizer."""
    x = weights.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        match spec:
            case QuantizedBits():
                coded = _bits_auto(spec, x) if isinstance(spec.alpha, str) else _bits(spec, x)
            case QuantizedLinear():
                coded = _linear(spec, x)
            case Binary():
                coded = _binary(spec, x)
            case Ternary():
                coded = _ternary(spec, x)
            case PowerOfTwo():
                coded = _power_of_two(spec, x)
            case QuantizedRelu() if not spec.negative_slope and not spec.use_sigmoid:
                coded = _relu(spec, x)
            case QuantizedRelu() | QuantizedTanh() | QuantizedSigmoid() | QuantizedHardSwish():
                raise UnsupportedLayerError("an activation's quantizer is used on its weights")
            case _:
                assert_never(spec)
    if not np.isfinite(coded.values).all():
        raise UnsupportedLayerError("its quantizer finds no finite scale for its weights")
    return coded


def straight_through(spec: Spec, weights: F32, quantized: NDArray[np.float64]) -> F32:
    """What QKeras multiplies with: x + (q - x), rounded twice to float32."""
    x, q = weights.astype(np.float32), quantized.astype(np.float32)
    if isinstance(spec, PowerOfTwo) and spec.relu:
        x = np.clip(x, np.float32(0), spec.max_value)
    result: F32 = x + (q - x)
    return result


def _scale_codes(
    codes: NDArray[np.floating], step: float, scale: NDArray[np.floating], low: float, high: float
) -> CodedWeights:
    """Codes with their scale; where QKeras finds no scale (all weights are 0), all codes are 0."""
    wide = np.asarray(scale, dtype=np.float64)
    dead = ~(np.isfinite(wide) & (wide > 0))
    kept = np.where(dead, 0.0, codes)
    return CodedWeights(kept, step, np.where(dead, 1.0, wide), int(low), int(high))


def _scalar_alpha(alpha: object) -> NDArray[np.float64]:
    number = 1.0 if alpha is None or isinstance(alpha, str) else alpha
    return np.asarray(number, dtype=np.float32).astype(np.float64)


def _bits(spec: QuantizedBits, x: F32) -> CodedWeights:
    scale = _scalar_alpha(spec.alpha)
    unsigned = spec.bits - int(spec.keep_negative)
    if unsigned == 0:
        return _scale_codes(np.where(x < 0, -1.0, 1.0), 1.0, scale, -1, 1)
    m, m_i = np.float32(2.0**unsigned), np.float32(2.0**spec.integer)
    low = -(2.0**unsigned) + int(spec.symmetric) if spec.keep_negative else 0.0
    high = 2.0**unsigned - 1
    codes = np.clip(np.rint(x * m / m_i).astype(np.float64), low, high)
    return _scale_codes(codes, 2.0 ** (spec.integer - unsigned), scale, low, high)


def _bits_auto(spec: QuantizedBits, x: F32) -> CodedWeights:
    unsigned = spec.bits - int(spec.keep_negative)
    m_i = np.float32(2.0**spec.integer)
    half = 2 ** (spec.bits - 1) - 1
    if half < 1:
        raise UnsupportedLayerError(
            "quantized_bits with one bit has no automatic scale; use binary"
        )
    x = x / m_i
    if spec.frozen_scale is not None:
        scale = np.asarray(spec.frozen_scale, np.float32) / np.float32(2.0**unsigned)
    else:
        axes = _reduced_axes(spec.auto, x.ndim) if x.ndim > 1 else (0,)
        scale = np.max(np.abs(x), axis=axes, keepdims=True) * np.float32(2) / np.float32(2 * half)
        if spec.alpha == "auto_po2":
            scale = _nearest_po2(scale)
            for _ in range(5):
                scale = _least_squares(x, _signed_codes(x, scale, half), spec.auto, po2=True)
    codes = _signed_codes(x, scale, half)
    alpha = scale * np.float32(2.0**unsigned)
    return _scale_codes(codes, 2.0 ** (spec.integer - unsigned), alpha, -half, half)


def _signed_codes(x: F32, scale: F32, half: int) -> F32:
    """Round half away from zero, at most `half` steps."""
    steps = np.floor(np.abs(x) / scale + np.float32(0.5))
    result: F32 = np.sign(x) * np.where(steps < half, steps, np.float32(half))
    return result


def _linear(spec: QuantizedLinear, x: F32) -> CodedWeights:
    unsigned = spec.bits - int(spec.keep_negative)
    step = 2.0 ** (spec.integer - unsigned)
    binary = unsigned == 0
    high = 0.5 if binary else 2.0**unsigned - 1
    low = -0.5 if binary else (-(2.0**unsigned) + spec.symmetric) * spec.keep_negative
    scale = _scalar_alpha(spec.alpha).astype(np.float32) * np.float32(step)
    if isinstance(spec.alpha, str):
        axes = _reduced_axes(spec.auto, x.ndim)
        reach = np.max(np.abs(x) if spec.keep_negative else x, axis=axes, keepdims=True)
        reach = reach * np.float32(2) if spec.keep_negative else reach
        scale = np.maximum(reach / np.float32(high - low), _EPSILON)
        if spec.alpha == "auto_po2":
            scale = _nearest_po2(scale)
            for _ in range(1 if binary else 5):
                previous = scale
                scale = _least_squares(x, _linear_codes(x, scale, low, high), spec.auto, po2=True)
                if np.array_equal(previous, scale):
                    break
    codes = _linear_codes(x, scale, low, high)
    alpha = scale.astype(np.float64) / step
    if binary:
        return _scale_codes(codes * 2, step / 2, alpha, -1, 1)
    return _scale_codes(codes, step, alpha, low, high)


def _linear_codes(x: F32, scale: F32, low: float, high: float) -> F32:
    shift = np.float32(0.5 if high == 0.5 else 0.0)
    clipped: F32 = np.clip(x / scale, np.float32(low), np.float32(high))
    result: F32 = np.rint(clipped - shift) + shift
    return result


def _binary(spec: Binary, x: F32) -> CodedWeights:
    signs: F32 = np.where(x < 0, np.float32(-1), np.float32(1))
    codes: F32 = (signs + np.float32(1)) / np.float32(2) if spec.zero_one else signs
    low = 0 if spec.zero_one else -1
    if not isinstance(spec.alpha, str):
        return _scale_codes(codes, 1.0, _scalar_alpha(spec.alpha), low, 1)
    scale = _least_squares(x, codes, spec.auto, po2=spec.alpha == "auto_po2")
    return _scale_codes(codes, 1.0, scale, low, 1)


def _ternary(spec: Ternary, x: F32) -> CodedWeights:
    if not isinstance(spec.alpha, str):
        threshold = np.float32(0.33 if spec.threshold is None else spec.threshold)
        codes: F32 = np.where(np.abs(x) >= threshold, np.sign(x), np.float32(0))
        return _scale_codes(codes, 1.0, _scalar_alpha(spec.alpha), -1, 1)
    if spec.threshold is not None:
        raise UnsupportedLayerError("ternary takes a threshold or an automatic scale, not both")
    po2 = spec.alpha == "auto_po2"
    axes = None if x.ndim == 1 else tuple(range(x.ndim - 1))
    scale: F32 = np.float32(2) * np.max(np.abs(x), axis=axes, keepdims=True) / np.float32(3)
    scale = _nearest_po2(scale) if po2 else scale
    codes = np.zeros_like(x)
    for _ in range(spec.rounds):
        half = scale / np.float32(2)
        rounded = scale * np.rint(x / scale)
        codes = np.where(np.abs(rounded) >= half, np.sign(x), np.float32(0))
        scale = _least_squares(x, codes, AutoScale(), po2=po2)
    return _scale_codes(codes, 1.0, scale, -1, 1)


def _relu(spec: QuantizedRelu, x: F32) -> CodedWeights:
    step = 2.0 ** (spec.integer - spec.bits)
    top = 2**spec.bits - 1
    if spec.upper_bound is not None:
        bound = spec.upper_bound / step
        if bound < top and bound % 1:
            raise UnsupportedLayerError("its quantized_relu is cut off between two of its steps")
        top = int(min(top, bound))
    codes = np.clip(np.rint(x / np.float32(step)).astype(np.float64), 0, top)
    return _scale_codes(codes, step, np.asarray(1.0), 0, top)


def _power_of_two(spec: PowerOfTwo, x: F32) -> CodedWeights:
    low, high = spec.exponents
    if spec.relu and spec.negative_slope:
        raise UnsupportedLayerError(
            "quantized_relu_po2 with a negative_slope is used on its weights"
        )
    magnitude = np.where(x < 0, x * np.float32(0.2), x) if spec.relu else np.abs(x)
    clear = np.where(magnitude < _EPSILON, _EPSILON, magnitude)
    if spec.max_value is not None:
        clear = np.minimum(clear, np.float32(spec.max_value))
    logs = np.log(np.sqrt(clear) if spec.quadratic else clear) / _LN2
    exponents = np.clip(np.floor(logs) if spec.floor else np.rint(logs), low, high)
    exponents = np.where(magnitude < _EPSILON, low, exponents * (2 if spec.quadratic else 1))
    signs = np.ones(x.shape) if spec.relu else np.where(x < 0, -1.0, 1.0)
    base = float(exponents.min())
    codes: NDArray[np.float64] = signs * np.exp2(exponents.astype(np.float64) - base)
    limit = 2 ** int(exponents.max(initial=base) - base)
    return CodedWeights(codes, 2.0**base, np.asarray(1.0), 0 if spec.relu else -limit, limit)


def _reduced_axes(auto: AutoScale, rank: int) -> tuple[int, ...]:
    """The axes over which one scale is found."""
    if auto.axes is None:
        return tuple(range(max(rank - 1, 0)))
    kept = {axis % rank for axis in auto.axes} if rank else set()
    return tuple(axis for axis in range(rank) if axis not in kept)


def _least_squares(x: F32, codes: F32, auto: AutoScale, *, po2: bool) -> F32:
    """The scale with which the codes come nearest to the values."""
    codes = codes.astype(np.float32)
    if x.ndim <= 1:
        products, squares = x * codes, codes * codes
    elif auto.group is None:
        axes = _reduced_axes(auto, x.ndim)
        products = np.mean(x * codes, axis=axes, keepdims=True)
        squares = np.mean(codes * codes, axis=axes, keepdims=True)
    else:
        products, squares = _group_mean(x * codes, auto), _group_mean(codes * codes, auto)
    scale = products / (squares + _EPSILON)
    if not po2:
        return scale
    scale = _nearest_po2(scale)
    low = None if auto.lowest_exponent is None else np.float32(2.0**auto.lowest_exponent)
    high = None if auto.highest_exponent is None else np.float32(2.0**auto.highest_exponent)
    return scale if low is None and high is None else np.clip(scale, low, high)


def _group_mean(x: F32, auto: AutoScale) -> F32:
    """Means over blocks of `group` elements along the scaled axes, and over all other axes."""
    assert auto.axes is not None and auto.group is not None
    sizes = {axis % x.ndim: group for axis, group in zip(auto.axes, auto.group, strict=True)}
    if any(x.shape[axis] % group for axis, group in sizes.items()):
        raise UnsupportedLayerError("its elements_per_scale does not divide its weights")
    split: list[int] = []
    reduced: list[int] = []
    for axis, size in enumerate(x.shape):
        if axis in sizes:
            split += [size // sizes[axis], sizes[axis]]
        else:
            split += [size]
        reduced.append(len(split) - 1)
    mean = np.mean(x.reshape(split), axis=tuple(reduced), keepdims=True)
    shape = [size // sizes[axis] if axis in sizes else 1 for axis, size in enumerate(x.shape)]
    means: F32 = np.reshape(mean, shape)
    for axis, group in sizes.items():
        means = np.repeat(means, group, axis=axis)
    return means


def _nearest_po2(scale: F32) -> F32:
    exponents = np.rint(np.log(scale + _EPSILON) / _LN2)
    result: F32 = np.exp2(exponents).astype(np.float32)
    return result
