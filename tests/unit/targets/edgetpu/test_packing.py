# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Parameters take the bytes that they take in compiled files; whole layers are cached in order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgeinfer.base.tflite import model as tflite
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.targets.edgetpu.predict import memory
from edgeinfer.targets.edgetpu.predict.mapping import mapping_of
from edgeinfer.targets.edgetpu.predict.memory import MIB, place_layers
from tests.support import tflite_builder as build
from tests.support.tflite_builder import O, T

SAME = {0: ("i8", 0), 1: ("i32", 1), 2: ("i32", 1)}


def parsed(data: bytes) -> TfliteModel:
    """The file as data."""
    return tflite.parse(data, "a test's file")


def conv(
    outputs: int, side: int, inputs: int, image: int, *, by_channel: bool, bias: bool
) -> bytes:
    """One convolution that keeps an image's size."""
    scales = tuple(0.01 * (i + 1) for i in range(outputs)) if by_channel else (0.01,)
    weights = np.ones((outputs, side, side, inputs))
    held = np.full(outputs, 7 if bias else 0)
    return build.tflite(
        [
            T("x", (1, image, image, inputs)),
            T("w", weights.shape, "INT8", weights, scales, (0,) * len(scales)),
            T("b", (outputs,), "INT32", held),
            T("y", (1, image, image, outputs)),
        ],
        [O("CONV_2D", ("x", "w", "b"), ("y",), 3, SAME)],
        ["x"],
        ["y"],
    )


def total(data: bytes, runtime: int = 14) -> int:
    """Bytes of all parameters."""
    model = parsed(data)
    mapped = mapping_of(model, runtime).on_chip
    return sum(memory.layer_bytes(model, mapped, runtime).values())


@pytest.mark.parametrize(("size", "expected"), [(256, 67_584), (512, 266_240), (1024, 1_056_768)])
def test_dense_layers_by_channel(size: int, expected: int) -> None:
    """Published sizes: the weights, and for each output a factor and a zero point."""
    assert total(build.dense(size, size)) == expected


@pytest.mark.parametrize(
    ("outputs", "side", "inputs", "image", "by_channel", "bias", "expected"),
    [
        (8, 3, 3, 64, False, True, 64 + 9 * 64),  # 8 channels take a row of 16
        (48, 1, 8, 65, False, True, 3 * 64 + 2 * 192),
        (72, 1, 12, 65, False, True, 2 * (256 + 3 * 256)),  # beyond 64, rows of 64
        (1001, 1, 256, 1, False, True, 16 * (256 + 64 * 256)),
        (1, 3, 1, 64, False, False, 192),  # one channel over an image: a row of 4
        (16, 8, 4, 21, True, False, 2 * 64 + 64 * 64),
        (6, 1, 256, 1, True, True, 3 * 64 + 64 * 64),
    ],
)
def test_convolutions(
    outputs: int,
    side: int,
    inputs: int,
    image: int,
    by_channel: bool,
    bias: bool,
    expected: int,
) -> None:
    """Sizes read off the parameters of compiled files, layer by layer."""
    data = conv(outputs, side, inputs, image, by_channel=by_channel, bias=bias)
    assert total(data) == expected


def test_old_runtimes_store_zero_biases_of_channels() -> None:
    data = conv(16, 8, 4, 21, by_channel=True, bias=False)
    assert total(data, 12) - total(data, 14) == 64


def stack(*sizes: int) -> bytes:
    """Dense layers one after the other."""
    tensors, operators = [T("t0", (1, sizes[0]))], []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        weights = np.ones((outputs, inputs))
        tensors += [T(f"w{i}", (outputs, inputs), "INT8", weights), T(f"t{i + 1}", (1, outputs))]
        operators.append(O("FULLY_CONNECTED", (f"t{i}", f"w{i}", None), (f"t{i + 1}",), 4))
    return build.tflite(tensors, operators, ["t0"], [f"t{len(sizes) - 1}"])


