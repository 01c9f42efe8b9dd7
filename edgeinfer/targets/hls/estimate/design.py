# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as a chain of stages: which ops become layers, and which melt into the one before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.program import Program, body_of
from edgeinfer.targets.hls.estimate.elementwise import (
    clip_stage,
    mean_stage,
    move_stage,
    pair_stage,
    passing_stage,
    pool_stage,
    prelu_stage,
    relu_cuts,
    relu_luts,
    requant_luts,
    scale_stage,
    softmax_stage,
    table_stage,
)
from edgeinfer.targets.hls.estimate.fabric import HlsTool, Store, fifo, handed_element, whole_word
from edgeinfer.targets.hls.estimate.linear import conv_stage, dense_stage
from edgeinfer.targets.hls.estimate.loop import loop_stage
from edgeinfer.targets.hls.estimate.reuse import effective_strategy, positions_at_once, reuse_of
from edgeinfer.targets.hls.estimate.sites import first_stage, token_stage
from edgeinfer.targets.hls.estimate.stage import (
    HLS4ML_SUM_BITS,
    Arrangement,
    HardwareStage,
    Value,
    value_of,
)
from edgeinfer.targets.hls.settings import Arithmetic, HlsSettings, IoType
from edgeinfer.targets.hls.sparse.ops import SiteStep
from edgeinfer.targets.hls.sparse.rewrite import tokens_of


@dataclass(frozen=True, slots=True)
class Design:
    """All stages, what lies between them, and what comes in and goes out."""

    arrangement: Arrangement
    stages: tuple[HardwareStage, ...]
    between: tuple[tuple[str, Store], ...]  # by the stage that writes it
    inputs: tuple[Value, ...]
    outputs: tuple[str, ...]  # stages


