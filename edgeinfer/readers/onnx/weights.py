# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Kernels and biases of a file: on their integer grid, with the scale that the grid leaves over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Floats
from edgeinfer.readers.grids import fixed_bias
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import ONE, ZERO, Const, Grid
from edgeinfer.readers.onnx.ops import UnreadableModelError
from quantization.fixed import Fixed, Quantizer, fixed_of_range
from quantization.ranges import shrink_array
from quantization.recipe import WeightFormat

MAX_SPREAD_BITS = 24  # between channels whose steps are powers of two


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """What the layer multiplies with; the file's weights are values x scale."""

    values: Floats
    scale: Floats  # for each output channel, or one for all
    format: WeightFormat | None


def finite(const: Const, what: str) -> Floats:
    """The constant as numbers to compute with."""
    values = np.asarray(const.value, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UnreadableModelError(f"its {what} has NaN or infinity")
    return values


def transpose_const(const: Const, order: Sequence[int]) -> Const:
    """The constant with its axes in another order, its grid too."""
    return move_const(const, lambda values: values.transpose(order))


def move_const(const: Const, move: Any) -> Const:
    """The constant after something that only moves elements."""
    grid = const.grid
    if grid is not None:
        grid = replace(grid, whole=move(grid.whole), step=move(grid.step))
    return Const(move(const.value), grid)


def powers_of_two(steps: NDArray[Any]) -> bool:
    """Whether all are."""
    return bool((np.frexp(np.asarray(steps, dtype=np.float64))[0] == 0.5).all())


def grid_type(low: int, high: int, step: float) -> Fixed:
    """The type of low..high times a power of two."""
    return fixed_of_range(low, high, 1 - int(np.frexp(step)[1]))


def kernel_of(d: Drawing, const: Const, name: str) -> Kernel:
    """A kernel whose last axis counts output channels."""
    values = finite(const, "weights")
    grid = const.grid
    if grid is None:
        return Kernel(values, ONE, None)
    steps = grid.step.reshape(-1, grid.step.shape[-1])
    if (steps == steps[0]).all():
        return _by_channel(values, grid, steps[0])
    if powers_of_two(steps):
        finest = float(steps.min())
        whole = values / finest
        return Kernel(
            values,
            ONE,
            WeightFormat.of(Quantizer(grid_type(int(whole.min()), int(whole.max()), finest))),
        )
    fixed = fixed_bias(values)
    d.findings.append(
        f"{name}: its weights' scale varies along their inputs; they are held in "
        f"{fixed.format.bits} bits, with an error of at most {fixed.error:.1e} of the largest."
    )
    return Kernel(fixed.values, ONE, fixed.format)


def _by_channel(values: Floats, grid: Grid, steps: Floats) -> Kernel:
    empty = ~grid.whole.reshape(-1, len(steps)).any(axis=0)
    if not empty.all():
        steps = np.where(empty, steps[~empty].max(), steps)
    exponents = np.frexp(steps)[1]
    if powers_of_two(steps) and int(exponents.max() - exponents.min()) <= MAX_SPREAD_BITS:
        quantizers = [Quantizer(grid_type(grid.low, grid.high, float(step))) for step in steps]
        if len(set(quantizers)) == 1:
            quantizers = quantizers[:1]
        return Kernel(grid.whole * steps, ONE, WeightFormat.of(*quantizers))
    whole = WeightFormat.of(Quantizer(fixed_of_range(grid.low, grid.high, 0)))
    return Kernel(grid.whole, shrink_array(steps), whole)


@dataclass(frozen=True, slots=True, eq=False)
class Bias:
    """What a layer adds itself, and what is left to add after its scale."""

    inside: Floats | None
    format: WeightFormat | None
    after: Floats


def bias_of(d: Drawing, const: Const | None, factor: float, scale: Floats, channels: int) -> Bias:
    """The bias of a layer whose products are still to be multiplied by `scale`."""
    if const is None:
        return Bias(None, None, ZERO)
    values = factor * finite(const, "bias")
    if any(size != 1 for size in values.shape[:-1]):
        raise UnreadableModelError(f"its bias has the shape {values.shape}")
    flat = values.reshape(-1)
    if flat.size not in (1, channels):
        raise UnreadableModelError(
            f"a bias of {flat.size} numbers does not fit {channels} channels"
        )
    flat = np.broadcast_to(flat, (channels,)).astype(np.float64)
    grid = const.grid
    if (scale == 1.0).all():
        return _inside(d, flat, None if factor != 1.0 else grid)
    if grid is not None and factor == 1.0:
        steps = np.broadcast_to(grid.step.reshape(-1), (channels,))
        if np.allclose(steps, np.broadcast_to(scale, (channels,)), rtol=1e-6, atol=0.0):
            whole = np.broadcast_to(grid.whole.reshape(-1), (channels,)).copy()
            type_ = fixed_of_range(int(whole.min(initial=0)), int(whole.max(initial=0)), 0)
            return Bias(whole, WeightFormat.of(Quantizer(type_)), ZERO)
    return Bias(None, None, shrink_array(flat))


def _inside(d: Drawing, values: Floats, grid: Grid | None) -> Bias:
    if not d.quantized:
        return Bias(values.copy(), None, ZERO)
    if grid is not None:
        steps = grid.step.reshape(-1)
        if powers_of_two(steps) and (steps == steps[0]).all():
            type_ = grid_type(grid.low, grid.high, float(steps[0]))
            return Bias(values.copy(), WeightFormat.of(Quantizer(type_)), ZERO)
    fixed = fixed_bias(values, exact=d.stepwise)
    return Bias(fixed.values, fixed.format, ZERO)
