# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The layer that makes a score computed by the host, in integers, with 16 bits for its sums.

The file then ends with what that layer reads, in int8, and `ports.json` holds the layer's weights.
The file's Program has the layer with its 16 bits, so that file and host together equal it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from edgeinfer.ir.ops import Dense, Input, Op, Requant, inputs_of
from edgeinfer.ir.passes import drop_dead
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.tflite.ports import HostLayer, TflitePort
from quantization.fixed import Fixed, Overflow, Rounding

BITS = 16


def can_leave(program: Program, op: Op) -> bool:
    """Whether the host can compute a layer: a dense one that nothing else reads, and that is not
    the whole network."""
    readers = [other for other in program.ops if op.name in inputs_of(other)]
    return isinstance(op, Dense) and not readers and not isinstance(program[op.x], Input)


def wide_type(type_: Fixed) -> Fixed:
    """The 16 bits that hold every sum of a type, as fine as they can."""
    spare = max(type_.bits + (not type_.signed) - BITS, 0)
    return Fixed(True, BITS, BITS - type_.frac + spare)


def hold_widely(op: Op, type_: Fixed) -> Requant:
    """A layer's sums on 16 bits, ties upwards."""
    return Requant(f"{op.name}.int16", type_, op.name, Rounding.RND, Overflow.SAT)


def end_before(program: Program, hosted: Collection[str]) -> Program:
    """What stays in the file: some outputs leave where the host's layers begin."""
    outputs = tuple(
        replace(output, value=_layer_of(program, output.value).x)
        if output.name in hosted
        else output
        for output in program.outputs
    )
    return drop_dead(Program(program.name, program.ops, outputs))


def port_of_layer(port: TflitePort, program: Program, value: str) -> TflitePort:
    """A score that the host makes of what a port of the file gives."""
    op, layer = program[value], _layer_of(program, value)
    frac = program.type(layer.x).frac
    # The file's levels are the Program's: raw = stored - zero point.
    assert port.scale == 2.0**-frac
    return replace(
        port,
        shape=program.shapes[value],
        type="INT16",
        scale=op.type.lsb,
        zero_point=0,
        layer=HostLayer(
            port.shape,
            port.type,
            port.scale,
            port.zero_point,
            tuple(map(tuple, layer.weight.astype(np.int64).tolist())),
            tuple(np.broadcast_to(layer.bias.astype(np.int64), layer.weight.shape[1:]).tolist()),
            layer.shift(frac),
            layer.type.frac - op.type.frac,
        ),
    )


def ports_with_layers(
    ports: tuple[TflitePort, ...], program: Program, hosted: Collection[str]
) -> tuple[TflitePort, ...]:
    """A file's outputs, those that the host goes on with as what it makes of them."""
    values: Mapping[str, str] = {output.name: output.value for output in program.outputs}
    return tuple(
        port_of_layer(port, program, values[port.name]) if port.name in hosted else port
        for port in ports
    )


def _layer_of(program: Program, value: str) -> Dense:
    op = program[value]
    layer = program[op.x] if isinstance(op, Requant) else op
    assert isinstance(layer, Dense)
    return layer
