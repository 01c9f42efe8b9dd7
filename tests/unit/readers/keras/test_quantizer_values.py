# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Weight quantizers against QKeras itself, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeinfer.readers.keras.formats import format_weight, is_identity
from edgeinfer.readers.keras.quantizer_config import quantizer
from edgeinfer.readers.keras.quantizer_values import code_weights, straight_through

qkeras = pytest.importorskip("qkeras")
keras = pytest.importorskip("keras")

FIXED_SCALES = [
    "quantized_bits(4,0,1,alpha=1)",
    "quantized_bits(4,0,0,alpha=1)",
    "quantized_bits(8,2,1,alpha=1)",
    "quantized_bits(6,-1,0,alpha=1)",
    "quantized_bits(1,0,alpha=1)",
    "quantized_bits(2,1,0,keep_negative=False,alpha=1)",
    "quantized_bits(5,1,0,alpha=0.5)",
    "quantized_bits(5,1,1,alpha=0.3)",
    "quantized_bits(16,6,alpha=1)",
    "quantized_linear(4,0,1,alpha=1.0)",
    "quantized_linear(4,1,0,alpha=0.7)",
    "quantized_linear(1,1,alpha=1.0)",
    "quantized_linear(3,1,0,keep_negative=False,alpha=1.0)",
    "binary(alpha=1)",
    "binary(use_01=True,alpha=1)",
    "binary(alpha=0.4)",
    "ternary(alpha=1)",
    "ternary(alpha=1,threshold=0.5)",
    "ternary(alpha=0.7,threshold=0.1)",
    "quantized_po2(4)",
    "quantized_po2(4,max_value=2)",
    "quantized_po2(3,max_value=1)",
    "quantized_po2(5,quadratic_approximation=True)",
    "quantized_po2(5,log2_rounding='floor')",
    "quantized_relu_po2(4)",
    "quantized_relu_po2(6,2048)",
    "quantized_relu_po2(6,quadratic_approximation=True)",
    "quantized_relu(4,1)",
]
AUTO_SCALES = [
    "quantized_bits(4,0,1,alpha='auto')",
    "quantized_bits(4,0,1,alpha='auto_po2')",
    "quantized_bits(6,2,1,alpha='auto')",
    "quantized_bits(8,1,1,alpha='auto_po2')",
    "quantized_bits(4,0,1,alpha='auto',keep_negative=False)",
    "quantized_linear(4,0,1,alpha='auto')",
    "quantized_linear(4,0,0,alpha='auto_po2')",
    "quantized_linear(1,0,alpha='auto_po2')",
    "quantized_linear(1,0,alpha='auto')",
    "binary(alpha='auto')",
    "binary(alpha='auto_po2')",
    "binary(use_01=True,alpha='auto')",
    "ternary(alpha='auto')",
    "ternary(alpha='auto_po2')",
    "ternary(alpha='auto',number_of_unrolls=2)",
]
SHAPES = [(5, 7), (3, 3, 2, 4), (3, 3, 4, 1), (6,)]


