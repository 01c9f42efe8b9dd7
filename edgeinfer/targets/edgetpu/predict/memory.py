# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which layers' parameters stay on the chip, and which travel from the host at every inference.

Layers are cached in order while they fit, whole or not at all; once one does not fit, it and all
that follow are streamed. One that is larger than the chip is streamed alone, and so is a layer of
one position (a dense one, or a window that covers the image) whose rows, dealt to the tiles, are
too long or too many for one. The room for parameters is no constant: 6.1 to 7.9 MiB in compilers'
logs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from edgeinfer.base.tflite.model import Operator, TfliteModel
from edgeinfer.targets.edgetpu.predict.moving import flattening_matrices, moved_bytes
from edgeinfer.targets.edgetpu.predict.packing import (
    LANES,
    ROW,
    TILES,
    WORD,
    is_image,
    next_multiple,
    parameter_bytes,
)

MIB: Final = 1 << 20
CAPACITY_BYTES: Final = round(7.6 * MIB)
TILE_CAPACITY_BYTES: Final = 512 << 10  # a dense layer of 2,688 fits, one of 2,752 does not
LEAST_CAPACITY_BYTES: Final = round(6.1 * MIB)
MOST_CAPACITY_BYTES: Final = round(7.9 * MIB)
# Dense layers of one row of outputs after a flattened tensor this long were seen to be streamed
# although there was room; those up to the lower length were seen to be cached.
STREAMED_FROM, CACHED_UP_TO = 16_384, 4_096


@dataclass(frozen=True, slots=True)
class LayerMemory:
    """One operator's parameters on the chip."""

    index: int
    op: str
    bytes: int
    cached: bool


@dataclass(frozen=True, slots=True)
class MemoryPlacement:
    """The placement of all layers under one capacity."""

    capacity_bytes: int
    layers: tuple[LayerMemory, ...]

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(layer.bytes for layer in self.layers if layer.cached)

    @property
    def streamed_bytes(self) -> int:
        """Parameters that travel at every inference."""
        return sum(layer.bytes for layer in self.layers if not layer.cached)


def layer_bytes(model: TfliteModel, mapped: Collection[int], runtime: int) -> dict[int, int]:
    """Bytes of each mapped operator that has parameters."""
    bytes_moved = moved_bytes(model, mapped)
    for op in model.operators:
        if op.index in mapped and op.index not in bytes_moved:
            size = parameter_bytes(op, runtime)
            if size:
                bytes_moved[op.index] = size
    return bytes_moved


def place_layers(
    model: TfliteModel, mapped: Collection[int], runtime: int, capacity_bytes: int = CAPACITY_BYTES
) -> MemoryPlacement:
    """Every mapped layer cached or streamed, in file order."""
    sizes = layer_bytes(model, mapped, runtime)
    layers: list[LayerMemory] = []
    used, full = 0, False
    for op in model.operators:
        if op.index not in sizes:
            continue
        size = sizes[op.index]
        alone = _streamed_anyway(op, size)
        full = full or (not alone and used + size > capacity_bytes)
        cached = not (full or alone)
        used += size if cached else 0
        layers.append(LayerMemory(op.index, op.title, size, cached))
    return MemoryPlacement(capacity_bytes, tuple(layers))


def warnings(model: TfliteModel, mapped: Collection[int]) -> list[str]:
    """What is uncertain about the placement."""
    inside = [op for op in model.operators if op.index in mapped]
    texts = [
        f"{op.title} {op.index} reads a flattened tensor of {length:,}: such layers were seen to "
        f"be streamed although there was room (from {STREAMED_FROM:,}), and to be cached (up to "
        f"{CACHED_UP_TO:,}). Pool before flattening to be safe."
        for op in inside
        if (length := _flattened_length(op)) > CACHED_UP_TO
    ]
    texts += [
        f"{op.title} {op.index} flattens {channels} channels, which takes a matrix of {size:,} B: "
        f"{next_multiple(channels, WORD)} channels would take none."
        for op, channels, size in flattening_matrices(inside)
    ]
    texts += [
        f"{op.title} {op.index}: the weights of such a layer were seen to take 2.7 times the bytes "
        f"that are predicted here."
        for op in inside
        if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM"
    ]
    texts += [
        f"{op.title} {op.index}: whether constants of a uint8 softmax are stored depends on the "
        f"compiler's version; they are counted here."
        for op in inside
        if op.name == "SOFTMAX" and op.outputs[0].type == "UINT8"
    ]
    return texts


def _flattened_length(op: Operator) -> int:
    weights = op.input(1)
    if op.name != "FULLY_CONNECTED" or weights is None or len(weights.shape) != 2:
        return 0
    return weights.shape[1]


def _streamed_anyway(op: Operator, size: int) -> bool:
    """Whether a layer does not stay on the chip however much room there is."""
    weights = op.input(1)
    over_one_position = op.name in ("FULLY_CONNECTED", "CONV_2D") and not is_image(op.outputs[0])
    if size > MOST_CAPACITY_BYTES or weights is None or not over_one_position:
        return size > MOST_CAPACITY_BYTES
    rows = -(-weights.shape[0] // ROW)
    fullest = -(-rows // TILES) * size // rows
    one_row = weights.shape[0] <= LANES
    return fullest > TILE_CAPACITY_BYTES or (one_row and _flattened_length(op) >= STREAMED_FROM)