@dataclass(slots=True)
class _Build:
    program: Program
    settings: HlsSettings
    arrangement: Arrangement
    only: dict[str, HardwareStage]  # stages that are known already, by op
    stages: dict[str, HardwareStage] = field(default_factory=dict)
    makers: dict[str, str | None] = field(default_factory=dict)  # value -> stage; None: an input
    values: dict[str, Value] = field(default_factory=dict)

    def walk(self) -> None:
        """Every op in order."""
        for op in self.program.ops:
            self._visit(op)

    def _visit(self, op: ops.Op) -> None:
        shapes = self.program.shapes
        out = value_of(shapes[op.name], op.type.bits)
        match op:
            case ops.Input() | ops.Constant():
                self.makers[op.name], self.values[op.name] = None, out
                return
            case ops.Reshape():
                laid = self.values[op.x]
                self.makers[op.name] = self.makers[op.x]
                same_rows = laid.positions > 1 and len(op.shape) > 1
                self.values[op.name] = out if same_rows else laid
                return
            case ops.Requant() if self._melts(op):
                self._melt(op, out)
                return
            case _:  # `_stage` knows every op
                stage = self.only.get(op.name) or self._stage(op, out)
                self.stages[op.name] = stage
                self.makers[op.name], self.values[op.name] = op.name, stage.out

    def _reads(self, op: ops.Op) -> tuple[str, ...]:
        makers = [self.makers[x] for x in ops.inputs_of(op)]
        return tuple(dict.fromkeys(name for name in makers if name is not None))

    def _melts(self, op: ops.Requant) -> bool:
        """Whether a rounding is the result type of the layer before: all but those that cut off
        what is negative, which are activations of their own (unless one has done it already)."""
        maker = self.makers[op.x]
        if maker is None:
            return False
        cuts_off = not op.type.signed and self.program.type(op.x).signed
        return not cuts_off or self.stages[maker].kind in ("clip", "relu", "table", "softmax")

    def _melt(self, op: ops.Requant, out: Value) -> None:
        maker = self.makers[op.x]
        assert maker is not None
        stage, x = self.stages[maker], self.program.type(op.x)
        each = requant_luts(self.arrangement.fabric, op, x.bits, x.frac)
        laid = Value(stage.out.positions, stage.out.channels, out.bits)
        copies = self.arrangement.copies(laid)
        narrowed = self.arrangement.output_ff(laid) - self.arrangement.output_ff(stage.out)
        grown = stage.plus(lut=copies * each, ff=max(narrowed, -stage.ff))
        self.stages[maker] = replace(grown, out=laid)
        self.makers[op.name], self.values[op.name] = maker, laid

    def _is_mean(self, op: ops.Scale) -> bool:
        """Whether it makes a mean of a pool's sum."""
        source = next(each for each in self.program.ops if each.name == op.x)
        summed = isinstance(source, ops.Pool) and source.kind is ops.PoolKind.SUM
        return summed and not np.any(op.bias) and bool(np.all(op.factor == op.factor.flat[0]))

    def _laid(self, names: tuple[str, ...]) -> list[Value]:
        return [self.values[name] for name in names]

    def _kept_bits(self, op: ops.Op) -> int | None:
        """Bits to which products and sums are cut; None where all are kept."""
        if self.arrangement.arithmetic is Arithmetic.EXACT:
            return None
        stated = dict(self.settings.sum_bits_of).get(op.name)
        if stated is not None:
            return min(op.type.bits, stated)
        readers = [reader for reader in self.program.ops if op.name in ops.inputs_of(reader)]
        if len(readers) == 1 and isinstance(readers[0], ops.Requant) and readers[0].type.signed:
            return readers[0].type.bits
        return min(op.type.bits, HLS4ML_SUM_BITS)

    def _stage(self, op: ops.Op, out: Value) -> HardwareStage:
        a, reads = self.arrangement, self._reads(op)
        shapes, values = self.program.shapes, self.values
        kept = self._kept_bits(op)
        step: object = op
        if isinstance(step, SiteStep):
            return token_stage(a, step, self._laid(ops.inputs_of(step)), out, reads)
        match op:
            case ops.Dense():
                strategy = effective_strategy(op.name, self.settings)
                reuse = reuse_of(op, self.settings)
                return dense_stage(a, op, values[op.x], out, kept, strategy, reuse, reads)
            case ops.Conv():
                strategy = effective_strategy(op.name, self.settings)
                reuse, size = reuse_of(op, self.settings), shapes[op.x]
                at_once = positions_at_once(op.name, out.positions, self.settings)
                return conv_stage(
                    a, op, size, values[op.x], out, kept, strategy, reuse, reads, at_once
                )
            case ops.Scale() if a.arithmetic is Arithmetic.HLS4ML and self._is_mean(op):
                return mean_stage(a, op, values[op.x], _like(values[op.x], out), reads)
            case ops.Scale():
                return scale_stage(a, op, values[op.x], _like(values[op.x], out), reads)
            case ops.Clip():
                return clip_stage(a, op, values[op.x], _like(values[op.x], out), reads)
            case ops.Requant():
                x, laid = values[op.x], _like(values[op.x], out)
                type_ = self.program.type(op.x)
                each = requant_luts(a.fabric, op, x.bits, type_.frac)
                cuts = 0
                if not op.type.signed and type_.signed:
                    each += relu_luts(a.fabric, x, laid)
                    cuts = 0 if a.streamed else relu_cuts(a.fabric)
                lut = a.copies(laid) * each
                return passing_stage(a, op.name, "relu", reads, x, laid, lut=lut, cuts=cuts)
            case ops.PRelu():
                return prelu_stage(a, op, values[op.x], _like(values[op.x], out), reads)
            case ops.Table():
                return table_stage(a, op, values[op.x], _like(values[op.x], out), reads)
            case ops.Softmax():
                shared = a.arithmetic is Arithmetic.HLS4ML  # our own softmax has all multipliers
                reuse = self.settings.reuse_for(op.name) if shared else 1
                return softmax_stage(a, op, values[op.x], _like(values[op.x], out), reads, reuse)
            case ops.Pool():
                return pool_stage(a, op, shapes[op.x], values[op.x], out, reads)
            case ops.Pair():
                return pair_stage(a, op, values[op.a], values[op.b], out, reads)
            case ops.Concat():
                x = max((values[x] for x in op.xs), key=lambda value: value.positions)
                return move_stage(a, op.name, "concat", x, out, reads, stores_all=False)
            case ops.Sites():
                return first_stage(a, op, values[op.x], out, reads)
            case ops.Scan():
                inner = replace(a, io=IoType.PARALLEL)
                frames = replace(self.settings, sparse="frames")
                body = design_of(body_of(op), frames, inner).stages
                sequences, states = self._laid(op.xs), self._laid(op.starts)
                steps = shapes[op.xs[0]][0]
                return loop_stage(a, op.name, steps, body, sequences, states, out, reads)
            case ops.Input() | ops.Constant() | ops.Reshape():
                raise AssertionError(op)  # no stage, see `_visit`
            case ops.Moves():
                kind, ordered = (
                    type(op).__name__.lower(),
                    isinstance(op, ops.Pad | ops.Upsample | ops.Slice),
                )
                return move_stage(
                    a, op.name, kind, values[op.x], out, reads, stores_all=not ordered
                )
            case _:
                assert_never(op)


