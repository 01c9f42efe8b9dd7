# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks to int8 `.tflite` files: the batch fixed at 1, inputs and outputs by name and in the
model's order, nothing left in floating point.

A Program states every number of its file, so that this is written as it is. A float network is
calibrated by TensorFlow's converter, which is imported for that alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import (
    Offence,
    ProgramError,
    UnsupportedModelError,
)
from edgeinfer.base.tflite import model as tflite
from edgeinfer.base.tflite.flat import U32, Flat, FlatError
from edgeinfer.base.tflite.model import (
    IDENTIFIER,
    TfliteModel,
    TfliteTensor,
    broken_file_error,
)
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.plain_sites import limited_sites, spell_sites
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.ir.unroll import count_unrolled, recurrences_of, unroll_recurrences
from edgeinfer.targets.edgetpu.int8.calibrate import convert_drawing, keys_of
from edgeinfer.targets.edgetpu.int8.fold_scales import nearest_int8_program
from edgeinfer.targets.edgetpu.int8.host_layer import end_before, ports_with_layers
from edgeinfer.targets.edgetpu.int8.narrowing import narrow_program
from edgeinfer.targets.edgetpu.int8.network import draw_network
from edgeinfer.targets.edgetpu.int8.one_rounding import source_of
from edgeinfer.targets.edgetpu.int8.output_levels import ScoreRange
from edgeinfer.targets.edgetpu.int8.rounding import LONGEST_SHIFT
from edgeinfer.targets.edgetpu.int8.storage import leaves_padding_out, plan_storage
from edgeinfer.targets.edgetpu.int8.sums import can_double, longest_shift
from edgeinfer.targets.edgetpu.int8.tables import tables_cut_off
from edgeinfer.targets.edgetpu.int8.working_points import LastLayer
from edgeinfer.targets.edgetpu.int8_settings import Fallback
from edgeinfer.targets.edgetpu.predict.rules import EIGHT_BITS
from edgeinfer.targets.edgetpu.tflite.ports import TflitePort, TflitePorts
from edgeinfer.targets.edgetpu.tflite.versions import COMPILER, readable
from edgeinfer.targets.edgetpu.tflite.writing import write_model
from quantization.fixed import Ints


