# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QKeras models: Graph and Recipe together compute what QKeras does, on the integer grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.graph.nodes import AffineNode
from edgeinfer.readers import LoadedModel, load
from quantization.fixed import Overflow, Quantizer
from tests.support.float_graph import outputs

keras = pytest.importorskip("keras")
qkeras = pytest.importorskip("qkeras")
L = keras.layers

FLOAT32 = 2e-6  # what is left where QKeras multiplies by a scale in float32


def shaken(model: Any, seed: int = 0) -> Any:
    """The model with random weights, variances positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.name or "iteration" in variable.name:
            continue
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(values**2 + 0.3 if "variance" in variable.name else values)
    return model


def compared(model: Any, path: Path, atol: float = 0.0) -> LoadedModel:
    """Save, read, and compare on inputs that lie on a grid of 1/16."""
    model.save(path)
    rng = np.random.default_rng(1)
    xs = [(np.rint(rng.normal(0, 16, (40, *x.shape[1:]))) / 16) for x in model.inputs]
    truth = model.predict([x.astype(np.float32) for x in xs], verbose=0)
    loaded = load(path)
    result = outputs(loaded.graph, xs, loaded.recipe)
    for ours, theirs in zip(result, truth if isinstance(truth, list) else [truth], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)
    return loaded


IMAGE, SERIES, VECTOR = (7, 8, 3), (10, 3), (6,)
BITS = "quantized_bits(4,0,1,alpha=1)"
BIAS = "quantized_bits(6,2,alpha=1)"

EXACT: list[tuple[str, tuple[int, ...], Callable[[], Any]]] = [
    ("dense", VECTOR, lambda: qkeras.QDense(4, kernel_quantizer=BITS, bias_quantizer=BIAS)),
    (
        "dense auto_po2",
        VECTOR,
        lambda: qkeras.QDense(
            4,
            kernel_quantizer="quantized_bits(4,0,alpha='auto_po2')",
            bias_quantizer=BIAS,
            activation="quantized_relu(4,1)",
        ),
    ),
    (
        "dense ternary",
        VECTOR,
        lambda: qkeras.QDense(4, kernel_quantizer="ternary()", bias_quantizer=BIAS),
    ),
    (
        "dense binary",
        VECTOR,
        lambda: qkeras.QDense(4, kernel_quantizer="binary(alpha=1)", use_bias=False),
    ),
    (
        "dense po2",
        VECTOR,
        lambda: qkeras.QDense(4, kernel_quantizer="quantized_po2(4,1)", bias_quantizer=BIAS),
    ),
    (
        "conv1d",
        SERIES,
        lambda: qkeras.QConv1D(4, 3, padding="same", kernel_quantizer=BITS, bias_quantizer=BIAS),
    ),
    (
        "conv2d",
        IMAGE,
        lambda: qkeras.QConv2D(
            4, 3, strides=2, padding="same", kernel_quantizer=BITS, bias_quantizer=BIAS
        ),
    ),
    (
        "conv2d masked",
        IMAGE,
        lambda: qkeras.QConv2D(
            4, 3, kernel_quantizer=BITS, use_bias=False, mask=np.eye(3, dtype=np.float32)
        ),
    ),
    (
        "depthwise",
        IMAGE,
        lambda: qkeras.QDepthwiseConv2D(
            (3, 3), depth_multiplier=2, depthwise_quantizer=BITS, bias_quantizer=BIAS
        ),
    ),
    (
        "separable2d",
        IMAGE,
        lambda: qkeras.QSeparableConv2D(
            4, 3, depthwise_quantizer=BITS, pointwise_quantizer=BITS, bias_quantizer=BIAS
        ),
    ),
    (
        "average",
        IMAGE,
        lambda: qkeras.QAveragePooling2D((3, 2), average_quantizer="quantized_bits(8,0,1,alpha=1)"),
    ),
    (
        "global average",
        IMAGE,
        lambda: qkeras.QGlobalAveragePooling2D(
            average_quantizer="quantized_bits(8,0,1,alpha=1)", activation="quantized_bits(8,2)"
        ),
    ),
    *(
        (f"activation {text}", IMAGE, lambda text=text: qkeras.QActivation(text))
        for text in (
            "quantized_relu(4,1)",
            "quantized_relu(3)",
            "quantized_relu(6,2,negative_slope=0.25)",
            "quantized_relu(6,1,negative_slope=1.0)",
            "quantized_bits(6,2)",
            "quantized_bits(6,2,1)",
            "quantized_bits(6,2,alpha=0.5)",
            "quantized_bits(4,1,keep_negative=False)",
            "quantized_bits(1,0)",
            "quantized_tanh(5)",
            "quantized_tanh(5,symmetric=True)",
            "quantized_tanh(6,use_real_tanh=True)",
            "quantized_sigmoid(5)",
            "quantized_sigmoid(5,symmetric=True)",
            "quantized_sigmoid(6,use_real_sigmoid=True)",
            "binary(alpha=1)",
            "binary(use_01=True,alpha=1)",
            "ternary()",
            "ternary(alpha=0.5,threshold=0.5)",
            "quantized_po2(4)",
            "quantized_relu_po2(4)",
            "quantized_relu_po2(4,4)",
            "hard_sigmoid",
            "hard_tanh",
            "smooth_sigmoid",
        )
    ),
]
NEARLY: list[tuple[str, tuple[int, ...], Callable[[], Any]]] = [
    (
        "dense auto",
        VECTOR,
        lambda: qkeras.QDense(
            4, kernel_quantizer="quantized_bits(4,0,alpha='auto')", bias_quantizer=BIAS
        ),
    ),
    (
        "conv auto, no bias",
        IMAGE,
        lambda: qkeras.QConv2D(
            4, 3, kernel_quantizer="quantized_bits(5,1,alpha='auto')", use_bias=False
        ),
    ),
    (
        "depthwise binary auto",
        IMAGE,
        lambda: qkeras.QDepthwiseConv2D(
            (3, 3), depthwise_quantizer="binary(alpha='auto')", bias_quantizer=BIAS
        ),
    ),
    (
        "separable auto",
        SERIES,
        lambda: qkeras.QSeparableConv1D(
            4,
            3,
            depthwise_quantizer="ternary(alpha='auto')",
            pointwise_quantizer="quantized_linear(4,alpha='auto')",
        ),
    ),
    ("float kernel", VECTOR, lambda: qkeras.QDense(4)),
    ("scale of inputs", VECTOR, lambda: qkeras.QDense(
        4, kernel_quantizer=qkeras.quantized_bits(4, alpha="auto_po2"), bias_quantizer="binary()"
    )),
]  # fmt: skip
FOLDED = [
    lambda **k: qkeras.QConv2DBatchnorm(4, 3, kernel_quantizer=BITS, bias_quantizer=BIAS, **k),
    lambda **k: qkeras.QDepthwiseConv2DBatchnorm(
        (3, 3), depth_multiplier=2, depthwise_quantizer=BITS, bias_quantizer=BIAS, **k
    ),
    lambda **k: qkeras.QDenseBatchnorm(4, kernel_quantizer=BITS, bias_quantizer=BIAS, **k),
]


def _model(shape: tuple[int, ...], layer: Any, seed: int = 0) -> Any:
    x = L.Input(shape)
    return shaken(keras.Model(x, layer(x)), seed)


@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in EXACT], ids=[c[0] for c in EXACT])
def test_exactly(tmp_path: Path, shape: tuple[int, ...], make: Callable[[], Any]) -> None:
    compared(_model(shape, make()), tmp_path / "m.keras")


@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in NEARLY], ids=[c[0] for c in NEARLY])
def test_within_float32(tmp_path: Path, shape: tuple[int, ...], make: Callable[[], Any]) -> None:
    compared(_model(shape, make()), tmp_path / "m.keras", FLOAT32)


@pytest.mark.parametrize("make", FOLDED)
@pytest.mark.parametrize("mode", ["ema_stats_folding", "batch_stats_folding"])
def test_folded_batch_norm(tmp_path: Path, make: Callable[..., Any], mode: str) -> None:
    for seed, suffix in enumerate(("keras", "h5")):
        layer = make(folding_mode=mode)
        compared(_model(IMAGE, layer, seed), tmp_path / f"m.{suffix}")


def test_scale_is_a_node_and_exact(tmp_path: Path) -> None:
    layer = qkeras.QConv2D(
        4, 3, kernel_quantizer="quantized_bits(4,0,alpha='auto')", bias_quantizer=BIAS, name="c"
    )
    loaded = compared(_model(IMAGE, layer), tmp_path / "m.keras", FLOAT32)
    scale = loaded.graph.node("c_scale")
    assert isinstance(scale, AffineNode)
    assert scale.layer == "c_scale"
    layer.kernel_quantizer_internal(layer.kernel)
    truth = np.asarray(layer.kernel_quantizer_internal.scale).reshape(-1)
    np.testing.assert_allclose(scale.scale, truth, rtol=3e-7)
    entry = loaded.recipe.weight("c_scale/scale")
    assert entry is not None
    assert entry.bits <= 26
    np.testing.assert_array_equal(np.ldexp(entry.raw(scale.scale), -entry.frac), scale.scale)
    assert loaded.recipe.weight("c/kernel") is not None
    assert loaded.graph.outputs == ("c_scale",)


def test_recipe_names_what_the_file_says(tmp_path: Path) -> None:
    x = L.Input((6,))
    y = qkeras.QDense(4, kernel_quantizer=BITS, bias_quantizer=BIAS, name="fc")(x)
    y = qkeras.QActivation("quantized_relu(4,1)", name="act")(y)
    model = shaken(keras.Model(x, qkeras.QActivation("quantized_bits(6,2,1)", name="out")(y)))
    recipe = compared(model, tmp_path / "m.keras").recipe
    assert recipe.activation("act") == Quantizer.parse("ufixed<4,1,RND_CONV,SAT>")
    assert recipe.activation("out") == Quantizer.parse("fixed<6,3,RND_CONV,SAT_SYM>")
    kernel, bias = recipe.weight("fc/kernel"), recipe.weight("fc/bias")
    assert kernel is not None and bias is not None
    assert str(kernel) == "fixed<4,1,RND_CONV,SAT_SYM>"
    assert bias.quantizers[0].overflow is Overflow.SAT


def test_rounding_of_float_weights_is_reported(tmp_path: Path) -> None:
    model = _model((6,), qkeras.QDense(4, kernel_quantizer=BITS, name="fc"))
    loaded = compared(model, tmp_path / "m.keras", FLOAT32)
    assert any("fc/bias has no quantizer" in finding for finding in loaded.findings)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("bernoulli()", "random"),
        ("stochastic_binary()", "random"),
        ("quantized_ulaw(4)", "not a quantizer"),
        ("quantized_bits(4,0,alpha='auto')", "alpha"),
        ("quantized_relu(4,use_sigmoid=1)", "use_sigmoid"),
        ("binary_tanh", "not known"),
    ],
)
def test_what_no_integer_network_can_do(tmp_path: Path, text: str, word: str) -> None:
    _model((6,), qkeras.QActivation(text, name="odd")).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match=word) as caught:
        load(tmp_path / "m.keras")
    assert [offence.path for offence in caught.value.offences] == ["odd"]
