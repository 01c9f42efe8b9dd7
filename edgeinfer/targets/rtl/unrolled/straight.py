# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A whole network as one pipeline: when that is done, and the netlist around it."""

from __future__ import annotations

import math
from dataclasses import replace

from edgeinfer.base.errors import UsageError
from edgeinfer.base.names import identifier, remark
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.ops import Constant, Input, Op, Scan, Shape, Sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design import blocks
from edgeinfer.targets.rtl.design.build import Build
from edgeinfer.targets.rtl.design.folding import WIDEST_INPUT_BITS, Folding
from edgeinfer.targets.rtl.design.layers import layer_of, layers_of, matrix_of
from edgeinfer.targets.rtl.design.netlist import (
    BarePort,
    BareTop,
    Netlist,
    NetlistPort,
    Probe,
    Stream,
)
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.unrolled.cheapest import AdderSearch
from edgeinfer.targets.rtl.unrolled.halves import fold_halves
from edgeinfer.targets.rtl.unrolled.pace import place_registers, reckon_period_ps
from edgeinfer.targets.rtl.unrolled.pipeline import Bundle, Pipeline
from edgeinfer.targets.rtl.unrolled.shift_add import digit_count
from edgeinfer.targets.rtl.unrolled.unroll import unroll

NAME = "pipeline"


def is_unrolled(program: Program, settings: RtlSettings) -> bool:
    """Whether the network is to be unrolled: as the settings say, or where a frame a cycle is the
    goal and it is small enough."""
    if settings.sparse == "tokens":
        return False
    match settings.unroll:
        case "full":
            return True
        case "never":
            return False
        case "auto":
            pass
    if any(isinstance(op, Scan | Sites) for op in program.ops):
        return False
    rate = settings.throughput
    if rate is None or int(settings.clock_mhz * 1e6 / rate) > 1:
        return False
    return size_of(program) <= settings.unroll_most and not wide_inputs(program, settings)


def size_of(program: Program) -> int:
    """What unrolling makes: digits of weights that are not zero, once for every vector, and the
    elements of all other values."""
    return sum(_size(op, program) for op in program.ops)


def _size(op: Op, program: Program) -> int:
    layer = layer_of(op, program)
    if layer is None:
        return 0 if isinstance(op, Input | Constant) else math.prod(program.shapes[op.name])
    assert isinstance(op, Accumulates)
    return digit_count(matrix_of(op)) * layer.vectors


def wide_inputs(program: Program, settings: RtlSettings) -> list[Input]:
    """Inputs of which a frame is wider than a beat can be."""
    lanes_asked = dict(settings.lanes)
    return [
        op
        for op in program.inputs
        if lanes_asked.get(op.name, math.prod(op.shape)) * op.type.bits > WIDEST_INPUT_BITS
    ]


def build_straight(program: Program, settings: RtlSettings) -> tuple[Folding, Netlist]:
    """The design of a Program that `check` has found nothing against; queues are still short."""
    folding = _folding(program, settings)
    uses = count_readers(program)
    build = Build(program, folding, uses)
    cheaper, raised_values = fold_halves(program)
    network = unroll(cheaper, uses, AdderSearch(settings.adder_tries, settings.adder_goal))
    leaving = [w for output in program.outputs for w in network.values[output.value].flat]
    staging = place_registers(network.circuit, leaving, settings)
    made = staging.stages
    whole: list[Stream] = []
    for op in program.inputs:
        if not uses[op.name]:
            continue
        size = math.prod(op.shape)
        stream = build.stream(op.name, op.type, folding.lanes[op.name], size)
        build.inputs.append(NetlistPort(op.name, stream.name))
        build.place(blocks.ingress(stream, op.name))
        build.values[op.name] = stream.name
        whole.append(build.with_lanes(stream, size, op.name))
    bundles, sinks = [], []
    for number, output in enumerate(program.outputs):
        wires, type_ = tuple(network.values[output.value].flat), program[output.value].type
        bundles.append(Bundle(f"m{number}", wires, type_, staging.last))
        sinks.append(build.stream(f"{output.name}_made", type_, len(wires), len(wires)))
    name = build.name(NAME)
    probes: dict[str, Probe] = {}
    watched: dict[str, Bundle] = {}
    for value, places in network.values.items():
        inner = program[value]
        if isinstance(inner, Input | Constant) or value in raised_values:
            continue
        wires = tuple(places.flat)
        stream = Stream(build.name(value), inner.type, len(wires), 1)
        stage = max(made[w.number] for w in wires)
        build.values[value] = stream.name
        probes[stream.name] = Probe(stream, name, stage)
        watched[stream.name] = Bundle(stream.name, wires, inner.type, stage)
    remarks = {
        first: remark(f"%{value}: {program[value].type}, {_shape_text(program.shapes[value])}")
        for first, value in network.begins.items()
    }
    module = f"{identifier(program.name)}_{NAME}"
    pipeline = Pipeline(
        module, network.circuit, staging, tuple(whole), tuple(bundles), watched, remarks
    )
    if settings.interface == "bare":
        pipeline = replace(pipeline, bare=_bare_top(pipeline, program, name))
    build.place(pipeline.block(name, program.outputs[0].value, sinks))
    outputs = []
    for output, stream in zip(program.outputs, sinks, strict=True):
        build.place(blocks.egress(stream, output.value, build.name(f"{output.name}_out")))
        outputs.append(NetlistPort(output.name, stream.name))
    period_ps = reckon_period_ps(network.circuit, leaving, staging, settings)
    folding = replace(folding, unrolled=pipeline.figures(period_ps))
    netlist = build.netlist(tuple(outputs))
    return folding, replace(netlist, probes=probes, bare=pipeline.bare)


def _bare_top(pipeline: Pipeline, program: Program, block: str) -> BareTop:
    """The pipeline's inside as a module to be used by itself."""
    input_ports = [(f"s{n}_data", stream.width) for n, stream in enumerate(pipeline.inputs)]
    output_ports = [(f"{b.prefix}_data", b.type.bits * len(b.wires)) for b in pipeline.outputs]
    ports = [BarePort(name, bits, True) for name, bits in [*input_ports, ("valid", 1)]]
    ports += [BarePort(name, bits, False) for name, bits in [*output_ports, ("done", 1)]]
    module = f"{identifier(program.name)}_bare"
    return BareTop(module, block, pipeline.latency, tuple(ports))


def _shape_text(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "1"


def _folding(program: Program, settings: RtlSettings) -> Folding:
    folds = {layer.op: Fold(layer.outputs, layer.inputs) for layer in layers_of(program)}
    lanes_asked = dict(settings.lanes)
    lanes = {op.name: lanes_asked.get(op.name, math.prod(op.shape)) for op in program.inputs}
    for op in program.inputs:
        if math.prod(op.shape) % lanes[op.name]:
            raise UsageError(
                f"The {math.prod(op.shape)} elements of the input {op.name} do not come "
                f"{lanes[op.name]} at a time.",
                hint="Choose a number that divides them.",
            )
    return Folding(folds, lanes)
