# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks to int8 `.tflite` files, by TensorFlow's converter: the batch fixed at 1, inputs and
outputs by name and in the model's order, and nothing left in floating point."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import Offence, ToolFailedError, UnsupportedModelError
from edgeinfer.graph import Graph, Shape
from edgeinfer.ir import ops
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.targets.edgetpu import tflite
from edgeinfer.targets.edgetpu.grid import by_channel
from edgeinfer.targets.edgetpu.narrowing import narrowed
from edgeinfer.targets.edgetpu.patching import reordered, requantized, whole_weights
from edgeinfer.targets.edgetpu.ports import Port, Ports
from edgeinfer.targets.edgetpu.rules import EIGHT_BITS
from edgeinfer.targets.edgetpu.storage import Storage, planned
from edgeinfer.targets.edgetpu.tflite import Model, Tensor
from edgeinfer.targets.edgetpu.versions import COMPILER, readable
from quantization.fixed import Ints

HINT = "Give 8-bit formats: edgeinfer quantize MODEL --bits 8."


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A `.tflite` file, and how its ports are read. `program` is what it computes, where it was
    made from one; else None: it was calibrated."""

    data: bytes
    model: Model
    ports: Ports
    program: Program | None
    findings: tuple[str, ...]


def check(program: Program) -> tuple[Offence, ...]:
    """Every op of a Program that int8 operators have no equal for."""
    return planned(narrowed(program, sampled=False).program).offences


def convert_program(
    program: Program, raw: Mapping[str, Ints] | None = None, source: str | None = None
) -> Converted:
    """A Program whose formats have 8 bits or fewer, bit for bit on its own grid. Outputs that are
    sums leave on levels that the samples show; the result's `program` says so."""
    storage, findings = _plan(program, raw)
    if storage.offences:
        raise UnsupportedModelError(source or program.name, storage.offences, hint=HINT)
    from edgeinfer.targets.edgetpu.convert_program import draw

    small = storage.program
    shapes = {op.name: op.shape for op in small.inputs}
    names = [output.name for output in small.outputs]
    data = _converted(lambda inputs: draw(storage, inputs), shapes, names, None)
    data = whole_weights(data, program.name, _beyond(small))
    hosts = {output.name: output.host for output in small.outputs}
    made = _finished(data, program.name, list(shapes), names, hosts, small)
    return _with_findings(made, [*findings, *_weight_findings(small)])


def convert_graph(graph: Graph, samples: Mapping[str, NDArray[np.float64]]) -> Converted:
    """A float network, its ranges calibrated on samples. A final softmax or sigmoid is left to the
    host."""
    from edgeinfer.targets.edgetpu.convert_graph import draw, hosted

    hosts = hosted(graph)
    shapes = {node.name: node.shape for node in graph.inputs}
    data = _converted(
        lambda inputs: draw(graph, inputs, hosts), shapes, list(graph.outputs), samples
    )
    left = {name: function for name, (_, function) in hosts.items()}
    return _finished(data, graph.name, list(shapes), list(graph.outputs), left, None)


def _plan(program: Program, raw: Mapping[str, Ints] | None) -> tuple[Storage, tuple[str, ...]]:
    small = narrowed(program, raw)
    return planned(small.program), small.findings


def _with_findings(made: Converted, findings: Sequence[str]) -> Converted:
    return replace(made, findings=(*made.findings, *findings))


def _beyond(program: Program) -> list[Ints]:
    """Weights that the converter would cut at -127, laid out as it lays them out."""
    found = []
    for op in program.ops:
        if not isinstance(op, ops.Conv | ops.Dense):
            continue
        held = by_channel(op.weight, op.weight_type.frac)
        if held is None or not held.beyond:
            continue
        match op:
            case ops.Conv() if op.groups > 1:
                found.append(held.raw.reshape(-1))  # depthwise: channels stay last
            case _:
                found.append(np.moveaxis(held.raw, -1, 0))
    return found


def _weight_findings(program: Program) -> Iterator[str]:
    """What of a Program int8 operators hold otherwise."""
    for op in program.ops:
        if not isinstance(op, ops.Conv | ops.Dense):
            continue
        step = op.type.frac - program.type(op.x).frac - op.weight_type.frac
        if step > 0 and (op.bias.astype(np.int64) & ((1 << step) - 1)).any():
            yield f"{op.name}: its bias is finer than its products and is rounded to them."


def keys_of(names: Sequence[str]) -> dict[str, str]:
    """Names as a signature may hold them; distinct names stay distinct."""
    found: dict[str, str] = {}
    for name in names:
        key = re.sub(r"[^A-Za-z0-9_]", "_", name)
        key = key if re.match(r"[A-Za-z]", key) else f"t_{key}"
        while key in found.values():
            key += "_"
        found[name] = key
    return found


def _converted(
    draw: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    shapes: Mapping[str, Shape],
    outputs: Sequence[str],
    samples: Mapping[str, NDArray[np.float64]] | None,
) -> bytes:
    """The converter's file for a drawing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    enter, leave = keys_of(list(shapes)), keys_of(outputs)

    class Network(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                {
                    enter[name]: tf.TensorSpec((1, *shape), tf.float32, name=enter[name])
                    for name, shape in shapes.items()
                }
            ],
            autograph=False,
        )
        def run(self, inputs: Any) -> Any:
            found = draw({name: inputs[key] for name, key in enter.items()})
            return {leave[name]: tf.identity(found[name], name=leave[name]) for name in outputs}

    module = Network()
    function = module.run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    if samples is not None:  # else every range is in the drawing
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _representative(samples, enter)
    try:
        made: bytes = bytes(converter.convert())
    except (ValueError, RuntimeError, NotImplementedError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ToolFailedError(
            f"TensorFlow's converter failed: {lines[0][:300] if lines else error!r}."
        ) from None
    return made


def _representative(
    samples: Mapping[str, NDArray[np.float64]], keys: Mapping[str, str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Samples one by one, by name: a list would be taken in an order of the converter's own."""
    for i in range(len(next(iter(samples.values())))):
        yield {key: samples[name][i : i + 1].astype(np.float32) for name, key in keys.items()}


def _finished(
    data: bytes,
    source: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    hosts: Mapping[str, HostFunction],
    program: Program | None,
) -> Converted:
    """Ports in the model's order; an error where anything is left in floating point."""
    ordered = reordered(requantized(data, source), source, keys_of(inputs), keys_of(outputs))
    model = tflite.parse(ordered, source)
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
    return Converted(
        ordered,
        model,
        Ports(
            tuple(_port(name, tensor) for name, tensor in zip(inputs, model.inputs, strict=True)),
            tuple(
                _port(name, tensor, hosts.get(name, HostFunction.NONE))
                for name, tensor in zip(outputs, model.outputs, strict=True)
            ),
        ),
        program,
        tuple(dict.fromkeys(findings)),
    )


def _activations(op: tflite.Operator) -> tuple[Tensor, ...]:
    return (*op.computed(), *op.outputs)


def _eight(tensor: Tensor) -> bool:
    return tensor.type in EIGHT_BITS


def _port(name: str, tensor: Tensor, host: HostFunction = HostFunction.NONE) -> Port:
    scale = float(tensor.scales[0]) if tensor.scales.size else 1.0
    zero = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    return Port(name, tensor.shape[1:], tensor.type, scale, zero, host)
