# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as ONNX in integers only: raw integers in, raw integers out, int64 between them.

Every op has its place here, for the graph is the engine's own with int64 for every value; not one
float is in the file.
"""

from __future__ import annotations

import onnx

from edgeinfer.export.onnx_model import (
    OnnxPort,
    bare_outputs,
    finish_model,
    name_tensors,
    narrow_constants,
    refuse,
)
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.emit import emit_model
from edgeinfer.ir.ops import Input
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program

NAME = "integer-onnx"


def write_model(program: Program) -> bytes:
    """The file's bytes."""
    folded = fold_constants(program)
    refuse(program, NAME, bare_outputs(folded))
    output_values = {output.value for output in folded.outputs}
    computed = [
        op.name for op in folded.ops if op.name in output_values and not isinstance(op, Input)
    ]
    graph = emit_model(folded, bounds_of(folded), computed, only_integers=True)
    model = onnx.load_from_string(graph.model)
    narrow_constants(model)
    read = {name: tensor for name, tensor, _ in graph.inputs}  # inputs that some op reads
    inputs = {read.get(op.name, f"unread {op.name}"): op.name for op in folded.inputs}
    tensors = dict(graph.outputs) | {name: tensor for tensor, name in inputs.items()}
    outputs = [(output.name, tensors[output.value]) for output in folded.outputs]
    name_tensors(model, inputs, outputs, {})
    return finish_model(
        model,
        program,
        NAME,
        [OnnxPort(op.name, op.name, op.type, op.shape, raw=True) for op in program.inputs],
        [
            OnnxPort(o.name, o.name, program.type(o.value), program.shapes[o.value], True, o.host)
            for o in program.outputs
        ],
    )
