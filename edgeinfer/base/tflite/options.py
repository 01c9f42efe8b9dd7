# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What an operator's options say, as far as mapping, memory and time depend on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeinfer.base.tflite.flat import I8, I32, FlatTable
from edgeinfer.base.tflite.names import FUSED, name_of


@dataclass(frozen=True, slots=True)
class Options:
    """Options that several operators share; what an operator does not have keeps its default."""

    fused: str = "NONE"  # the activation that is computed with it
    strides: tuple[int, int] = (1, 1)  # y, x
    dilation: tuple[int, int] = (1, 1)  # y, x
    window: tuple[int, int] = (1, 1)  # of a pool: y, x
    same_padding: bool = False
    axis: int = 0
    keep_axes: bool = False
    default_weights: bool = True  # of a dense layer: row after row
    align_corners: bool = False
    half_pixel: bool = False
    depth_multiplier: int = 1
    count: int = 0  # of the parts of a split
    begin_mask: int = 0  # of a slice: axes from their start
    end_mask: int = 0  # axes to their end
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_mask: int = 0  # axes that go
    beta: float = 1.0  # of a softmax
    slope: float = 0.0  # of a leaky ReLU below zero
    approximate: bool = False  # of a GELU: by tanh
    turned: tuple[bool, bool] = (False, False)  # of a product: whether each side is transposed
    block: int = 1  # of pixels that are channels elsewhere
    batch_dims: int = 0  # of a gather
    symmetric: bool = False  # of a mirrored padding: with the edge twice


NONE: Final = Options()
# The union member that belongs to an operator, in the schema's numbering.
KINDS: Final = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 2,
    "AVERAGE_POOL_2D": 5,
    "MAX_POOL_2D": 5,
    "L2_POOL_2D": 5,
    "FULLY_CONNECTED": 8,
    "SOFTMAX": 9,
    "CONCATENATION": 10,
    "ADD": 11,
    "L2_NORMALIZATION": 12,
    "RESIZE_BILINEAR": 15,
    "SPACE_TO_DEPTH": 19,
    "MUL": 21,
    "GATHER": 23,
    "MEAN": 27,
    "SUM": 27,
    "REDUCE_MAX": 27,
    "REDUCE_MIN": 27,
    "SUB": 28,
    "DIV": 29,
    "STRIDED_SLICE": 32,
    "SPLIT": 35,
    "ARG_MAX": 40,
    "TRANSPOSE_CONV": 49,
    "ARG_MIN": 57,
    "PACK": 59,
    "UNPACK": 64,
    "RESIZE_NEAREST_NEIGHBOR": 74,
    "LEAKY_RELU": 75,
    "MIRROR_PAD": 77,
    "SPLIT_V": 79,
    "DEPTH_TO_SPACE": 94,
    "BATCH_MATMUL": 101,
    "GELU": 116,
}


def options_of(name: str, kind: int, table: FlatTable | None) -> Options:
    """An operator's options; those of another operator's kind are not read."""
    if table is None or KINDS.get(name) != kind:
        return NONE
    match name:
        case "CONV_2D":
            return replace(_sliding_options(table, 3), dilation=_pair(table, 5, 4))
        case "DEPTHWISE_CONV_2D":
            return replace(
                _sliding_options(table, 4),
                dilation=_pair(table, 6, 5),
                depth_multiplier=max(table.integer(3, I32), 1),
            )
        case "TRANSPOSE_CONV":
            return _sliding_options(table, 3)
        case "AVERAGE_POOL_2D" | "MAX_POOL_2D" | "L2_POOL_2D":
            return replace(_sliding_options(table, 5), window=_pair(table, 4, 3))
        case "FULLY_CONNECTED":
            return Options(
                fused=_fused_activation(table, 0),
                default_weights=table.integer(1, I8) == 0,
                keep_axes=table.flag(2),
            )
        case "CONCATENATION":
            return Options(fused=_fused_activation(table, 1), axis=table.integer(0, I32))
        case "ADD" | "SUB" | "MUL" | "DIV" | "L2_NORMALIZATION":
            return Options(fused=_fused_activation(table, 0))
        case "MEAN" | "SUM" | "REDUCE_MAX" | "REDUCE_MIN":
            return Options(keep_axes=table.flag(0))
        case "RESIZE_BILINEAR":
            return Options(align_corners=table.flag(2), half_pixel=table.flag(3))
        case "RESIZE_NEAREST_NEIGHBOR":
            return Options(align_corners=table.flag(0), half_pixel=table.flag(1))
        case "STRIDED_SLICE":
            return Options(
                begin_mask=table.integer(0, I32),
                end_mask=table.integer(1, I32),
                ellipsis_mask=table.integer(2, I32),
                new_axis_mask=table.integer(3, I32),
                shrink_mask=table.integer(4, I32),
            )
        case "SOFTMAX":
            return Options(beta=table.real(0))
        case "LEAKY_RELU":
            return Options(slope=table.real(0))
        case "GELU":
            return Options(approximate=table.flag(0))
        case "SPLIT" | "SPLIT_V":
            return Options(count=table.integer(0, I32))
        case "PACK" | "UNPACK":
            return Options(axis=table.integer(1, I32))
        case "SPACE_TO_DEPTH" | "DEPTH_TO_SPACE":
            return Options(block=max(table.integer(0, I32), 1))
        case "GATHER":
            return Options(axis=table.integer(0, I32), batch_dims=table.integer(1, I32))
        case "MIRROR_PAD":
            return Options(symmetric=table.integer(0, I8) == 1)
        case "BATCH_MATMUL":
            return Options(turned=(table.flag(0), table.flag(1)))
        case _:  # nothing reads the options of the others
            return NONE


def _sliding_options(table: FlatTable, fused: int) -> Options:
    """What all operators that slide a window begin with; `fused` is their activation's slot."""
    return Options(
        fused=_fused_activation(table, fused),
        strides=_pair(table, 2, 1),
        same_padding=table.integer(0, I8) == 0,
    )


def _fused_activation(table: FlatTable, slot: int) -> str:
    return name_of(table.integer(slot, I8), FUSED)


def _pair(table: FlatTable, y: int, x: int) -> tuple[int, int]:
    """Two numbers that are at least 1."""
    return max(table.integer(y, I32, 1), 1), max(table.integer(x, I32, 1), 1)
