# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What folding can choose: the layers that multiply, and how often each does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.ir.bases import Accumulates, NamedValue
from edgeinfer.ir.ops import Conv, Dense, Scan, Shape
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.recurrence import repeated_body, steps_of
from edgeinfer.targets.rtl.settings import Fold
from quantization.fixed import Fixed, Ints


@dataclass(frozen=True, slots=True)
class Grouping:
    """How a matrix's channels fall apart: groups computed at once, how often, a tap's channels."""

    at_once: int = 1
    rounds: int = 1
    channels: int = 1


ALL_MEET = Grouping()


@dataclass(frozen=True, slots=True)
class MatrixLayer:
    """A matrix that meets `vectors` vectors of each frame. `sliding`: they are windows.

    Where channels are in groups there is a matrix for each: `inputs` are those of an output, in a
    window's taps of `channels` each, `outputs` those of all groups."""

    op: str
    inputs: int
    outputs: int
    vectors: int
    weight_type: Fixed
    sliding: bool
    groups: int = 1
    channels: int = 1

    def cycles(self, fold: Fold) -> int:
        """A frame's cycles, if nothing is waited for."""
        return self.vectors * (self.inputs // fold.simd) * (self.outputs // fold.pe)

    def beats(self, fold: Fold) -> int:
        """A frame's beats of inputs."""
        rounds = self.groups // self.groups_at_once(fold)
        return self.vectors * (self.inputs // fold.simd) * rounds

    def lanes(self, fold: Fold) -> int:
        """Elements of such a beat: the inputs of an output, in each of the groups."""
        return fold.simd * self.groups_at_once(fold)

    def groups_at_once(self, fold: Fold) -> int:
        """Groups of which outputs are computed in one cycle."""
        return max(fold.pe * self.groups // self.outputs, 1)

    def grouping(self, fold: Fold) -> Grouping:
        """How its groups are computed. Where all is computed at once, nothing is: weights that
        never change are sums of shifted inputs, in which the zeros between groups take nothing."""
        if self.groups == 1 or self.is_whole(fold):
            return ALL_MEET
        at_once = self.groups_at_once(fold)
        return Grouping(at_once, self.groups // at_once, self.channels)

    def fits(self, fold: Fold) -> bool:
        """Whether the folding divides the layer evenly: a part of one group's outputs or all of
        several groups', and of several whole taps of the window, as they come side by side."""
        if self.outputs % fold.pe or self.inputs % fold.simd:
            return False
        own = self.outputs // self.groups
        return own % fold.pe == 0 or (fold.pe % own == 0 and fold.simd % self.channels == 0)

    def is_whole(self, fold: Fold) -> bool:
        """Whether all is computed at once, by weights that never change."""
        return (fold.pe, fold.simd) == (self.outputs, self.inputs)

    @property
    def weight_bits(self) -> int:
        """Bits of its weights."""
        return self.inputs * self.outputs * self.weight_type.bits


def layer_of(op: NamedValue, program: Program) -> MatrixLayer | None:
    """The op as a layer; None for ops that do not multiply by a matrix."""
    match op:
        case Conv():
            *window, channels, outputs = op.weight.shape
            inputs = math.prod(window) * channels
            vectors = math.prod(program.shapes[op.name][:-1])
            slides = not pointwise(op)
            return MatrixLayer(
                op.name, inputs, outputs, vectors, op.weight_type, slides, op.groups,
                channels if op.groups > 1 else 1,
            )  # fmt: skip
        case Dense():
            vectors = math.prod(program.shapes[op.name][:-1])
            inputs, outputs = op.weight.shape
            return MatrixLayer(op.name, inputs, outputs, vectors, op.weight_type, sliding=False)
        case _:  # as the docstring says
            return None


def layers_of(program: Program) -> tuple[MatrixLayer, ...]:
    """All layers of a Program, in order; those of a recurrence's body meet vectors in each step."""
    layers: list[MatrixLayer] = []
    for op in program.ops:
        if isinstance(op, Scan):
            steps = steps_of(op, program)
            inside = layers_of(repeated_body(op, program))
            layers += (replace(layer, vectors=steps * layer.vectors) for layer in inside)
        elif (layer := layer_of(op, program)) is not None:
            layers.append(layer)
    return tuple(layers)


def pointwise(op: Conv) -> bool:
    """Whether a convolution looks at one pixel at a time, and at every one."""
    ones = (*op.window, *op.strides)
    return all(size == 1 for size in ones) and all(pad == (0, 0) for pad in op.pads)


def tiles_rows(op: Conv, image: Shape) -> bool:
    """Whether its windows are pieces of rows, side by side, that leave nothing out. Then the pixels
    come as the windows hold them, one behind the other."""
    *others, width = op.window
    return (
        all(size == 1 for size in others)
        and op.strides == op.window
        and op.dilation[-1] == 1
        and image[-2] % width == 0
        and all(pad == (0, 0) for pad in op.pads)
    )


def matrix_of(op: Accumulates) -> Ints:
    """The weights as (inputs, outputs); where channels are in groups, zeros join them."""
    weight = op.weight.astype(np.int64)
    if not isinstance(op, Conv):
        return weight
    inside, outside = weight.shape[-2], weight.shape[-1] // op.groups
    taps = math.prod(weight.shape[:-2])
    grouped = weight.reshape(taps, inside, op.groups, outside)
    full = np.zeros((taps, op.groups, inside, op.groups, outside), dtype=np.int64)
    for group in range(op.groups):
        full[:, group, :, group] = grouped[:, :, group]
    return full.reshape(taps * op.groups * inside, op.groups * outside)
