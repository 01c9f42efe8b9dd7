# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How many bytes an operator's parameters take on the chip, as the compiler lays them out.

Weights lie in blocks of four input channels by a row of output channels, for each position of the
window. A row holds up to 64 output channels; a layer of at most 64 has one row padded to a multiple
of 16 (4 channels or fewer over an image: to 4), a wider one rows of 64. Before the weights of each
row lie up to three words for each output channel: the factor that brings sums to the output's scale
(where channels differ), the bias (where it is not zero), and the weights' zero point (where weights
are quantized by channel). Layers begin at multiples of 64 bytes. All of this was read off the
parameters in compiled files, and gives their sizes to the byte.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edgeinfer.base.tflite.flat import FlatError
from edgeinfer.base.tflite.model import Operator, TfliteTensor

WORD: Final = 4  # bytes; also input channels in a block
ROW: Final = 64  # output channels that are computed side by side
LANES: Final = 16
SIDE: Final = 4  # tiles in a row and in a column of the chip
TILES: Final = SIDE**2
ALIGNMENT: Final = 64
BIASES_ALWAYS: Final = 12  # up to this runtime version zero biases are stored, where by channel
SOFTMAX_BYTES: Final = 48  # for each element, in uint8 networks


def next_multiple(count: int, multiple: int) -> int:
    """The next multiple."""
    return -(-count // multiple) * multiple


def rows_of(channels: int, *, image: bool) -> tuple[int, int]:
    """How many rows a layer's output channels take, and their padded width."""
    if channels <= WORD and image:
        return 1, WORD
    if channels <= ROW:
        return 1, next_multiple(channels, LANES)
    return -(-channels // ROW), ROW


def parameter_bytes(op: Operator, runtime: int) -> int:
    """What an operator that runs on the chip keeps there; see `moving` for those that move data."""
    match op.name:
        case "CONV_2D" | "TRANSPOSE_CONV":
            return _convolution(op, runtime)
        case "DEPTHWISE_CONV_2D":
            return _depthwise(op, runtime)
        case "FULLY_CONNECTED":
            return _dense(op, runtime)
        case "SOFTMAX":
            return _softmax(op)
        case _:  # the others keep their constants, if anything
            return _others(op)


def _filter(op: Operator) -> TfliteTensor:
    """The weights."""
    weights = op.input(1)
    if weights is None or weights.data is None or len(weights.data) != weights.bytes:
        raise FlatError(f"operator {op.index} ({op.title}) does not have the weights it states")
    return weights


def is_image(tensor: TfliteTensor) -> bool:
    """Whether a tensor has more than one position."""
    return math.prod(tensor.shape[:-1]) > 1


def _words(op: Operator, runtime: int, *, bias: int = 2) -> int:
    """Words that lie before the weights, for each output channel."""
    weights = _filter(op)
    by_channel = weights.scales.size > 1
    differ = by_channel and bool((weights.scales != weights.scales[0]).any())
    stored = op.input(bias)
    biased = stored is not None and stored.constant and bool(np.any(stored.integers()))
    if stored is not None and differ and runtime <= BIASES_ALWAYS:
        biased = True
    return int(differ) + int(biased) + int(by_channel)


def blocks_bytes(taps: int, inputs: int, outputs: int, words: int, *, image: bool) -> int:
    """Bytes of a layer: `taps` positions of a window, each with all inputs."""
    blocks = taps * -(-inputs // WORD)
    rows, width = rows_of(outputs, image=image)
    return next_multiple(rows * (words + blocks) * WORD * width, ALIGNMENT)


def _convolution(op: Operator, runtime: int) -> int:
    weights = _filter(op)
    if len(weights.shape) != 4:
        raise FlatError(f"operator {op.index} ({op.title}) has weights of {weights.shape}")
    outputs, *window, inputs = weights.shape
    words = _words(op, runtime, bias=3 if op.name == "TRANSPOSE_CONV" else 2)
    taps = math.prod(window) if op.name == "TRANSPOSE_CONV" else _taps_on_data(op, window)
    return blocks_bytes(taps, inputs, outputs, words, image=is_image(op.outputs[0]))


def _taps_on_data(op: Operator, window: list[int]) -> int:
    """Positions of a window that lie on the image at some place; the others are not stored."""
    source, options = op.input(0), op.options
    if source is None or len(source.shape) != 4 or not options.same_padding:
        return math.prod(window)
    count = 1
    axes = zip(source.shape[1:3], window, options.strides, options.dilation, strict=True)
    for size, taps, stride, apart in axes:
        last = (-(-size // stride) - 1) * stride  # where the window lies last
        before = max(last + (taps - 1) * apart + 1 - size, 0) // 2
        count *= sum(
            any(0 <= place + tap * apart - before < size for place in range(0, last + 1, stride))
            for tap in range(taps)
        )
    return count


def _dense(op: Operator, runtime: int) -> int:
    weights = _filter(op)
    if len(weights.shape) != 2:
        raise FlatError(f"operator {op.index} ({op.title}) has weights of {weights.shape}")
    outputs, inputs = weights.shape
    return blocks_bytes(1, inputs, outputs, _words(op, runtime), image=False)


def _depthwise(op: Operator, runtime: int) -> int:
    """Each channel has a window of its own; from a single channel it is a plain convolution."""
    weights = _filter(op)
    if len(weights.shape) != 4:
        raise FlatError(f"operator {op.index} ({op.title}) has weights of {weights.shape}")
    _, height, width, channels = weights.shape
    words, taps = _words(op, runtime), height * width
    image = op.input(0)
    if image is not None and image.shape[-1:] == (1,) and channels > 1:
        return blocks_bytes(taps, 1, channels, words, image=is_image(op.outputs[0]))
    full, rest = divmod(channels, ROW)
    group = next_multiple(WORD * ROW * (words + taps), ALIGNMENT)
    return full * group + next_multiple(
        WORD * next_multiple(rest, WORD) * (words + taps), ALIGNMENT
    )


def _softmax(op: Operator) -> int:
    """In uint8 networks a softmax brings constants for each element; in int8 ones it does not."""
    left = op.outputs[0]
    if left.type != "UINT8":
        return 0
    return next_multiple(ALIGNMENT + SOFTMAX_BYTES * next_multiple(left.elements, WORD), ALIGNMENT)


def _others(op: Operator) -> int:
    """Constants that enter an element-wise operator, or an LSTM's matrices."""
    if op.name in ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU", "SQUARED_DIFFERENCE"):
        constants = [t for t in op.inputs if t is not None and t.constant]
        return sum(
            next_multiple(WORD * next_multiple(t.elements, LANES), ALIGNMENT) for t in constants
        )
    if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        total = 0
        for tensor in op.inputs:
            if tensor is not None and tensor.constant and len(tensor.shape) == 2:
                total += blocks_bytes(1, tensor.shape[1], tensor.shape[0], 1, image=False)
        return total
    return 0
