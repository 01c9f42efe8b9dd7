# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long an inference takes: a model of the chip's 4 x 4 tiles and of the way to it.

An image's positions are dealt to the tiles; a tile computes up to 64 output channels side by side
and reads the weights of an input channel in a cycle. Under a window of several pixels they serve
four positions at once, as many as the chip's peak allows; 1x1 layers were not seen to gain by that.
Streamed parameters travel while the chip computes; inputs, outputs and instructions travel before
and after. What an inference takes to start was chosen by twelve published latencies, of nine of
which it is a small part (`tests/bench/bench_edgetpu.py` leaves out whole families). That a dense
layer's outputs are dealt to the tiles is seen in compiled files.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgeinfer.base.tflite.model import Operator, TfliteModel, TfliteTensor
from edgeinfer.targets.edgetpu.predict.host import HostTime
from edgeinfer.targets.edgetpu.predict.instructions import border_of, instruction_bytes
from edgeinfer.targets.edgetpu.predict.memory import MemoryPlacement
from edgeinfer.targets.edgetpu.predict.packing import (
    LANES,
    ROW,
    SIDE,
    TILES,
    WORD,
    next_multiple,
)

OVERLAP: Final = 0.9  # of the cycles that the plain count gives
START_CYCLES: Final = 100  # for each operator
SHARING: Final = 4  # positions of a tile that weights serve at once under a window
DEPTHWISE_CYCLES: Final = 4  # for each tap: depthwise products do not share their inputs
BAND: Final = 0.25
UNUSUAL_BAND: Final = 2.0  # a factor: graphs whose time is not in convolutions
UNUSUAL_SHARE: Final = 0.5  # of the operators


class Link(StrEnum):
    """How the chip is reached."""

    USB = "usb"  # USB 3
    USB2 = "usb2"  # as on a Raspberry Pi 3
    PCIE = "pcie"
    DEV_BOARD = "dev-board"


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """What a link costs."""

    start_us: float  # of each inference
    clock_mhz: float  # effective
    io_mb_per_s: float
    stream_mb_per_s: float
    host_factor: float = 1.0  # how much longer the host takes than the one of `host`


PROFILES: Final = {
    Link.USB: LinkProfile(250.0, 425.0, 320.0, 410.0),
    Link.USB2: LinkProfile(250.0, 425.0, 32.0, 41.0, 4.0),  # a tenth of USB 3, as was seen
    Link.PCIE: LinkProfile(100.0, 425.0, 320.0, 410.0),
    Link.DEV_BOARD: LinkProfile(100.0, 425.0, 320.0, 410.0, 3.5),  # PCIe to a Cortex-A53
}


@dataclass(frozen=True, slots=True)
class LayerCycles:
    """One operator's time on the chip."""

    index: int
    op: str
    cycles: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that travel at every inference."""

    inputs: int
    outputs: int
    instructions: int
    streamed: int


@dataclass(frozen=True, slots=True)
class Latency:
    """An inference's time over one link, with its error band."""

    link: Link
    value_us: float
    low_us: float
    high_us: float
    host_us: float  # of it, on the host


def layer_cycles(model: TfliteModel, mapped: Collection[int]) -> tuple[LayerCycles, ...]:
    """Cycles of each mapped operator."""
    return tuple(
        LayerCycles(op.index, op.title, cycles_of(op))
        for op in model.operators
        if op.index in mapped
    )


