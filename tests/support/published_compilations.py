# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What others publish of files that the vendor's compiler has made: networks whose structure is
public, with the bytes that were decoded from the compiled files or that the compiler's log states.

None of them was at hand when the rules for parameters and instructions were made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tests.support import published_networks as networks
from tests.support import tflite_builder as build
from tests.support.tflite_builder import O, T

CORAL_USB = "https://github.com/RingCanary/coral-usb-oxidized/blob/main/docs/"
EXECUTABLES = CORAL_USB + "usb_executable_transport_correlation.md"
POINTWISE = CORAL_USB + "phase3_conv2d_kickoff_2026-03-06.md"
WINDOWS = CORAL_USB + "phase4_conv2d_k3_scout_2026-03-06.md"
SHAPES = CORAL_USB + "phase5_conv2d_k3_6496_boundary_scan_2026-03-16.md"
DENSE = CORAL_USB + "tensorizer_dense_template.md"
DENSE_768 = CORAL_USB + "instruction_word_field_analysis_2026-03-01.md"  # and multiples
DENSE_896 = CORAL_USB + "milestone_holdout_8976_2352_2026-03-01.md"

DENSE_MS = {  # DENSE; means of five runs
    256: 0.225, 512: 0.264, 1024: 0.277, 2048: 0.474, 2304: 0.339, 2688: 0.449, 2752: 17.303,
    3072: 21.442, 4096: 37.554,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compilation:
    """A network, and what became of it; None where nothing is said."""

    name: str
    family: str  # variants of one architecture
    data: Callable[[], bytes]
    instruction_bytes: int | None
    cached_bytes: int | None
    streamed_bytes: int
    source: str
    latency_ms: float | None = None  # over USB 3, as others measured it on a Raspberry Pi 5


def conv(height: int, width: int, inputs: int, outputs: int, side: int) -> bytes:
    """One convolution without a bias that keeps the image's size, weights scaled by channel."""
    weights = np.ones((outputs, side, side, inputs))
    scales = tuple(0.01 * (i + 1) for i in range(outputs))
    tensors = [
        T("x", (1, height, width, inputs)),
        T("w", weights.shape, "INT8", weights, scales, (0,) * outputs),
        T("y", (1, height, width, outputs)),
    ]
    same = {0: ("i8", 0), 1: ("i32", 1), 2: ("i32", 1)}
    return build.tflite(tensors, [O("CONV_2D", ("x", "w", None), ("y",), 3, same)], ["x"], ["y"])


def dense(size: int) -> bytes:
    """One dense layer without a bias, weights on one scale."""
    return build.dense(size, size, by_channel=False)


def _conv(
    source: str, shape: tuple[int, int, int, int], side: int, instructions: int, parameters: int
) -> Compilation:
    height, width, inputs, outputs = shape
    return Compilation(
        f"{side}x{side} over {height} x {width}, {inputs} to {outputs}",
        f"{side}x{side}",
        partial(conv, height, width, inputs, outputs, side),
        instructions + 688,  # those that cache the parameters
        parameters,
        0,
        source,
    )


def _dense(size: int, instructions: int | None) -> Compilation:
    parameters = 64 * -(-size // 64) * size
    stays, travels = (parameters, 0) if size < 2752 else (0, parameters)
    source = DENSE_768 if size % 768 == 0 else DENSE_896 if size % 896 == 0 else DENSE
    return Compilation(
        f"dense {size}", "dense", partial(dense, size), instructions, stays, travels, source,
        DENSE_MS.get(size),
    )  # fmt: skip


COMPILATIONS = (
    *(
        _conv(POINTWISE, shape, 1, 5360, parameters)
        for shape, parameters in (
            ((16, 16, 32, 32), 1280), ((32, 32, 32, 32), 1280), ((32, 32, 64, 64), 4608),
            ((64, 64, 64, 64), 4608), ((32, 32, 64, 128), 9216), ((32, 32, 128, 64), 8704),
            ((32, 32, 128, 128), 17_408),
        )
    ),
    *(
        _conv(WINDOWS, (32, 32, *channels), 3, 6512, parameters)
        for channels, parameters in (
            ((64, 64), 37_376), ((64, 128), 74_752), ((128, 64), 74_240),
        )
    ),
    *(
        _conv(SHAPES, (height, 1024 // height, 64, 64), 3, instructions, parameters)
        for height, instructions, parameters in (
            (1, 4112, 12_800), (2, 5200, 37_376), (4, 6224, 37_376), (8, 6496, 37_376),
            (16, 6512, 37_376), (64, 6512, 37_376), (128, 6512, 37_376), (256, 6512, 37_376),
            (512, 5520, 37_376), (1024, 4448, 12_800),
        )
    ),
    _dense(256, 4112 + 1072),
    *(_dense(size, 7952 + 2096) for size in (768, 1536, 2304)),
    *(_dense(size, 8976 + 2352) for size in (896, 1792, 2688)),
    *(_dense(size, None) for size in (512, 1024, 2048)),
    *(_dense(size, None) for size in (2752, 3072, 4096)),
    Compilation(
        "MobileNet v1 1.0 at 224", "MobileNet v1", networks.mobilenet_v1,
        225_824 + 7_248, 4_464_000, 0, EXECUTABLES, 2.72,
    ),
    Compilation(
        "MobileNet v2 1.0 at 224, 965 birds", "MobileNet v2",
        partial(networks.mobilenet_v2, 965),
        261_920 + 10_224 + 10_064, 3_947_392, 0, EXECUTABLES,
    ),
    Compilation(
        "Inception v1 at 224", "Inception", networks.inception_v1,
        254_656 + 103_200 + 9_680, 6_581_440, 393_664, EXECUTABLES,
    ),
)  # fmt: skip

# A MobileNet v3 (small, without gates) at 224 that ends with a window over its 7 x 7 positions of
# 576 channels: the log of 50 operators, all mapped, says 604.50 KiB cached, 511.50 KiB remaining
# and 3.45 MiB streamed. The latter is that window: 1.7 MiB for each of its two rows of 64 outputs.
WINDOW_LOG = "https://github.com/google-coral/edgetpu/issues/572"
WINDOW_STREAMED_MIB = 3.45


def covering_window(side: int, inputs: int, outputs: int) -> bytes:
    """A convolution by a window that covers the image, weights and biases by channel."""
    weights = np.ones((outputs, side, side, inputs), np.int8)
    scales = tuple(0.01 * (i + 1) for i in range(outputs))
    tensors = [
        T("x", (1, side, side, inputs)),
        T("w", weights.shape, "INT8", weights, scales, (0,) * outputs),
        T("b", (outputs,), "INT32", np.ones(outputs)),
        T("y", (1, 1, 1, outputs)),
    ]
    valid = {0: ("i8", 1), 1: ("i32", 1), 2: ("i32", 1)}
    return build.tflite(tensors, [O("CONV_2D", ("x", "w", "b"), ("y",), 3, valid)], ["x"], ["y"])


# Operators and statuses of a digit classifier, as its log lists them; the sizes are not told.
DIGITS_LOG = "https://github.com/system-software-lab/nrf20/blob/main/convert/quantize/README.md"
DIGITS_STATUSES = {
    ("RESHAPE", "Mapped to Edge TPU"): 1,
    ("CONV_2D", "Mapped to Edge TPU"): 2,
    ("SOFTMAX", "Mapped to Edge TPU"): 1,
    (
        "QUANTIZE",
        "Operation is otherwise supported, but not mapped due to some unspecified limitation",
    ): 1,
    ("DEQUANTIZE", "Operation is working on an unsupported data type"): 1,
    ("MAX_POOL_2D", "Mapped to Edge TPU"): 2,
    ("FULLY_CONNECTED", "Mapped to Edge TPU"): 2,
}


def digits() -> bytes:
    """A classifier of 28 x 28 pixels with these operators, between real numbers."""
    valid = {0: ("i8", 1), 1: ("i32", 1), 2: ("i32", 1)}
    halved = {0: ("i8", 1), **dict.fromkeys(range(1, 5), ("i32", 2))}
    weights = {"w1": (32, 3, 3, 1), "w2": (64, 3, 3, 32), "w3": (128, 1600), "w4": (10, 128)}
    shapes = {
        "stored": (1, 28, 28, 1), "first": (1, 26, 26, 32), "half": (1, 13, 13, 32),
        "second": (1, 11, 11, 64), "quarter": (1, 5, 5, 64), "row": (1, 1600), "dense": (1, 128),
        "sums": (1, 10), "shares": (1, 10),
    }  # fmt: skip
    tensors = [
        T("image", (1, 28, 28, 1), "FLOAT32"),
        T("y", (1, 10), "FLOAT32"),
        *(T(name, shape) for name, shape in shapes.items()),
        *(T(name, shape, "INT8", np.ones(shape)) for name, shape in weights.items()),
    ]
    steps = [
        O("QUANTIZE", ("image",), ("stored",)),
        O("CONV_2D", ("stored", "w1", None), ("first",), 3, valid),
        O("MAX_POOL_2D", ("first",), ("half",), 2, halved),
        O("CONV_2D", ("half", "w2", None), ("second",), 3, valid),
        O("MAX_POOL_2D", ("second",), ("quarter",), 2, halved),
        O("RESHAPE", ("quarter",), ("row",)),
        O("FULLY_CONNECTED", ("row", "w3", None), ("dense",), 4),
        O("FULLY_CONNECTED", ("dense", "w4", None), ("sums",), 4),
        O("SOFTMAX", ("sums",), ("shares",), 2),
        O("DEQUANTIZE", ("shares",), ("y",), 2),
    ]
    return build.tflite(tensors, steps, ["image"], ["y"])
