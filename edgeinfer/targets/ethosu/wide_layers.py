# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Dense layers that read more numbers than an axis of the NPU holds, as convolutions.

A tensor's axes are counted in 16 bits, so that an image of more than 65,536 numbers cannot be made
one row. A window over the whole image computes the same sums from the image itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from edgeinfer.graph.nodes import Shape
from edgeinfer.ir.ops import Clip, Conv, Dense, Op, Requant, Reshape
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import Program

LONGEST_AXIS: Final = 1 << 16
TALLEST_WINDOW: Final = 64  # Vela's limits of a convolution's window
LARGEST_WINDOW: Final = 64 * 64
IMAGE_RANKS: Final = (2, 3)  # with channels, without the batch


def spread_wide_layers(program: Program) -> Program:
    """The same Program; each dense layer that is too wide reads the image that was flattened for
    it. One that has no such image, or too large a one, stays."""
    ops: list[Op] = []
    for op in program.ops:
        wide = isinstance(op, Dense) and op.weight.shape[0] > LONGEST_AXIS
        ops += _over_image(program, op) if wide and isinstance(op, Dense) else [op]
    return drop_dead(replace(program, ops=tuple(ops)))


def _over_image(program: Program, layer: Dense) -> list[Op]:
    """The layer as a window over the whole image; what lies between is done to the image."""
    between: list[Requant | Clip] = []
    flat = program[layer.x]
    while isinstance(flat, Requant | Clip):
        between.append(flat)
        flat = program[flat.x]
    if not isinstance(flat, Reshape) or len(program.shapes[layer.x]) != 1:
        return [layer]
    image = program.shapes[flat.x]
    if not _holds_window(image):
        return [layer]
    ops: list[Op] = []
    source = flat.x
    for step in reversed(between):
        source, before = f"{layer.name}.{step.name}", source
        ops.append(replace(step, name=source, x=before))
    axes = len(image) - 1
    window = Conv(
        f"{layer.name}.window",
        layer.type,
        source,
        layer.weight.reshape(*image, -1),
        layer.weight_type,
        layer.bias,
        strides=(1,) * axes,
        pads=((0, 0),) * axes,
        dilation=(1,) * axes,
    )
    outputs = layer.weight.shape[1:]
    return [*ops, window, Reshape(layer.name, layer.type, window.name, outputs)]


def _holds_window(image: Shape) -> bool:
    """Whether a convolution's window may be as large as an image."""
    if len(image) not in IMAGE_RANKS:
        return False
    *sizes, channels = image
    tall = sizes[0] if len(sizes) > 1 else 1  # a row is an image one pixel high
    return (
        tall <= TALLEST_WINDOW and math.prod(sizes) <= LARGEST_WINDOW and channels <= LONGEST_AXIS
    )
