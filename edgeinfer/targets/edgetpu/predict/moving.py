# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Parameters of operators that only move data: products with ones and zeros.

The chip moves words of four channels as they are. Channels that begin or end inside a word are
moved by a small layer whose weights are ones and zeros: where tensors are joined or split inside a
word, and where an image whose channels fill no word becomes one row. For one channel that layer is
small, for it repeats; for several it is a matrix from all numbers to all. Joining and splitting
that follow each other are one movement, paid for where another operator (or the host) reads the
result.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from edgeinfer.base.tflite.model import Operator, TfliteModel, TfliteTensor
from edgeinfer.targets.edgetpu.predict.packing import LANES, ROW, WORD, blocks_bytes, is_image

MOST_PIECES: Final = 1024  # a tensor out of more is taken as one that lies in memory


@dataclass(frozen=True, slots=True)
class _Piece:
    """Channels of a tensor that lies in memory."""

    tensor: int
    start: int
    count: int


def moved_bytes(model: TfliteModel, mapped: Collection[int]) -> dict[int, int]:
    """Bytes for each mapped operator that moves data, where it needs any."""
    inside = [op for op in model.operators if op.index in mapped]
    fresh = _fresh(model, inside)
    views = _views(inside)
    read = _read_as_they_are(model, inside)
    cycles: dict[int, int] = {}
    for op in inside:
        if op.name == "RESHAPE":
            cycles[op.index] = _flatten_cycles(op, fresh)
        elif _joins(op) or _splits(op):
            cycles[op.index] = sum(
                _gather_cycles(left, views.get(left.index, ()))
                for left in op.outputs
                if left.index in read
            )
    return {index: size for index, size in cycles.items() if size}


def _fresh(model: TfliteModel, inside: list[Operator]) -> set[int]:
    """Tensors that come from the host, which lays them out as they are wanted."""
    fresh = {tensor.index for tensor in model.inputs}
    made_inside = {t.index for op in inside for t in op.outputs}
    fresh |= {t.index for op in inside for t in op.computed() if t.index not in made_inside}
    for op in inside:
        if op.name == "QUANTIZE" and all(t.index in fresh for t in op.computed()):
            fresh |= {t.index for t in op.outputs}
    return fresh


def _joins(op: Operator) -> bool:
    if op.name != "CONCATENATION" or not op.outputs or not op.outputs[0].shape:
        return False
    parts = [t for t in op.inputs if t is not None]
    rank = len(op.outputs[0].shape)
    return op.options.axis % rank == rank - 1 and all(len(t.shape) == rank for t in parts)


def _splits(op: Operator) -> bool:
    source = op.input(1)
    return (
        op.name == "SPLIT"
        and source is not None
        and bool(source.shape)
        and all(t.shape[:-1] == source.shape[:-1] for t in op.outputs)
    )


def _views(inside: list[Operator]) -> Mapping[int, tuple[_Piece, ...]]:
    """Where the channels of joined and of split tensors lie."""
    views: dict[int, tuple[_Piece, ...]] = {}

    def pieces(tensor: TfliteTensor) -> tuple[_Piece, ...]:
        whole = _Piece(tensor.index, 0, tensor.shape[-1] if tensor.shape else 1)
        return views.get(tensor.index, (whole,))

    for op in inside:
        if _joins(op):
            joined = tuple(piece for t in op.inputs if t is not None for piece in pieces(t))
            if len(joined) <= MOST_PIECES:
                views[op.outputs[0].index] = joined
        elif _splits(op):
            source = op.inputs[1]
            if source is None:
                continue
            start = 0
            for left in op.outputs:
                count = left.shape[-1]
                views[left.index] = _cut(pieces(source), start, count)
                start += count
    return views


def _cut(pieces: tuple[_Piece, ...], start: int, count: int) -> tuple[_Piece, ...]:
    """A range of the channels that pieces make together."""
    pieces_cut: list[_Piece] = []
    at = 0
    for piece in pieces:
        low, high = max(start, at), min(start + count, at + piece.count)
        if low < high:
            pieces_cut.append(_Piece(piece.tensor, piece.start + low - at, high - low))
        at += piece.count
    return tuple(pieces_cut)


def _read_as_they_are(model: TfliteModel, inside: list[Operator]) -> set[int]:
    """Tensors that something other than a joint or a split reads."""
    read = {t.index for op in inside if not (_joins(op) or _splits(op)) for t in op.computed()}
    outside = {op.index for op in model.operators} - {op.index for op in inside}
    read |= {t.index for op in model.operators if op.index in outside for t in op.computed()}
    return read | {t.index for t in model.outputs}


def _gather_cycles(left: TfliteTensor, pieces: tuple[_Piece, ...]) -> int:
    """One tensor out of pieces; free where every piece keeps its place within the words."""
    at, aligned = 0, True
    for piece in pieces:
        aligned = aligned and piece.start % WORD == 0 and at % WORD == 0
        at += piece.count
    if aligned or at > ROW:  # how the compiler moves longer rows was not seen
        return 0
    blocks = sum(-(-(piece.start % WORD + piece.count) // WORD) for piece in pieces)
    return blocks_bytes(1, blocks * WORD, left.shape[-1], 1, image=is_image(left))


def flattening_matrices(inside: Iterable[Operator]) -> Iterator[tuple[Operator, int, int]]:
    """Operators that make one row of an image with several channels that fill no word: with the
    channels, and the bytes of the matrix that it takes."""
    for op in inside:
        source = op.input(0)
        if op.name != "RESHAPE" or source is None or not op.outputs or not source.shape:
            continue
        positions, channels = math.prod(source.shape[:-1]), source.shape[-1]
        if channels > 1 and channels % WORD and positions > 1 and not is_image(op.outputs[0]):
            size = blocks_bytes(positions, channels, op.outputs[0].elements, 1, image=False)
            yield op, channels, size


def _flatten_cycles(op: Operator, fresh: set[int]) -> int:
    """An image of channels that fill no word, made one row. What the host sends lies as it is
    wanted where it has one channel."""
    for _, _, size in flattening_matrices((op,)):
        return size
    source = op.input(0)
    if source is None or not op.outputs or source.shape[-1:] != (1,) or source.index in fresh:
        return 0
    if not is_image(source) or is_image(op.outputs[0]):
        return 0
    positions = math.prod(source.shape[:-1])
    return blocks_bytes(min(positions, LANES), WORD, LANES, 1, image=False)
