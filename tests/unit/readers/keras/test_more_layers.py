# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that become other nodes: the Graph computes what Keras does, of either version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support.keras_models import compare, compare_integers, model_of

keras = pytest.importorskip("keras")
VERSIONS = ("keras", "tf_keras")
IMAGE, SERIES, VECTOR = (5, 4, 3), (7, 3), (6,)


def read(version: str, shape: tuple[int, ...], make: Callable[[Any], Any], path: Path) -> Any:
    """The model of one layer of a version of Keras, read and compared."""
    library = pytest.importorskip(version)
    layer = make(library.layers)
    return compare(model_of(library, shape, layer), path)


def transposed() -> Iterator[dict[str, Any]]:
    """Options of transposed convolutions that Keras takes."""
    for window, strides, padding in product((1, 2, 3, 4), (1, 2, 3), ("valid", "same")):
        yield {"kernel_size": window, "strides": strides, "padding": padding}
        if strides > 1:
            extra = 0 if padding == "valid" else 1
            yield {"kernel_size": window + 1, "strides": strides, "padding": padding,
                   "output_padding": extra}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_transposed_convolutions_of_series(version: str, tmp_path: Path) -> None:
    for number, options in enumerate(transposed()):
        if (
            options["padding"] == "same"
            and options.get("output_padding")
            and (options["kernel_size"] % 2 + 1 > options["strides"])
        ):
            continue  # Keras itself refuses these
        read(version, SERIES, lambda L, o=options: L.Conv1DTranspose(2, **o),
             tmp_path / f"{number}.keras")  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (2, 4), "strides": (1, 3), "padding": "same", "activation": "relu"},
        {"kernel_size": (3, 1), "strides": (2, 3)},
        {"kernel_size": 3, "strides": 2, "padding": "same", "output_padding": (1, 0)},
        {"kernel_size": 2, "strides": 2, "use_bias": False},
        {"kernel_size": 4, "strides": 2, "padding": "same"},
    ],
    ids=str,
)
def test_transposed_convolutions_of_images(
    options: dict[str, Any], version: str, tmp_path: Path
) -> None:
    loaded = read(version, IMAGE, lambda L: L.Conv2DTranspose(2, **options), tmp_path / "m.keras")
    compare_integers(loaded)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_dilated_transposed_convolutions(padding: str, tmp_path: Path) -> None:
    """Which TensorFlow computes without a graphics card in Keras 2 only."""
    for window in (2, 3):
        read("tf_keras", IMAGE,
             lambda L, w=window: L.Conv2DTranspose(2, w, dilation_rate=2, padding=padding),
             tmp_path / f"{window}.keras")  # fmt: skip


LAYERS: list[tuple[str, tuple[int, ...], Callable[[Any], Any]]] = [
    ("smooth up 2", IMAGE, lambda L: L.UpSampling2D(2, interpolation="bilinear")),
    ("smooth up 3x4", IMAGE, lambda L: L.UpSampling2D((3, 4), interpolation="bilinear")),
    ("smooth up 1x5", IMAGE, lambda L: L.UpSampling2D((1, 5), interpolation="bilinear")),
    ("smooth up of a row", (1, 4, 2), lambda L: L.UpSampling2D(2, interpolation="bilinear")),
    ("resized", IMAGE, lambda L: L.Resizing(10, 12)),
    ("resized nearest", IMAGE, lambda L: L.Resizing(15, 8, interpolation="nearest")),
    ("cropped", IMAGE, lambda L: L.CenterCrop(2, 3)),
    ("normalized", IMAGE, lambda L: L.Normalization()),
    ("normalized by given", (6,), lambda L: L.Normalization(mean=[1, 2, 3, 4, 5, 6.0],
                                                           variance=[1, 2, 3, 4, 5, 0.0])),
    ("normalized by numbers", SERIES, lambda L: L.Normalization(mean=2.0, variance=3.0)),
    ("normalized together", IMAGE, lambda L: L.Normalization(axis=None, mean=2.0, variance=3.0)),
    ("normalized along two", IMAGE, lambda L: L.Normalization(axis=(1, -1))),
    ("normalized along rows", SERIES, lambda L: L.Normalization(axis=1)),
    ("relu above 0.3", SERIES, lambda L: L.ReLU(threshold=0.3)),
    ("relu from 0.3 to 0.8", SERIES, lambda L: L.ReLU(threshold=0.3, max_value=0.8)),
    ("relu with all", SERIES, lambda L: L.ReLU(0.8, negative_slope=0.25, threshold=0.3)),
    *((f"training only {kind} {options}", IMAGE,
       lambda L, kind=kind, options=options: getattr(L, kind)(*options)) for kind, options in [
        ("RandomFlip", ()), ("RandomRotation", (0.5,)), ("RandomZoom", (0.5,)),
        ("RandomTranslation", (0.5, 0.5)), ("RandomContrast", (0.5,)),
    ]),
    ("masked", SERIES, lambda L: L.Masking()),
    ("dense at each step", SERIES, lambda L: L.TimeDistributed(L.Dense(2, activation="relu"))),
    ("conv at each step", (2, *IMAGE), lambda L: L.TimeDistributed(L.Conv2D(2, 3))),
    ("norm at each step", (2, *IMAGE), lambda L: L.TimeDistributed(L.BatchNormalization())),
    ("flat at each step", (2, *IMAGE), lambda L: L.TimeDistributed(L.Flatten())),
    ("pool at each step", (3, *SERIES), lambda L: L.TimeDistributed(L.GlobalMaxPooling1D())),
    ("one step", (1, *SERIES), lambda L: L.TimeDistributed(L.Conv1D(2, 2))),
]  # fmt: skip


