# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One network three times: by the interpreter, by the engine, and by QKeras through Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeinfer.export.qkeras import KerasTensors, draw
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.float32 import Float32Entry, float32_report
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Ints, dequantize
from quantization.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of a network's tensors were compared, and how many QKeras computes exactly."""

    tensors: int
    exact: int
    closest_to_bound: float  # largest share of its bound that a difference reached


def agree(graph: Graph, recipe: Recipe, inputs: Mapping[str, Ints]) -> Tally:
    """Assert engine == interpreter == QKeras at every tensor, or within QKeras' own bound."""
    drawing = draw(graph, recipe)
    program = lower(every_tensor(drawing), drawing.recipe, host_functions=False).program
    result = results(program, interpret(program, inputs))
    for name, raw in Engine(program, threads=1).run(inputs).items():
        np.testing.assert_array_equal(raw, result[name], err_msg=f"{graph.name}: engine at {name}")
    optimized = lower(graph, recipe, host_functions=False).program
    for name, raw in results(optimized, interpret(optimized, inputs)).items():
        np.testing.assert_array_equal(raw, result[name], err_msg=f"{graph.name}: passes at {name}")
    return within_bounds(program, result, keras_values(drawing, program, inputs))


def every_tensor(drawing: KerasTensors) -> Graph:
    """The network with each of its tensors as an output, so that no pass removes one."""
    return Graph(drawing.graph.name, drawing.graph.nodes, tuple(drawing.tensors))


def real_inputs(program: Program, inputs: Mapping[str, Ints]) -> list[Any]:
    """Raw inputs as the float32 arrays that Keras takes, in order."""
    return [dequantize(inputs[op.name], op.type).astype(np.float32) for op in program.inputs]


def keras_values(
    drawing: KerasTensors, program: Program, inputs: Mapping[str, Ints], *, compiled: bool = False
) -> dict[str, Any]:
    """Every tensor as QKeras computes it, op by op or as one compiled function."""
    model = drawing.model(tuple(drawing.tensors))
    reals = real_inputs(program, inputs)
    result = model.predict(reals, verbose=0) if compiled else model(reals, training=False)
    values = result if isinstance(result, list | tuple) else [result]
    return dict(zip(drawing.tensors, map(np.asarray, values), strict=True))


def within_bounds(program: Program, raw: Mapping[str, Ints], reals: Mapping[str, Any]) -> Tally:
    """Assert that QKeras yields the integers, or comes as near as its arithmetic is proved to."""
    report = {entry.value: entry for entry in float32_report(program)}
    exact, closest = 0, 0.0
    for output in program.outputs:
        entry = report[output.value]
        expected = dequantize(raw[output.name], program.type(output.value))
        seen = reals[output.name].astype(np.float64)
        assert seen.shape == expected.shape, f"{program.name}: {output.name}"
        off = float(np.abs(seen - expected).max(initial=0.0))
        assert off <= entry.bound_value, _said(program, output.name, off, entry)
        exact += entry.exact
        closest = max(closest, off / entry.bound_value if entry.bound_value else 0.0)
    return Tally(len(program.outputs), exact, closest)


def _said(program: Program, name: str, off: float, entry: Float32Entry) -> str:
    kept = "exactly" if entry.exact else f"within {entry.bound_value:.3g} ({entry.reason})"
    return f"{program.name}: QKeras is off by {off:.3g} at {name}, which it should compute {kept}"
