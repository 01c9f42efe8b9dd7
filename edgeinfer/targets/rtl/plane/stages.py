# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The shared part of a network as circuits: each stage yields a place in every cycle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.base.names import identifier
from edgeinfer.event.prefix import Cut, PlaceStage
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Input, Pool, PoolKind
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.design.netlist import BarePort, BareTop, Stream
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.unrolled.delays import in_levels
from edgeinfer.targets.rtl.unrolled.pipeline import Bundle, Pipeline
from edgeinfer.targets.rtl.unrolled.registers import stage_circuit
from edgeinfer.targets.rtl.unrolled.unroll import unroll
from quantization.fixed import Fixed, Ints, fixed_of_range

LEVELS = 1  # of adders between two registers: the clock counts here, latency does not
NO_PADS = ((0, 0), (0, 0))


@dataclass(frozen=True, slots=True)
class StageCircuit:
    """One step from place to place. `source` and `result` are of a channel."""

    stage: PlaceStage
    program: Program  # of one window
    source: Fixed
    result: Fixed
    channels: int  # of a place that it reads
    pipeline: Pipeline

    @property
    def module(self) -> str:
        """The module that takes a window in every cycle."""
        assert self.pipeline.bare is not None  # each is made with one
        return self.pipeline.bare.module

    def files(self) -> Mapping[str, bytes]:
        """The module, and the tables in it."""
        return {f"{self.module}.v": self.pipeline.text(), **self.pipeline.tables()}


def build_stages(cut: Cut) -> tuple[StageCircuit, ...]:
    """The circuits of a cut, first to last."""
    (source,) = cut.program.inputs
    type_, channels = source.type, source.shape[2]
    circuits: list[StageCircuit] = []
    for number, stage in enumerate(cut.stages):
        program = _program_of(stage, type_, channels, f"{cut.program.name}_stage{number}")
        output = program.outputs[0].value
        result = program.type(output)
        circuits.append(
            StageCircuit(stage, program, type_, result, channels, _pipeline(program, result))
        )
        type_, channels = result, math.prod(program.shapes[output])
    return tuple(circuits)


def empty_place(cut: Cut, stages: tuple[StageCircuit, ...]) -> Ints:
    """The channels of a place that sees no charge."""
    row: Ints = np.zeros(cut.program.inputs[0].shape[2], np.int64)
    for each in stages:
        (source,) = each.program.inputs
        window = np.broadcast_to(row, source.shape)[None]
        values = results(each.program, interpret(each.program, {source.name: window}))
        row = values[each.program.outputs[0].name].reshape(-1)
    return row


def _program_of(stage: PlaceStage, type_: Fixed, channels: int, name: str) -> Program:
    """What a window yields, from numbers as the stage before leaves them."""
    if stage.program is not None:
        source_name = stage.program.inputs[0].name
        ops = tuple(
            replace(op, type=type_) if isinstance(op, Input) and op.name == source_name else op
            for op in stage.program.ops
        )
        return replace(stage.program, name=name, ops=ops)
    assert stage.pool is not None  # a stage pools or has a program
    low, high = stage.low, stage.high
    result = type_ if stage.pool is PoolKind.MAX else fixed_of_range(low, high, type_.frac)
    window = Input("window", type_, (*stage.window, channels))
    pool = Pool("y", result, "window", stage.pool, stage.window, (1, 1), NO_PADS)
    return Program(name, (window, pool), (Output("y", "y"),))


def _pipeline(program: Program, result: Fixed) -> Pipeline:
    network = unroll(program, count_readers(program))
    (source,) = program.inputs
    wires = tuple(network.values[program.outputs[0].value].flat)
    size = math.prod(source.shape)
    input_stream = Stream("s0", source.type, size, 1)
    staging = stage_circuit(network.circuit, wires, in_levels(network.circuit), LEVELS)
    output = Bundle("m0", wires, result, staging.last)
    module = identifier(program.name)
    pipeline = Pipeline(module, network.circuit, staging, (input_stream,), (output,), {}, {})
    ports = (
        BarePort("s0_data", input_stream.width, is_input=True),
        BarePort("m0_data", result.bits * len(wires), is_input=False),
    )
    return replace(pipeline, bare=BareTop(module, module, pipeline.latency, ports), alone=True)
