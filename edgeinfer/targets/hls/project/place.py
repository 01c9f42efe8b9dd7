# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a Program to the layers of a project: each op one layer of hls4ml's, or of ours, or none."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import assert_never

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.ops import Op, inputs_of
from edgeinfer.ir.plain_sites import is_limited
from edgeinfer.ir.program import Program, body_of
from edgeinfer.targets.hls.project import exact_layers, native_layers, site_layers
from edgeinfer.targets.hls.project.layout import LOOP, ProjectLayout
from edgeinfer.targets.hls.project.spec import (
    Plan,
    ProjectOutput,
    StoredIntegers,
    exactly,
)
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.sparse.ops import SiteStep
from edgeinfer.targets.hls.sparse.rewrite import lay_program

MOST_READERS = 7  # of one stream, in hls4ml


def lay_out(program: Program, settings: HlsSettings, names: set[str] | None = None) -> Plan:
    """The layers of a whole Program, and everything in it that cannot be expressed.

    names: those of layers around it, which gets its own as well.
    """
    laid = lay_program(program, settings.sparse)
    live = laid.program
    layout = ProjectLayout(
        live, settings, laid.ranges, laid.shown, set() if names is None else names
    )
    layout.offences += laid.offences
    for output in live.outputs:
        if isinstance(live[output.value], ops.Constant):
            layout.refuse(live[output.value], f"the output {output.name} depends on no input")
    scalars = [op for op in live.ops if not live.shapes[op.name]]
    for op in scalars:
        layout.refuse(op, "a value without axes has no place in an array or a stream")
    if scalars or laid.offences:
        return _finish_plan(layout, (), ())
    for op in live.ops:
        _place(layout, op)
    outputs = _outputs(layout) if not layout.offences else ()
    counters = _counters(layout) if names is None and not layout.offences else ()
    _check_readers(layout)
    return _finish_plan(layout, outputs, counters)


def _finish_plan(
    layout: ProjectLayout,
    outputs: tuple[ProjectOutput, ...],
    counters: tuple[ProjectOutput, ...],
) -> Plan:
    inputs = tuple(layer.name for layer in layout.layers if layer.kind == native_layers.INPUT)
    return Plan(
        layout.program,
        tuple(layout.layers),
        inputs,
        outputs,
        counters,
        tuple(layout.offences),
        tuple(layout.findings),
    )


def _place(layout: ProjectLayout, op: Op) -> None:
    missing = [x for x in inputs_of(op) if x not in layout.of_value and layout.constant(x) is None]
    if missing:  # what it reads has been refused
        return
    step: object = op
    if isinstance(step, SiteStep):
        site_layers.place_step(layout, step)
        return
    match op:
        case ops.Constant():
            pass  # lies beside the layer that reads it
        case ops.Input():
            native_layers.place_input(layout, op)
        case ops.Conv():
            native_layers.place_conv(layout, op)
        case ops.Dense():
            native_layers.place_dense(layout, op)
        case ops.Requant():
            native_layers.place_requant(layout, op)
        case ops.Clip():
            native_layers.place_clip(layout, op)
        case ops.Pool():
            native_layers.place_pool(layout, op)
        case ops.Pair():
            exact_layers.place_pair(layout, op)
        case ops.Reshape():
            native_layers.place_reshape(layout, op)
        case ops.Concat():
            exact_layers.place_concat(layout, op)
        case ops.Scale():
            exact_layers.place_scale(layout, op)
        case ops.PRelu():
            exact_layers.place_prelu(layout, op)
        case ops.Table():
            exact_layers.place_table(layout, op)
        case ops.Softmax():
            exact_layers.place_softmax(layout, op)
        case ops.Scan():
            _place_scan(layout, op)
        case ops.Sites():
            site_layers.place_sites(layout, op)
        case ops.Moves():
            exact_layers.place_move(layout, op)
        case _:
            assert_never(op)


def _place_scan(layout: ProjectLayout, op: ops.Scan) -> None:
    """A loop around the body's layers, which are in arrays whatever the project is in. The states
    of the first step are layers, or lie beside the loop where they are not all zero."""
    inside = replace(layout.settings, io=IoType.PARALLEL, sparse="frames")
    plan = lay_out(body_of(op), inside, layout.names)
    layout.offences += [
        replace(offence, path=f"{op.name}/{offence.path}") for offence in plan.offences
    ]
    layout.findings += plan.findings
    inputs, starts, stored = list[str](), list[str](), list[StoredIntegers]()
    for number, value in enumerate(inputs_of(op)):
        constant = layout.constant(value)
        if constant is None:
            inputs.append(layout.of_value[value])
            starts.append("layer")
        elif number < len(op.xs):
            layout.refuse(op, f"its sequence %{value} depends on no input")
            return
        elif np.any(constant.value):
            array = StoredIntegers(f"start{number}", constant.value, constant.type)
            stored.append(array)
            starts.append(array.name)
        else:
            starts.append("zeros")
    layout.add(
        op, LOOP, tuple(inputs), layout.program.shapes[op.name], exactly(op.type),
        attributes={
            "stored": layout.own_layer(op, tuple(stored)),
            "steps": layout.program.shapes[op.xs[0]][0],
            "sequences": len(op.xs),
            "starts": tuple(starts[len(op.xs) :]),
            "stacked": op.stacked,
        },
        body=plan,
    )  # fmt: skip


def _outputs(layout: ProjectLayout) -> tuple[ProjectOutput, ...]:
    """The layers that hold the results. A value that is also read inside, or is two results, or an
    input, gets a copy: an output port is written once and never read."""
    read = {x for layer in layout.layers for x in layer.inputs}
    layers_taken: set[str] = set()
    outputs_placed = []
    for output in layout.program.outputs:
        op = layout.program[output.value]
        layer = layout.of_value[output.value]
        kind = next(
            project_layer.kind for project_layer in layout.layers if project_layer.name == layer
        )
        if (
            layer in read
            or layer in layers_taken
            or kind in (native_layers.INPUT, native_layers.RESHAPE)
        ):
            layer = layout.exact(
                op, "requant", (layer,), layout.program.shapes[op.name], exactly(op.type),
                part="_copy", value=output.value,
            )  # fmt: skip
        layers_taken.add(layer)
        outputs_placed.append(ProjectOutput(output.name, output.value, layer))
    return tuple(outputs_placed)


def _counters(layout: ProjectLayout) -> tuple[ProjectOutput, ...]:
    """A port for each limit that a frame's lit pixels may exceed."""
    program = layout.program
    limited = [op for op in program.ops if isinstance(op, ops.Sites) and is_limited(op, program)]
    return tuple(site_layers.place_counter(layout, op) for op in limited)


def _check_readers(layout: ProjectLayout) -> None:
    """In a stream every value is read, and by few enough layers."""
    if not layout.streams:
        return
    readers = Counter(x for layer in layout.layers for x in layer.inputs)
    for layer in layout.layers:
        op = layout.program[layer.op]
        if isinstance(op, ops.Input) and not readers[layer.name]:
            layout.refuse(op, "nothing reads it, so its stream would fill up and stall the design")
        if readers[layer.name] > MOST_READERS:
            layout.refuse(
                op, f"{readers[layer.name]} layers read it; hls4ml copies a stream {MOST_READERS} "
                f"times at most",
            )  # fmt: skip