def cycles_of(op: Operator) -> float:
    """Cycles of one operator."""
    left = op.outputs[0]
    weights = op.input(1)
    match op.name:
        case "CONV_2D" if weights is not None and len(weights.shape) == 4:
            outputs, height, width, inputs = weights.shape
            return convolution_cycles(_positions(left), outputs, height * width, inputs)
        case "TRANSPOSE_CONV" if weights is not None and len(weights.shape) == 4:
            outputs, height, width, inputs = weights.shape
            tensor = op.input(2)
            places = _positions(tensor if tensor is not None else left)
            return convolution_cycles(places, outputs, height * width, inputs)
        case "FULLY_CONNECTED" if weights is not None and len(weights.shape) == 2:
            outputs, inputs = weights.shape
            return _cycles((1, 1), -(-outputs // TILES), next_multiple(inputs, WORD))
        case "DEPTHWISE_CONV_2D" if weights is not None and len(weights.shape) == 4:
            _, height, width, channels = weights.shape
            return _cycles(_positions(left), channels, DEPTHWISE_CYCLES * height * width)
        case "AVERAGE_POOL_2D" | "MAX_POOL_2D":
            taps = math.prod(op.options.window)
            channels = left.shape[-1] if left.shape else 1
            return _cycles(_positions(left), channels, DEPTHWISE_CYCLES * taps)
        case _:  # the others touch each channel once
            channels = left.shape[-1] if left.shape else 1
            return _cycles(_positions(left), channels, 1)


def convolution_cycles(positions: tuple[int, int], outputs: int, taps: int, inputs: int) -> float:
    """A layer whose outputs all read all inputs under a window of `taps` positions."""
    sharing = SHARING if taps > 1 else 1
    return _cycles(positions, outputs, taps * next_multiple(inputs, WORD), sharing)


def _cycles(positions: tuple[int, int], channels: int, steps: int, sharing: int = 1) -> float:
    """The fullest tile's positions, some of them at once, for each row of channels, in steps."""
    rows = next_multiple(channels, LANES) / ROW if channels < ROW else -(-channels // ROW)
    places = math.prod(-(-size // SIDE) for size in positions)
    return OVERLAP * max(places / sharing, 1) * rows * steps + START_CYCLES


def _positions(tensor: TfliteTensor) -> tuple[int, int]:
    """Sizes of an image in y and x; a row of numbers is one position."""
    sizes = (1, 1, *tensor.shape[:-1])
    return sizes[-2], sizes[-1]


def traffic(model: TfliteModel, mapped: Collection[int], memory: MemoryPlacement) -> Traffic:
    """What enters and leaves the mapped part, and what goes along."""
    border = border_of(model, mapped)
    layers = {layer.index for layer in memory.layers}
    return Traffic(
        sum(tensor.bytes for tensor in border.entering),
        sum(tensor.bytes for tensor in border.leaving),
        instruction_bytes(model, mapped, layers),
        memory.streamed_bytes,
    )


def chip_us(cycles: float, moved: Traffic, profile: LinkProfile) -> float:
    """The time of an inference without the host's share."""
    computed = cycles / profile.clock_mhz
    streamed = moved.streamed / profile.stream_mb_per_s
    travelled = (moved.inputs + moved.outputs + moved.instructions) / profile.io_mb_per_s
    return profile.start_us + max(computed, streamed) + travelled


def latency(
    cycles: float,
    moved: Traffic,
    link: Link,
    *,
    usual: bool = True,
    left: Collection[HostTime] = (),
    on_chip: bool = True,
) -> Latency:
    """The time of an inference, what stays on the host (`left`) included. The chip adds nothing
    where nothing is mapped: it is not started then."""
    profile = PROFILES[link]
    chip = chip_us(cycles, moved, profile) if on_chip else 0.0
    low, high = (1 - BAND, 1 + BAND) if usual else (1 / UNUSUAL_BAND, UNUSUAL_BAND)
    host, host_low, host_high = (
        profile.host_factor * sum(ends)
        for ends in (
            [part.value_us or 0.0 for part in left],
            [part.low_us for part in left],
            [part.high_us for part in left],
        )
    )
    return Latency(link, chip + host, chip * low + host_low, chip * high + host_high, host)


def is_usual(model: TfliteModel, mapped: Collection[int]) -> bool:
    """Whether the mapped part is made of what the model was held against: layers with weights,
    pooling, and what goes with them."""
    usual = {
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "AVERAGE_POOL_2D",
        "MAX_POOL_2D",
        "QUANTIZE",
        "RESHAPE",
        "SOFTMAX",
        "ADD",
        "PAD",
    }
    inside = [op for op in model.operators if op.index in mapped]
    strange = sum(op.name not in usual for op in inside)
    return strange <= UNUSUAL_SHARE * len(inside)