@pytest.mark.parametrize("end", ["keras", "h5"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in LAYERS], ids=[c[0] for c in LAYERS])
def test_layer(
    shape: tuple[int, ...], make: Callable[[Any], Any], version: str, end: str, tmp_path: Path
) -> None:
    loaded = read(version, shape, make, tmp_path / f"m.{end}")
    if (version, end) == ("keras", "keras"):
        compare_integers(loaded)


LAYERS3: list[tuple[str, tuple[int, ...], Callable[[Any], Any]]] = [
    ("resized by parts", IMAGE, lambda L: L.Resizing(7, 3)),
    ("resized nearest by parts", IMAGE, lambda L: L.Resizing(3, 7, interpolation="nearest")),
    ("norm of an inner axis", IMAGE, lambda L: L.BatchNormalization(axis=2, scale=False)),
    ("layer norm of rows", SERIES, lambda L: L.LayerNormalization(axis=1, epsilon=0.01)),
    ("layer norm of outer axes", IMAGE, lambda L: L.LayerNormalization(axis=(1, 3), epsilon=0.1)),
    ("unit norm of rows", SERIES, lambda L: L.UnitNormalization(axis=1)),
    ("spectral norm", IMAGE, lambda L: L.SpectralNormalization(L.Conv2D(2, 3))),
    ("spectral norm at each step", (2, 6),
     lambda L: L.TimeDistributed(L.SpectralNormalization(L.Dense(2)))),
    ("softmax of rows and columns", IMAGE, lambda L: L.Softmax(axis=[1, 2])),
    *((f"activation {name}", SERIES, lambda L, name=name: L.Activation(name))
      for name in ("celu", "mish", "log_softmax", "sparse_plus", "squareplus")),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "make"), [c[1:] for c in LAYERS3], ids=[c[0] for c in LAYERS3])
def test_layer_of_keras_3(
    shape: tuple[int, ...], make: Callable[[Any], Any], tmp_path: Path
) -> None:
    compare_integers(read("keras", shape, make, tmp_path / "m.keras"))