def _weights(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    result = rng.normal(0.0, 0.6, shape).astype(np.float32)
    result.reshape(-1)[:3] = (0.0, 0.125, -1e-8)
    return result


def _truth(text: str, weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return keras.ops.convert_to_numpy(qkeras.get_quantizer(text)(weights))


@pytest.mark.parametrize("text", FIXED_SCALES)
def test_fixed_scale_is_bitwise_what_qkeras_computes(text: str) -> None:
    for seed, shape in enumerate(SHAPES):
        weights = _weights(shape, seed)
        spec = quantizer(text)
        ours = straight_through(spec, weights, code_weights(spec, weights).values)
        np.testing.assert_array_equal(ours, _truth(text, weights), err_msg=f"{shape}")


@pytest.mark.parametrize("text", AUTO_SCALES)
def test_automatic_scale_agrees_within_float32(text: str) -> None:
    for seed, shape in enumerate(SHAPES):
        weights = _weights(shape, seed)
        truth = _truth(text, weights)
        result = code_weights(quantizer(text), weights)
        scale = np.abs(result.scale * result.step).max()
        np.testing.assert_allclose(result.values, truth, rtol=3e-6, atol=1e-6 * scale)


@pytest.mark.parametrize(
    "text",
    [
        "quantized_bits(4,0,1,alpha='auto',scale_axis=0)",
        "binary(alpha='auto',scale_axis=0)",
        "binary(alpha='auto_po2',scale_axis=3,elements_per_scale=2)",
    ],
)
def test_scale_along_other_axes(text: str) -> None:
    weights = _weights((3, 3, 2, 4), 5)
    result = code_weights(quantizer(text), weights)
    np.testing.assert_allclose(result.values, _truth(text, weights), rtol=3e-6, atol=1e-7)


def test_po2_exponent_limits() -> None:
    weights = _weights((3, 3, 2, 4), 6)
    spec = {
        "class_name": "quantized_bits",
        "config": {"bits": 4, "alpha": "auto_po2", "min_po2_exponent": -3, "max_po2_exponent": -2},
    }
    qk = qkeras.quantized_bits(4, alpha="auto_po2", min_po2_exponent=-3, max_po2_exponent=-2)
    truth = keras.ops.convert_to_numpy(qk(weights))
    np.testing.assert_allclose(code_weights(quantizer(spec), weights).values, truth, atol=1e-7)


def test_post_training_scale_is_kept() -> None:
    weights = _weights((5, 7), 7)
    scale = np.linspace(0.2, 0.9, 7).astype(np.float32).reshape(1, 7)
    qk = qkeras.quantized_bits(4, 0, 1, alpha="auto", post_training_scale=scale)
    truth = keras.ops.convert_to_numpy(qk(weights))
    result = code_weights(
        quantizer({"class_name": "quantized_bits", "config": qk.get_config()}), weights
    )
    np.testing.assert_allclose(result.values, truth, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("text", FIXED_SCALES + AUTO_SCALES)
def test_recipe_entry_is_the_identity_on_its_weights(text: str) -> None:
    weights = _weights((3, 3, 2, 4), 11)
    result = format_weight(code_weights(quantizer(text), weights), weights.shape)
    if result.format is not None:
        assert is_identity(result.format, result.values)
    scale = 1.0 if result.scale is None else result.scale
    np.testing.assert_array_equal(
        result.values * scale, code_weights(quantizer(text), weights).values.reshape(weights.shape)
    )


@settings(max_examples=60)
@given(
    arrays(np.float32, (4, 3), elements=st.floats(-4, 4, width=32)),
    st.integers(2, 12),
    st.integers(-2, 4),
    st.booleans(),
    st.booleans(),
)
def test_quantized_bits_everywhere(
    weights: np.ndarray[Any, Any], bits: int, integer: int, symmetric: bool, negative: bool
) -> None:
    qk = qkeras.quantized_bits(bits, integer, symmetric, keep_negative=negative, alpha=1)
    truth = keras.ops.convert_to_numpy(qk(weights))
    spec = quantizer({"class_name": "quantized_bits", "config": qk.get_config()})
    result = code_weights(spec, weights)
    np.testing.assert_array_equal(straight_through(spec, weights, result.values), truth)
    entry = format_weight(result, weights.shape)
    assert entry.format is not None
    assert entry.format.bits <= bits
    assert is_identity(entry.format, entry.values)


def test_kernels_without_alpha_get_one_as_in_qkeras_layers() -> None:
    layer = qkeras.QDense(7, kernel_quantizer="quantized_bits(4,0)", use_bias=False)
    layer.build((None, 5))
    weights = _weights((5, 7), 3)
    layer.set_weights([weights])
    truth = keras.ops.convert_to_numpy(layer.kernel_quantizer_internal(layer.kernel))
    result = code_weights(quantizer("quantized_bits(4,0)", of_kernel=True), weights)
    np.testing.assert_allclose(result.values, truth, atol=1e-7)
    assert (np.frexp(result.scale)[0] == 0.5).all()  # powers of two
