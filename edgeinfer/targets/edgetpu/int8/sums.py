# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A layer's sums inside int8: weights, biases and factors by channel, such that the kernels round
the sums as the Program does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8.grid import MOST_WEIGHT, ChannelWeights, Window, by_channel
from edgeinfer.targets.edgetpu.int8.rounding import NOTHING, Tilt, ending_of
from quantization.fixed import Ints, Rounding

Layer = Accumulates | ops.Scale
INT32: Final = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelSums:
    """What makes a layer's sums."""

    weights: ChannelWeights
    bias: Ints
    tilts: tuple[Tilt, ...]  # of each channel's factor

    def part(self, own: slice) -> ChannelSums:
        """Some of the channels."""
        grid = ChannelWeights(self.weights.raw[..., own], self.weights.fracs[own])
        return ChannelSums(grid, self.bias[own], self.tilts[own])

    @property
    def uniform(self) -> bool:
        """Whether one scale serves all channels."""
        return self.weights.uniform and len(set(self.tilts)) == 1


def settle_sums(
    op: Layer, x_frac: int, channels: int, window: Window, rounding: Rounding | None
) -> ChannelSums:
    """A layer's sums, doubled where there is room, and nudged as their rounding needs it."""
    weights = _layer_weights(op, x_frac, channels)
    if weights is None:
        raise AssertionError("weights wider than 8 bits should have been refused before")
    endings = [NOTHING] * weights.fracs.size
    shifts = weights.fracs + x_frac - window.frac
    if rounding is not None and (shifts > 0).any():
        roomy = _roomy_channels(weights)
        weights = ChannelWeights(weights.raw << roomy, weights.fracs + roomy)
        endings = [
            ending_of(rounding, int(shift) + int(twice), doubled=bool(twice)) if shift > 0 else end
            for end, shift, twice in zip(endings, shifts, roomy, strict=True)
        ]
    sums = weights.fracs + x_frac
    wide = np.broadcast_to(op.bias.reshape(-1), sums.shape).astype(np.float64)
    whole = np.rint(np.ldexp(wide, sums - op.type.frac)) + [end.added for end in endings]
    bias = np.clip(whole, INT32.min, INT32.max).astype(np.int64)
    return ChannelSums(weights, bias, tuple(end.tilt for end in endings))


def can_double(op: Layer, x_frac: int) -> bool:
    """Whether every sum of a layer can be doubled."""
    weights = _layer_weights(op, x_frac)
    return weights is not None and bool(_roomy_channels(weights).all())


def product_bits(op: Layer, x_frac: int) -> Ints:
    """By how many bits the products of each channel are coarser than the grid of a layer's result,
    whatever grid its weights are given."""
    weights = _layer_weights(op, x_frac)
    bits: Ints = np.zeros(op.bias.size, np.int64)
    if weights is not None:
        bits = np.maximum(op.type.frac - weights.fracs - x_frac, 0)
    return bits.reshape(op.bias.shape) if bits.size == op.bias.size else bits


def _whole_bias(op: Layer, x_frac: int) -> ops.Weights:
    """A layer's bias in whole products, on its own grid, for a file holds no finer one."""
    spare = product_bits(op, x_frac)
    wide = op.bias.astype(np.int64)
    if wide.shape != spare.shape:
        wide = np.broadcast_to(wide.reshape(-1), spare.shape)
    whole = (wide + (1 << spare >> 1)) >> spare << spare
    return op.bias if (whole == wide).all() else ops.pack_weights(whole)


def whole_biases(program: Program) -> tuple[Program, list[str]]:
    """The Program with every bias in whole products, and which biases were finer."""
    op_list = {op.name: op for op in program.ops}
    for op in program.ops:
        if not isinstance(op, Layer) or isinstance(program[op.x], ops.Pool):
            continue  # the factor of a mean has no bias
        bias = _whole_bias(op, program.type(op.x).frac)
        if bias is not op.bias:
            op_list[op.name] = replace(op, bias=bias)
    finer = [name for name, op in op_list.items() if op is not program[name]]
    findings = [
        f"{name}: its bias is finer than its products and is rounded to them." for name in finer
    ]
    return Program(program.name, tuple(op_list.values()), program.outputs), findings


def longest_shift(op: Layer, x_frac: int, frac: int) -> int:
    """By how many bits a layer's sums are divided to end on a grid, before they are doubled."""
    weights = _layer_weights(op, x_frac)
    return 0 if weights is None else int(weights.fracs.max()) + x_frac - frac


def floor_bias(op: Layer, x_frac: int, shift: int) -> Ints:
    """What to add to a layer's bias, on its own grid, so that rounding to nearest at `shift` cuts
    off instead: half a step less, and one product more, so that no sum is a tie where it is below
    zero. A sum just below a step goes up to it; every other is cut off."""
    spare = product_bits(op, x_frac)
    added: Ints = np.where(spare >= shift, 0, (1 << spare) - (1 << shift >> 1))
    return added


def _layer_weights(op: Layer, x_frac: int, channels: int | None = None) -> ChannelWeights | None:
    """A layer's weights as int8; None where they do not fit.

    Where a bias is finer than the products, weights that leave room are stored on a finer grid, so
    that the products are as fine as the bias.
    """
    if isinstance(op, ops.Scale):
        count = max(op.factor.size, op.bias.size) if channels is None else channels
        wide = np.broadcast_to(op.factor.reshape(-1), (count,)).astype(np.int64)
        weight, frac = ops.pack_weights(wide), op.factor_type.frac
    else:
        weight, frac = op.weight, op.weight_type.frac
    channel_weights = by_channel(weight, frac)
    if channel_weights is None:
        return None
    most = int(np.abs(channel_weights.raw).max(initial=0))
    raised = 0
    while op.bias.any() and _finer(op.bias, op.type.frac, channel_weights.fracs + x_frac + raised):
        if most << (raised + 1) > MOST_WEIGHT:
            break
        raised += 1
    return ChannelWeights(channel_weights.raw << raised, channel_weights.fracs + raised)


def _roomy_channels(weights: ChannelWeights) -> NDArray[np.bool_]:
    """Which channels' weights leave room for another bit. Where one grid serves all, either all of
    them or none: grids by channel cost memory on the chip."""
    inner = tuple(range(weights.raw.ndim - 1))
    roomy: NDArray[np.bool_] = np.abs(weights.raw).max(axis=inner, initial=0) <= MOST_WEIGHT // 2
    return np.full_like(roomy, roomy.all()) if weights.uniform else roomy


def _finer(bias: ops.Weights, bias_frac: int, fracs: Ints) -> bool:
    """Whether a bias is not a whole number of products."""
    spare = np.maximum(bias_frac - fracs, 0)
    wide = np.broadcast_to(bias.astype(np.int64).reshape(-1), fracs.shape)
    return bool((wide & ((1 << spare) - 1)).any())
