# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How much of each layer is computed at once: as little as a goal allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.ir.ops import Concat, Input, Pair, Pool, Reshape, inputs_of
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.layers import MatrixLayer, layer_of, layers_of
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.sparse.blocks import front_pixels
from edgeinfer.targets.rtl.sparse.ops import SiteFront, SiteOp

WIDEST_INPUT_BITS = 1024  # of an AXI4-Stream


@dataclass(frozen=True, slots=True)
class UnrolledFigures:
    """What an unrolled network consists of: additions, and the full adders they take; stages, and
    the bits registered between them. `period_ps` is what its slowest stage takes by the
    family's delays, where these are known."""

    additions: int
    adder_bits: int
    stages: int
    register_bits: int
    period_ps: int | None


@dataclass(frozen=True, slots=True)
class Folding:
    """For every layer its fold; for every input how many elements come at once. Of a network that
    is unrolled wholly also what there is instead of multipliers."""

    folds: Mapping[str, Fold]
    lanes: Mapping[str, int]
    unrolled: UnrolledFigures | None = None

    def lanes_after(self, value: str, program: Program) -> int:
        """Elements that the first layer which reads a value takes at once; 1 if none does."""
        for op in program.ops:
            if value not in inputs_of(op):
                continue
            if (layer := layer_of(op, program)) is not None:
                return layer.lanes(self.folds[op.name])
            if isinstance(op, Reshape):
                return self.lanes_after(op.name, program)
        return 1

    def multipliers(self) -> int:
        """How many there are."""
        if self.unrolled is not None:
            return 0
        return sum(fold.pe * fold.simd for fold in self.folds.values())


def folding_from_settings(program: Program, settings: RtlSettings) -> Folding:
    """The foldings that the settings name, and one multiplier for every other layer."""
    layers = {layer.op: layer for layer in layers_of(program)}
    folds = dict.fromkeys(layers, Fold())
    for name, fold in settings.folds:
        if name not in layers:
            raise UsageError(
                f"{program.name} has no layer {name!r} to fold.",
                hint=did_you_mean(name, layers) or f"Its layers: {', '.join(layers)}.",
            )
        layer = layers[name]
        if not layer.fits(fold):
            raise UsageError(
                f"{name} has {layer.outputs} outputs of {layer.inputs} inputs, which a folding of "
                f"{fold.pe} x {fold.simd} does not divide.",
                hint=f"Choose pe of {_list_divisors(layer.outputs)}; simd of "
                f"{_list_divisors(layer.inputs)}.{_group_hint(layer)}",
            )
        folds[name] = fold
    return Folding(folds, _lanes(program, folds, settings))


def keeping_up(program: Program, cycles: int, settings: RtlSettings) -> Folding:
    """The fewest multipliers with which every layer takes at most so many cycles a frame; a layer
    that cannot is unfolded wholly."""
    folds_asked = dict(settings.folds)
    folds = {
        layer.op: folds_asked.get(layer.op) or narrowest(layer, cycles)
        for layer in layers_of(program)
    }
    return Folding(folds, _lanes(program, folds, settings))


def narrowest(layer: MatrixLayer, cycles: int) -> Fold:
    """The cheapest fold within so many cycles. Of equals the one with the most outputs at once, as
    adder trees are shallower; but a window's chunks should be whole pixels or divide one."""
    choices = [Fold(pe, simd) for pe in divisors(layer.outputs) for simd in divisors(layer.inputs)]
    fitting = [fold for fold in choices if layer.fits(fold) and layer.cycles(fold) <= cycles]
    if not fitting:
        return Fold(layer.outputs, layer.inputs)
    return min(fitting, key=lambda fold: (fold.pe * fold.simd, fold.simd))


def divisors(number: int) -> list[int]:
    """All of them, in order."""
    return [d for d in range(1, number + 1) if number % d == 0]


def _list_divisors(number: int) -> str:
    all_divisors = divisors(number)
    return ", ".join(map(str, all_divisors[:12])) + (", ..." if len(all_divisors) > 12 else "")


def _group_hint(layer: MatrixLayer) -> str:
    if layer.groups == 1:
        return ""
    own = layer.outputs // layer.groups
    return (
        f" A group has {own} of the outputs: pe divides that, or is a multiple of it and simd one "
        f"of {layer.channels}."
    )


def _lanes(program: Program, folds: Mapping[str, Fold], settings: RtlSettings) -> dict[str, int]:
    """Inputs come as their first reader wants them: a pixel for a window, SIMD for a matrix."""
    lanes_asked = dict(settings.lanes)
    layers = {layer.op: layer for layer in layers_of(program)}
    lanes_by_op: dict[str, int] = {}
    for op in program.inputs:
        size = math.prod(op.shape)
        lanes = lanes_asked.pop(op.name, None)
        if lanes is None:
            lanes = math.gcd(_lanes_of_input(op, program, folds, layers), size)
            while lanes * op.type.bits > WIDEST_INPUT_BITS:
                lanes = max(d for d in divisors(lanes) if d < lanes)
        elif size % lanes:
            raise UsageError(
                f"The {size} elements of the input {op.name} do not come {lanes} at a time.",
                hint=f"Choose one of {_list_divisors(size)}.",
            )
        lanes_by_op[op.name] = lanes
    if lanes_asked:
        name = next(iter(lanes_asked))
        raise UsageError(
            f"{program.name} has no input {name!r}.",
            hint=did_you_mean(name, lanes_by_op) or f"Its inputs: {', '.join(lanes_by_op)}.",
        )
    return lanes_by_op


def _lanes_of_input(
    op: Input, program: Program, folds: Mapping[str, Fold], layers: Mapping[str, MatrixLayer]
) -> int:
    """Follow the first reader of each value to the first layer."""
    name = op.name
    for reader in program.ops:
        if name not in inputs_of(reader):
            continue
        if isinstance(reader, SiteOp):
            if isinstance(reader, SiteFront):
                channels = len(reader.look)
                bits = op.type.bits
                return channels * front_pixels(reader.grid_of, channels, bits, WIDEST_INPUT_BITS)
            return 1
        layer = layers.get(reader.name)
        if layer is not None and not layer.sliding:
            return layer.lanes(folds[reader.name])
        if layer is not None or isinstance(reader, Pool):
            return program.shapes[name][-1]
        if isinstance(reader, Concat | Pair | Reshape):
            return 1
        name = reader.name
    return 1