def design_of(
    program: Program,
    settings: HlsSettings,
    arrangement: Arrangement,
    only: dict[str, HardwareStage] | None = None,
) -> Design:
    """The design that a project of the Program and the settings becomes.

    only: stages of layers that are known already.
    """
    if settings.sparse == "tokens":
        program = tokens_of(program)
    build = _Build(program, settings, arrangement, only or {})
    build.walk()
    outputs = tuple(
        dict.fromkeys(
            maker for out in program.outputs if (maker := build.makers[out.value]) is not None
        )
    )
    stages = tuple(build.stages.values())
    inputs = tuple(value_of(op.shape, op.type.bits) for op in program.inputs)
    between = (*_before(arrangement, stages, inputs), *_between(arrangement, stages))
    return Design(arrangement, stages, between, inputs, outputs)


def layer_stages(
    program: Program,
    arrangement: Arrangement,
    variants: dict[str, tuple[HlsSettings, ...]],
) -> dict[str, tuple[HardwareStage, ...]]:
    """The stages of single layers under several settings each, as `design_of` takes them."""
    first = next(iter(variants.values()))[0]
    if first.sparse == "tokens":
        program = tokens_of(program)
    build = _Build(program, first, arrangement, {})
    stages_by_op: dict[str, tuple[HardwareStage, ...]] = {}
    for op in program.ops:
        if op.name not in variants:
            build._visit(op)
            continue
        out = value_of(program.shapes[op.name], op.type.bits)
        stages = []
        for settings in variants[op.name]:
            build.settings = settings
            stages.append(build._stage(op, out))
        stages_by_op[op.name] = tuple(stages)
        build.only[op.name] = stages[0]
        build._visit(op)
    return stages_by_op


def _before(
    a: Arrangement, stages: tuple[HardwareStage, ...], inputs: tuple[Value, ...]
) -> tuple[tuple[str, Store], ...]:
    """What the first of several tasks reads in Vivado HLS where all elements are at hand: each
    input whole, as one word in a FIFO of two places."""
    tasks = not a.streamed and any(stage.looped for stage in stages) and len(stages) > 1
    if not tasks or a.fabric.tool is not HlsTool.VIVADO:
        return ()
    return tuple((stages[0].name, whole_word(value.all_bits)) for value in inputs)


def _between(a: Arrangement, stages: tuple[HardwareStage, ...]) -> tuple[tuple[str, Store], ...]:
    """A FIFO for each reader of each stage, as deep as the tensor has positions."""
    readers = Counter(name for stage in stages for name in stage.reads)
    runs_alone = a.streamed or any(stage.looped for stage in stages)
    if not runs_alone:
        return ()
    stores = []
    for stage in stages:
        for _ in range(readers[stage.name]):
            value = stage.out
            if a.streamed:
                store = fifo(a.fabric, value.positions, value.bits, value.channels)
            else:
                one = handed_element(a.fabric, value.bits)
                store = Store(one.lut * value.elements, one.ff * value.elements)
            stores.append((stage.name, store))
    return tuple(stores)


def _like(x: Value, out: Value) -> Value:
    """An element-wise result is laid out as what it reads."""
    return Value(x.positions, x.channels, out.bits) if x.elements == out.elements else out
