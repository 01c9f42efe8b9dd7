# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How many bytes the instructions of mapped operators take.

Compiled files show what they are for. The executable that caches parameters takes 128 bytes for
each transfer beside a constant, to the byte in ten of twelve files: a row of up to 64 output
channels is one transfer where the image is small, a layer is one where it is large. The executable
that computes is written operator by operator: the transfers, the window's positions one after
another, the words of channels that are joined or split, the elements of a softmax. What only
changes a scale or a shape is part of its neighbours.

The five numbers are fitted to twelve compiled files, which are met within 11 % on average, and each
left out of the fit within 17 % (40 % at most). Which terms there are was chosen with the same files
in view, so that others may be farther off: the band is a factor of 2.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from edgeinfer.base.tflite.model import Operator
from edgeinfer.targets.edgetpu.predict.packing import ROW

OPERATOR_BYTES: Final = 2_485
TRANSFER_BYTES: Final = 666
TAP_BYTES: Final = 60
JOIN_BYTES: Final = 5_810
SOFTMAX_ELEMENT_BYTES: Final = 8.3
SMALL_IMAGE: Final = 64  # positions; 8 x 8 goes by rows, 23 x 31 by layers, none between was seen
PART_OF_NEIGHBOURS: Final = ("QUANTIZE", "RESHAPE")
INSTRUCTION_BAND: Final = 2.0  # a factor


def instruction_bytes_of(inside: Collection[Operator]) -> int:
    """What the instructions of mapped operators take, by their kinds and sizes."""
    total = sum(map(_operator_bytes, inside))
    return round(max(total, OPERATOR_BYTES)) if inside else 0


def _operator_bytes(op: Operator) -> float:
    if op.name in PART_OF_NEIGHBOURS:
        return 0.0
    total = float(OPERATOR_BYTES)
    weights = op.input(1)
    if weights is not None and weights.constant:
        total += _weights_bytes(op, weights.shape)
    if op.name in ("CONCATENATION", "SPLIT"):
        total += JOIN_BYTES
    if op.name == "SOFTMAX":
        total += SOFTMAX_ELEMENT_BYTES * op.outputs[0].elements
    return total


def _weights_bytes(op: Operator, shape: tuple[int, ...]) -> float:
    """What a layer's transfers and its window add."""
    positions = math.prod(op.outputs[0].shape[:-1])
    match op.name, shape:
        case (("CONV_2D" | "TRANSPOSE_CONV"), (outputs, height, width, _)):
            channels, taps = outputs, height * width
        case "DEPTHWISE_CONV_2D", (_, height, width, outputs):
            channels, taps = outputs, height * width
        case "FULLY_CONNECTED", (outputs, _):
            channels, taps = outputs, 0
        case _:  # the others have no layer's weights
            return 0.0
    transfers = -(-channels // ROW) if positions <= SMALL_IMAGE else 1
    return TRANSFER_BYTES * transfers + TAP_BYTES * taps