def reorder_ports(
    data: bytes, source: str, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> bytes:
    """The same file with its inputs and outputs in the order of the given names."""
    changed = bytearray(data)
    try:
        root = Flat.over(data).root(IDENTIFIER)
        graph, signature = root.tables(2)[0], root.tables(7)[0]
        for slot, names in ((1, inputs), (2, outputs)):
            numbers = {table.text(0): table.integer(1, U32) for table in signature.tables(slot - 1)}
            indices = [numbers[key] for key in names.values()]
            if sorted(indices) != sorted(graph.numbers(slot, "<i4").tolist()):
                raise FlatError("its signature names other tensors than its graph")
            at = graph.start(slot)
            changed[at : at + 4 * len(indices)] = np.asarray(indices, "<i4").tobytes()
    except (FlatError, KeyError, IndexError) as error:
        raise broken_file_error(source, FlatError(str(error))) from None
    return bytes(changed)


MOST_STEPS = 2000  # operators that steps of recurrences may become
HINT = "Give 8-bit formats: edgeinfer quantize MODEL --bits 8."


@dataclass(frozen=True, slots=True, eq=False)
class ConvertedFile:
    """A `.tflite` file, and how its ports are read. `program` is what it computes, where it was
    made from one; else None: it was calibrated."""

    data: bytes
    model: TfliteModel
    ports: TflitePorts
    program: Program | None
    findings: tuple[str, ...]


def check(program: Program) -> tuple[Offence, ...]:
    """Every op of a Program that int8 operators have no equal for."""
    if offences := _without_operators(program):
        return offences
    try:
        steps = unroll_recurrences(spell_sites(program))
        return plan_storage(narrow_program(steps, sampled=False).program).offences
    except ProgramError as error:  # what is exact in the Program is not on int8 levels
        return (Offence(program.name, "Program", error.message),)


def _without_operators(program: Program) -> tuple[Offence, ...]:
    """What of a Program has no operator, and cannot be written in others."""
    return (
        *states_without_ports(program),
        *limited_sites(program, "an int8 file"),
        *_too_long(program),
        *tables_cut_off(program),
    )


def states_without_ports(program: Program) -> tuple[Offence, ...]:
    """Inputs that are states: a file's output and its input would have to be one tensor."""
    reason = (
        "its state goes from sample to sample, and an int8 file keeps none. Use HLS or RTL, or a "
        "model that is given its state (initial_state) and returns it (return_state=True)"
    )
    return tuple(Offence(name, "Input", reason) for name in program.states)


def nearest_program(program: Program, fallback: Fallback) -> tuple[Program, list[str]]:
    """The Program, or its nearest int8 form where it has no equal and that was asked for; and what
    was changed."""
    if fallback is Fallback.FLOAT or not check(program):
        return program, []
    return nearest_int8_program(program)


def _too_long(program: Program) -> tuple[Offence, ...]:
    """Recurrences have no operator of their own: their steps follow each other in the file."""
    count = count_unrolled(program)
    if not recurrences_of(program) or count <= MOST_STEPS:
        return ()
    reason = (
        f"an int8 file has no loops, so a recurrence becomes as many operators as it has steps; "
        f"these would be {count:,}, and at most {MOST_STEPS:,} are written. Shorten the sequence"
    )
    return tuple(Offence(name, "Scan", reason) for name in recurrences_of(program))


def convert_program(
    program: Program,
    raw: Mapping[str, Ints] | None = None,
    source: str | None = None,
    score_range: ScoreRange | None = None,
    last_layer: LastLayer = LastLayer.AUTO,
) -> ConvertedFile:
    """A Program whose formats have 8 bits or fewer, every weight and level its own. Outputs that
    are sums leave on levels that the samples show; the result's `program` says so."""
    if offences := _without_operators(program):
        raise UnsupportedModelError(source or program.name, offences)
    small = narrow_program(
        unroll_recurrences(spell_sites(program)),
        raw,
        score_range=score_range,
        last_layer=last_layer,
    )
    storage = plan_storage(end_before(small.program, small.hosted))
    if storage.offences:
        raise UnsupportedModelError(source or program.name, storage.offences, hint=HINT)
    model = draw_network(storage)
    inputs = [op.name for op in small.program.inputs]
    outputs = [output.name for output in small.program.outputs]
    data = write_model(model, inputs, outputs)
    hosts = {output.name: output.host for output in small.program.outputs}
    file = _finish_file(data, program.name, inputs, outputs, hosts, small.fine)
    findings = (*file.findings, *small.findings, *_findings(storage.program))
    leaving = ports_with_layers(file.ports.outputs, small.program, small.hosted)
    ports = replace(file.ports, outputs=leaving)
    return replace(file, program=small.program, ports=ports, findings=findings)


def convert_graph(graph: Graph, samples: Mapping[str, NDArray[np.float64]]) -> ConvertedFile:
    """A float network, its ranges calibrated on samples. A final softmax or sigmoid is left to the
    host."""
    from edgeinfer.targets.edgetpu.int8.convert_graph import draw

    hosts = host_functions(graph)
    shapes = {node.name: node.shape for node in graph.inputs}
    data = convert_drawing(
        lambda inputs: draw(graph, inputs, hosts), shapes, list(graph.outputs), samples
    )
    enter, leave = keys_of(list(shapes)), keys_of(graph.outputs)
    left = {name: function for name, (_, function) in hosts.items()}
    ordered = reorder_ports(data, graph.name, enter, leave)
    return _finish_file(ordered, graph.name, list(shapes), list(graph.outputs), left)


def _findings(program: Program) -> Iterator[str]:
    """Where kernels may give another level than the Program."""
    full = []
    for op in program.ops:
        if isinstance(op, ops.Requant) and isinstance(
            source := source_of(program, op), Accumulates
        ):
            shift = longest_shift(source, program.type(source.x).frac, op.type.frac)
            if shift > LONGEST_SHIFT:
                yield (
                    f"{op.name}: sums are divided by 2^{shift}. LiteRT's kernels are exact up to "
                    f"2^{LONGEST_SHIFT}; beyond, a sum near a tie may round to the other side."
                )
        if isinstance(op, ops.Scale) and leaves_padding_out(program, op):
            yield (
                f"{op.name}: where padding is left out of a mean, LiteRT's kernels send halves "
                f"away from the middle of the levels, at most one step from the Program."
            )
        if isinstance(op, ops.Softmax):
            yield (
                f"{op.name}: LiteRT's softmax is the function's nearest level; the Program's "
                f"tables may be one step beside it."
            )
        if isinstance(op, ops.Conv) and not can_double(op, program.type(op.x).frac):
            full.append(op.name)
    if full:
        yield (
            f"Weights of {', '.join(full)} take all 8 bits, so that sums cannot be doubled: the "
            f"reference kernels round a sum just below a tie up, one step at most for each value. "
            f"LiteRT's default kernels do not."
        )


def _finish_file(
    data: bytes,
    source: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    hosts: Mapping[str, HostFunction],
    fine: Mapping[str, str] = MappingProxyType({}),
) -> ConvertedFile:
    """Ports in the model's order; an error where anything is left in floating point."""
    model = tflite.parse(data, source)
    floats = [op for op in model.operators if any(not _eight(t) for t in _activations(op))]
    if floats:
        raise UnsupportedModelError(
            source,
            [Offence(f"operator {op.index}", op.title, "stays in floating point") for op in floats],
            hint="Replace what is listed by layers that have int8 operators.",
        )
    findings = [
        f"Compiler {COMPILER} does not know {op.title} version {op.version}."
        for op in model.operators
        if not readable(op.name, op.version)
    ]
    return ConvertedFile(
        data,
        model,
        TflitePorts(
            tuple(_port(name, tensor) for name, tensor in zip(inputs, model.inputs, strict=True)),
            tuple(
                replace(
                    _port(name, tensor, hosts.get(name, HostFunction.NONE)),
                    fine_of=fine.get(name, ""),
                )
                for name, tensor in zip(outputs, model.outputs, strict=True)
            ),
        ),
        None,
        tuple(dict.fromkeys(findings)),
    )


def _activations(op: tflite.Operator) -> tuple[TfliteTensor, ...]:
    return (*op.computed(), *op.outputs)


def _eight(tensor: TfliteTensor) -> bool:
    return tensor.type in EIGHT_BITS


def _port(name: str, tensor: TfliteTensor, host: HostFunction = HostFunction.NONE) -> TflitePort:
    scale = float(tensor.scales[0]) if tensor.scales.size else 1.0
    zero = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    return TflitePort(name, tensor.shape[1:], tensor.type, scale, zero, host)