@pytest.mark.parametrize("end", ["keras", "h5"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_at_each_step(version: str, end: str, tmp_path: Path) -> None:
    library = pytest.importorskip(version)
    L = library.layers
    inner = library.Sequential(
        [L.Input(IMAGE), L.Conv2D(2, 3), L.BatchNormalization(), L.Flatten()]
    )
    model = model_of(library, (3, *IMAGE), lambda x: L.Dense(2)(L.TimeDistributed(inner)(x)))
    graph = compare(model, tmp_path / f"m.{end}").graph
    keys = [key for key, _ in graph.weights() if "conv" in key]
    assert len(keys) == 2  # shared by all steps


def test_a_relu_with_a_threshold_of_keras_2(tmp_path: Path) -> None:
    read("tf_keras", SERIES, lambda L: L.ThresholdedReLU(0.4), tmp_path / "m.keras")


@pytest.mark.parametrize("kind", ["RandomShear", "RandomErasing", "RandomBrightness"])
def test_augmentations_of_keras_3(kind: str, tmp_path: Path) -> None:
    read("keras", IMAGE, lambda L: getattr(L, kind)(0.5), tmp_path / "m.keras")


EQUATIONS = [
    ("ab,bc->ac", VECTOR, (4,), "c"),
    ("abc,cd->abd", SERIES, (None, 4), "d"),
    ("abc,bd->adc", SERIES, (4, 3), None),
    ("abc,bcd->ad", SERIES, (4,), "d"),
    ("abc,cde->abde", SERIES, (None, 4, 2), "de"),
    ("abc,cde->abed", SERIES, (None, 2, 4), "d"),
    ("abc,cde->abed", SERIES, (None, 2, 4), "e"),
    ("...x,xy->...y", SERIES, 4, "y"),
    ("abcd,cde->abe", IMAGE, (None, 4), "e"),
]


@pytest.mark.parametrize(("text", "shape", "output", "bias"), EQUATIONS, ids=str)
def test_einsum_dense(
    text: str, shape: tuple[int, ...], output: Any, bias: str | None, tmp_path: Path
) -> None:
    def make(layers: Any) -> Any:
        return layers.EinsumDense(text, output_shape=output, bias_axes=bias, activation="relu")

    read("keras", shape, make, tmp_path / "m.keras")


REFUSED: list[tuple[str, tuple[int, ...], Callable[[Any], Any], str]] = [
    ("masks of another value", SERIES, lambda L: L.Masking(9.0), "a mask_value of 0 changes"),
    ("cubic", IMAGE, lambda L: L.UpSampling2D(2, interpolation="bicubic"), "bicubic"),
    ("einsum by rows", SERIES, lambda L: L.EinsumDense("abc,bcd->abd", output_shape=(7, 2)),
     "no dense layer"),
    ("bias of rows", SERIES, lambda L: L.EinsumDense("abc,cd->abd", output_shape=(7, 2),
                                                     bias_axes="bd"), "bias_axes"),
    ("bias of two answers", SERIES, lambda L: L.EinsumDense("abc,cde->abed", (None, 4, 4),
                                                            bias_axes="e"), "put the constant"),
    ("pictures as states", (2, 3, 4, 2), lambda L: L.TimeDistributed(L.ConvLSTM1D(2, 2)),
     "its states are pictures"),
    ("spectral norm of a table", VECTOR,
     lambda L: L.SpectralNormalization(L.Embedding(5, 2)), "to the type of the index"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "make", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_is_refused(
    shape: tuple[int, ...], make: Callable[[Any], Any], reason: str, tmp_path: Path
) -> None:
    model_of(keras, shape, make(keras.layers)).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match=reason):
        load(tmp_path / "m.keras")


@pytest.mark.parametrize("end", ["softmax", "average"])
def test_a_mask_that_is_read_is_refused(end: str, tmp_path: Path) -> None:
    layers = keras.layers
    last = layers.Softmax() if end == "softmax" else layers.GlobalAveragePooling1D()
    model = model_of(keras, SERIES, lambda x: last(layers.Dense(3)(layers.Masking()(x))))
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match="remove the Masking layer"):
        load(tmp_path / "m.keras")


def test_a_scaled_sum(tmp_path: Path) -> None:
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    model = model_of(keras, SERIES, lambda x: CustomScaleLayer(0.17)([x, keras.ops.tanh(x)]))
    compare(model, tmp_path / "m.keras")


def test_zeros_between_are_where_they_belong(tmp_path: Path) -> None:
    layer = keras.layers.Conv1DTranspose(1, 1, strides=3, use_bias=False)
    model = model_of(keras, (3, 1), layer)
    model.layers[-1].kernel.assign(np.ones((1, 1, 1)))
    compare(model, tmp_path / "m.keras")
    np.testing.assert_array_equal(
        np.asarray(model(np.array([[[1.0], [2], [3]]]))).reshape(-1)[:7], [1, 0, 0, 2, 0, 0, 3]
    )
