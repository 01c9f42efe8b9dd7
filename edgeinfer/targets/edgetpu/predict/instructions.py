# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How many bytes the instructions of mapped operators take.

The streams in twelve compiled files were taken apart. An instruction says which of the 4 x 4 tiles
it is for, and its kind says how long it is; so tiles that do the same share one, and the bytes
follow from how an operator is dealt to the tiles, whatever it computes:

- An image is dealt by its positions, evenly: where a size does not divide, the first tiles have
  one position more, and tiles of two kinds need two loops. A window needs rows and columns of
  neighbours: each direction is a shift for the first tile, those between, by their size, and the
  last one. A stride after which the tiles of the result do not begin where those of the source do
  needs more shifts.
- A vector is dealt by rows of 64 channels. What a dense layer reads goes from each tile that has a
  part of it to all others; a softmax gathers and spreads twice.
- An image whose tiles do not hold it is computed in passes.

The lengths below are those of the instructions, and nothing is fitted; how many an operator needs
was read off these files. `tests/support/published_compilations.py` has others to judge it by.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from edgeinfer.base.tflite.model import Operator, TfliteModel, TfliteTensor
from edgeinfer.targets.edgetpu.predict.packing import ROW, SIDE, TILES, WORD, next_multiple

TILE_BYTES: Final = 192 << 10  # for activations
STEP, SYNC, LOOP, SHIFT, LOAD, FETCH = 16, 48, 272, 96, 112, 64  # instructions
EXCHANGE: Final = 2 * LOAD + 2 * FETCH  # from one tile to others
DESCRIPTORS: Final = 11 * STEP  # of a transfer from or to the host
FRAME: Final = 28 * STEP  # how a stream begins and ends
CACHING_FRAME: Final = 35 * STEP
TABLE: Final = 13 * STEP  # of a function of one value
CLEAR: Final = 5 * SHIFT + SYNC + LOAD + STEP  # what lies around an image
WEIGHTS: Final = SYNC + 2 * FETCH + LOAD  # of a layer: fetched, with what scales its sums
DEPTHWISE: Final = FETCH + 2 * STEP
# Pieces that occur once or twice in these files, in instructions.
REDUCING: Final = 52 * SHIFT + 6 * LOAD + 5 * LOOP  # an image to one position
COVERING: Final = 15 * EXCHANGE  # by a window that covers the image
FLATTENING: Final = LOOP + LOAD + FETCH  # for each tile
MISALIGNED_AXIS: Final = 14 * SHIFT + 2 * LOOP + 2 * STEP  # borders between positions: stride 2
MISALIGNED: Final = TILES * LOOP + 40 * SHIFT  # and wider strides, once for each image; what the
# host sends is cleared and laid out tile by tile for them, which is as many loops again
BORDERED: Final = 10 * SHIFT  # two images whose last tiles have fewer positions
SOFTMAX: Final = 6 * LOOP + TABLE * 2 + 12 * SHIFT + 26 * LOAD
JOINING: Final = WEIGHTS + DEPTHWISE + 2 * LOOP
INSTRUCTION_BAND: Final = 1.5  # a factor
ELEMENTWISE: Final = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
REDUCTIONS: Final = (
    "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN",
)  # fmt: skip
MOVES: Final = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True, slots=True)
class Border:
    """What enters and what leaves the mapped part."""

    entering: tuple[TfliteTensor, ...]
    leaving: tuple[TfliteTensor, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """How an axis of an image is dealt to the tiles of a row or a column: evenly, and where it does
    not divide, one position more for each of the first tiles."""

    size: int

    @property
    def larger(self) -> int:
        """How many of the tiles have one position more."""
        return self.size % SIDE

    @property
    def each(self) -> int:
        """Positions of the fullest tile."""
        return -(-self.size // SIDE)

    @property
    def used(self) -> int:
        """Tiles that have some."""
        return min(self.size, SIDE)

    @property
    def kinds(self) -> int:
        """Two where some tiles have one position more."""
        return 2 if self.larger and self.size > SIDE else 1

    @property
    def starts(self) -> tuple[int, ...]:
        """Where the tiles begin."""
        return tuple(
            tile * (self.size // SIDE) + min(tile, self.larger) for tile in range(self.used)
        )

    @property
    def neighbours(self) -> int:
        """Tiles by what lies beside them: the first, those between, by their size, and the last."""
        return min(self.used, 4 if self.kinds == 2 and self.larger == 2 else 3)


@dataclass(slots=True)
class _CommonWork:
    """What is done once for operators that read the same tensor."""

    entering: frozenset[int]  # tensors that come from the host
    from_host: frozenset[int]  # these, and those whose layout it can choose
    layers: Collection[int]  # operators with parameters, be it ones that only move channels
    spread: set[int] = field(default_factory=set)
    aligned: set[int] = field(default_factory=set)


def border_of(model: TfliteModel, mapped: Collection[int]) -> Border:
    """The tensors that cross between the host and the chip."""
    inside = [op for op in model.operators if op.index in mapped]
    makers = {t.index: t for op in inside for t in op.outputs}
    readers = {t.index: t for op in inside for t in op.computed()}
    outside = {
        t.index for op in model.operators if op.index not in mapped for t in op.computed()
    } | {t.index for t in model.outputs}
    return Border(
        tuple(t for index, t in readers.items() if index not in makers),
        tuple(t for index, t in makers.items() if index in outside),
    )


def instruction_bytes(model: TfliteModel, mapped: Collection[int], layers: Collection[int]) -> int:
    """What the instructions of mapped operators take; `layers` are those with parameters."""
    inside = [op for op in model.operators if op.index in mapped]
    if not inside:
        return 0
    border = border_of(model, mapped)
    entering = frozenset(tensor.index for tensor in border.entering)
    common = _CommonWork(entering, _as_the_host_sends(inside, border), layers)
    total = FRAME + sum(map(_entering, border.entering)) + sum(map(_leaving, border.leaving))
    total += sum(_operator_bytes(op, common) for op in inside)
    with_parameters = [op for op in inside if op.index in layers]
    transfers = sum(map(_transfers, with_parameters))
    return total + (CACHING_FRAME + 2 * FETCH * transfers if with_parameters else 0)


def _as_the_host_sends(inside: Collection[Operator], border: Border) -> frozenset[int]:
    """Tensors whose layout the host can choose."""
    fresh = {t.index for t in border.entering}
    for op in inside:
        if op.name in ("QUANTIZE", "PAD") and all(t.index in fresh for t in op.computed()):
            fresh |= {t.index for t in op.outputs}
    return frozenset(fresh)


def _axes(tensor: TfliteTensor) -> tuple[_Axis, _Axis]:
    sizes = (1, 1, *tensor.shape[:-1])
    return _Axis(max(sizes[-2], 1)), _Axis(max(math.prod(sizes[-1:]), 1))


def _is_image(tensor: TfliteTensor) -> bool:
    return any(axis.size > 1 for axis in _axes(tensor))


def _channels(tensor: TfliteTensor) -> int:
    return tensor.shape[-1] if tensor.shape else 1


def dense_tiles(channels: int) -> int:
    """Tiles that rows of channels are dealt to, each as many as the fullest."""
    rows = max(-(-channels // ROW), 1)
    return -(-rows // -(-rows // TILES))


def _tiles(tensor: TfliteTensor) -> int:
    if _is_image(tensor):
        return math.prod(axis.used for axis in _axes(tensor))
    return dense_tiles(tensor.elements)


def _loops(tensor: TfliteTensor) -> int:
    """Bytes of the loops that make a tensor: one for tiles of each kind."""
    if _is_image(tensor):
        return LOOP * math.prod(axis.kinds for axis in _axes(tensor))
    each = ROW * -(-tensor.elements // (ROW * TILES))
    return LOOP * (2 if tensor.elements > each and tensor.elements % each else 1)


def _entering(tensor: TfliteTensor) -> int:
    if not _is_image(tensor):
        tiles = dense_tiles(tensor.elements)
        loads = LOAD * min(tiles, SIDE) + 2 * FETCH * -(-tiles // SIDE)
        return 2 * SYNC + DESCRIPTORS + FETCH + loads
    high, wide = _axes(tensor)
    loads = LOAD * wide.used * wide.kinds + 2 * FETCH * high.used
    return CLEAR + 2 * STEP + DESCRIPTORS + 2 * SYNC + loads + _loops(tensor)


def _leaving(tensor: TfliteTensor) -> int:
    kinds = _loops(tensor) // LOOP
    return 3 * SYNC + STEP + DESCRIPTORS + LOAD * kinds + SHIFT * _tiles(tensor)


def _transfers(op: Operator) -> int:
    """Transfers of an operator's parameters: to each tile of a vector, or one for an image."""
    output = op.outputs[0]
    return 1 if math.prod(output.shape[:-1]) > ROW else dense_tiles(_channels(output))


def _operator_bytes(op: Operator, common: _CommonWork) -> int:
    source = op.input(2) if op.name == "TRANSPOSE_CONV" else op.input(0)
    if source is None or not op.outputs:
        return 0
    output, weights = op.outputs[0], op.input(1)
    loops = _loops(output)
    match op.name:
        case "CONV_2D" | "DEPTHWISE_CONV_2D" | "TRANSPOSE_CONV" if (
            _is_image(source) and weights is not None and len(weights.shape) == 4
        ):
            return _window(op, source, weights.shape[1:3], common)
        case "CONV_2D" | "DEPTHWISE_CONV_2D" | "FULLY_CONNECTED":
            return _dense(source, output, common)
        case name if name in REDUCTIONS:
            return _reduction(op, source, common)
        case name if name in MOVES:
            if not _is_image(source) or _is_image(output):
                return 0
            if op.index in common.layers:
                return _dense(source, output, common)
            return 0 if source.index in common.from_host else FLATTENING * _tiles(source)
        case "QUANTIZE":
            return _requantization(source, output, common)
        case "SOFTMAX":
            return _softmax(_channels(output))
        case "CONCATENATION" | "SPLIT" | "SPLIT_V":
            return JOINING * len(op.outputs) if op.index in common.layers else 0
        case name if name in ELEMENTWISE:
            return STEP + LOAD + loops + (BORDERED if loops > LOOP else 0)
        case "PAD" | "PADV2" | "MIRROR_PAD":
            return 4 * SHIFT + LOAD + STEP + loops
        case "RESIZE_BILINEAR" | "RESIZE_NEAREST_NEIGHBOR":
            return 2 * MISALIGNED_AXIS + STEP + loops
        case _:  # functions of one value, and what was not seen: a table and a loop
            return STEP + TABLE + loops


def _window(
    op: Operator, source: TfliteTensor, window: tuple[int, ...], common: _CommonWork
) -> int:
    """A layer over an image."""
    output = op.outputs[0]
    if not _is_image(output):
        return WEIGHTS + LOOP + COVERING
    passes = -(-(_tile_bytes(source) + _tile_bytes(output)) // TILE_BYTES)
    layer = WEIGHTS + (DEPTHWISE if op.name == "DEPTHWISE_CONV_2D" else 0) + _loops(output)
    work = layer + _shifts(op, source, window)
    return passes * work + _misalignment(op, source, output, common)


def _shifts(op: Operator, source: TfliteTensor, window: tuple[int, ...]) -> int:
    """What a window reads of neighbouring tiles."""
    high, wide = _axes(source)
    # Shifts along a row wait for those along the columns, one by one in the rows that have more.
    apart = high.larger + 1 if high.kinds == 2 and high.larger > 1 else high.kinds
    shifts = (high.neighbours * wide.kinds, (wide.neighbours - 1) * apart + high.kinds)
    total = 0
    for axis, once, taps, stride in zip(
        (high, wide), shifts, window, op.options.strides, strict=True
    ):
        if taps > stride and axis.used > 1:
            both = op.options.same_padding and (stride == 1 or axis.size % 2)
            total += (2 if both else 1) * SHIFT * once
    return total


def _tile_bytes(tensor: TfliteTensor) -> int:
    places = math.prod(axis.each for axis in _axes(tensor))
    return places * next_multiple(_channels(tensor), WORD)


def _misalignment(
    op: Operator, source: TfliteTensor, output: TfliteTensor, common: _CommonWork
) -> int:
    """Shifts where tiles of the result do not begin where tiles of the source do."""
    wide, crossed = False, 0
    for stride, before, after in zip(op.options.strides, _axes(source), _axes(output), strict=True):
        moved = any(
            start != stride * end for start, end in zip(before.starts, after.starts, strict=False)
        )
        if stride > 1 and before.size > 1 and moved:
            crossed += 1
            wide = wide or stride > 2
    if not crossed or source.index in common.aligned:
        return 0
    if wide:
        common.aligned.add(source.index)
        return MISALIGNED + (TILES * LOOP if source.index in common.entering else 0)
    return 0 if source.index in common.from_host else MISALIGNED_AXIS * crossed


def _dense(source: TfliteTensor, output: TfliteTensor, common: _CommonWork) -> int:
    """A layer over one row: its parts go to all tiles, once for all layers that read it."""
    spread = 0 if source.index in common.spread else EXCHANGE * _tiles(source) + 3 * SYNC
    common.spread.add(source.index)
    return spread + FETCH + LOAD + STEP + _loops(output)


def _reduction(op: Operator, source: TfliteTensor, common: _CommonWork) -> int:
    output = op.outputs[0]
    if not _is_image(source):
        return STEP + _loops(output)
    if not _is_image(output):
        return REDUCING
    work = STEP + LOAD + _loops(output) + _shifts(op, source, op.options.window)
    return work + _misalignment(op, source, output, common)


def _requantization(source: TfliteTensor, output: TfliteTensor, common: _CommonWork) -> int:
    """Part of the layer before, except for what comes from the host as an image."""
    if _is_image(output) and source.index in common.from_host:
        return STEP + _loops(output)
    return 0


def _softmax(channels: int) -> int:
    """Two gatherings to one tile, and two ways back; rows that are not full change places."""
    tiles = dense_tiles(channels)
    uneven = tiles > 1 and channels % ROW > 0
    return (
        SOFTMAX
        + 4 * (tiles - 1) * EXCHANGE
        + tiles * (LOOP * 3 // 2 + LOAD)
        + (tiles * (tiles - 1) * EXCHANGE if uneven else 0)
    )