def test_layers_are_cached_in_order_and_whole_until_one_does_not_fit() -> None:
    model = parsed(stack(256, 512, 512, 512, 64))
    mapped = mapping_of(model).on_chip
    sizes = [256 * 512, 512 * 512, 512 * 512, 512 * 64]
    result = place_layers(model, mapped, 14, capacity_bytes=500_000)
    assert [layer.bytes for layer in result.layers] == sizes
    assert [layer.cached for layer in result.layers] == [True, True, False, False]
    assert result.cached_bytes == sum(sizes[:2]) and result.streamed_bytes == sum(sizes[2:])
    assert place_layers(model, mapped, 14).streamed_bytes == 0


def test_a_layer_larger_than_the_chip_is_streamed_alone() -> None:
    """Dense 4096 x 4096 was seen to be streamed, 2048 x 2048 to be cached."""
    for size, cached in ((2048, True), (4096, False)):
        model = parsed(stack(size, size))
        result = place_layers(model, mapping_of(model).on_chip, 14)
        assert result.layers[0].cached is cached and result.layers[0].bytes == size * size


def test_long_flattened_tensors_are_warned_of() -> None:
    for length, streamed, warned in (
        (4096, False, False),
        (16_384, True, True),
        (9000, False, True),
    ):
        model = parsed(stack(length, 1))
        mapped = mapping_of(model).on_chip
        assert bool(place_layers(model, mapped, 14).streamed_bytes) is streamed
        assert bool(memory.warnings(model, mapped)) is warned


def flattened(positions: int, channels: int, outputs: int) -> bytes:
    """A sequence from the host, made one row, and a dense layer."""
    row = positions * channels
    weights = T("w", (outputs, row), "INT8", np.ones((outputs, row)))
    tensors = [T("x", (1, positions, channels)), T("f", (1, row)), weights, T("y", (1, outputs))]
    steps = [O("RESHAPE", ("x",), ("f",)), O("FULLY_CONNECTED", ("f", "w", None), ("y",), 4)]
    return build.tflite(tensors, steps, ["x"], ["y"])


@pytest.mark.parametrize("outputs", (16, 64, 128))
def test_several_channels_that_fill_no_word_are_flattened_by_a_matrix(outputs: int) -> None:
    """A published log: 180 steps of 27 channels before a dense layer stream 23.40 MiB, whatever the
    layer's outputs; what follows is cached all the same."""
    model = parsed(flattened(180, 27, outputs))
    result = place_layers(model, mapping_of(model).on_chip, 14)
    assert round(result.streamed_bytes / MIB, 2) == 23.40
    assert [layer.cached for layer in result.layers] == [False, True]
    warnings = memory.warnings(model, mapping_of(model).on_chip)
    assert warnings[-1] == (
        "RESHAPE 0 flattens 27 channels, which takes a matrix of 24,534,016 B: 28 channels would "
        "take none."
    )


def test_whole_words_and_single_channels_from_the_host_are_flattened_for_nothing() -> None:
    for positions, channels in ((180, 28), (4860, 1)):
        model = parsed(flattened(positions, channels, 16))
        result = place_layers(model, mapping_of(model).on_chip, 14)
        assert [layer.op for layer in result.layers] == ["FULLY_CONNECTED"]


def test_the_capacity_is_a_band() -> None:
    assert (
        memory.LEAST_CAPACITY_BYTES < memory.CAPACITY_BYTES < memory.MOST_CAPACITY_BYTES < 8 * MIB
    )


def test_weights_that_are_not_there_are_an_error() -> None:
    from edgeinfer.base.errors import InputError
    from edgeinfer.targets.edgetpu.predict.prediction import prediction_of

    tensors = [T("x", (1, 8)), T("w", (4, 8), "INT8", np.ones(7)), T("y", (1, 4))]
    operators = [O("FULLY_CONNECTED", ("x", "w", None), ("y",), 4)]
    with pytest.raises(InputError, match="does not have the weights it states"):
        prediction_of(parsed(build.tflite(tensors, operators, ["x"], ["y"])))
