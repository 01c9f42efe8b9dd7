# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX and QONNX files -> Graph and Recipe.

The Graph is channels last. An input or output that the file has channels first changes sides, where
that saves a transposition; a finding says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgeinfer.base.errors import ModelError, Offence, UnsupportedModelError
from edgeinfer.graph.nodes import ActivationNode, Function, InputNode, TransposeNode
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.onnx.drawing import Drawing, clean
from edgeinfer.readers.onnx.file import parse
from edgeinfer.readers.onnx.fold import MOVES
from edgeinfer.readers.onnx.layout import (
    Const,
    Value,
    View,
    arrange_axes,
    settle_scale,
    unfold_view,
)
from edgeinfer.readers.onnx.nodes import NO_READER, QUANTIZERS, read_op, reads_tensors, why_unknown
from edgeinfer.readers.onnx.ops import (
    InputDeclaration,
    OnnxOp,
    OnnxSource,
    UnreadableModelError,
    float_types,
    source_of,
)
from edgeinfer.readers.onnx.quant import integer_input
from edgeinfer.readers.onnx.tidy import finish_drawing

OPEN_BATCH = 999_983  # stands for a batch of any size: a prime, to be known again in other shapes
MAX_ELEMENTS = 1 << 31


def read(path: Path) -> LoadedModel:
    """Read an ONNX file; every problem is a ModelError that names the node."""
    path = Path(path)
    source = source_of(parse(path), path)
    turned: frozenset[str] = frozenset()
    drawing, outputs = _draw_graph(source, turned)
    for entry in source.inputs:
        if source.stepwise or not _transposes(drawing):
            break
        if entry.dims is not None and len(entry.dims) > 2:
            other, other_outputs = _draw_graph(source, turned | {entry.name})
            if _transposes(other) < _transposes(drawing):
                turned, drawing, outputs = turned | {entry.name}, other, other_outputs
    names = tuple(clean(name, "output") for name in source.outputs)
    try:
        graph, recipe, findings = finish_drawing(drawing, path.stem, outputs, names)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", hint=error.hint) from None
    return LoadedModel(graph, recipe, findings)


def _transposes(d: Drawing) -> int:
    return sum(isinstance(node, TransposeNode) for node in d.nodes.values())


def _draw_graph(source: OnnxSource, turned: frozenset[str]) -> tuple[Drawing, tuple[str, ...]]:
    """The graph drawn, the inputs in `turned` channels last."""
    d = Drawing(
        batch=_batch(source),
        quantized=any(op.kind in QUANTIZERS for op in source.ops),
        stepwise=source.stepwise,
    )
    known: dict[str, Value] = {name: Const(value) for name, value in source.constants.items()}
    for entry in source.inputs:
        known[entry.name] = _input(d, source, entry, turned=entry.name in turned)
    offences: list[Offence] = []
    for op in source.ops:
        reason = why_unknown(op) or _read(d, source, op, known)
        if reason:
            offences.append(Offence(op.place, op.label, reason))
    if offences:
        raise UnsupportedModelError(source.path, offences)
    outputs: list[str] = []
    for name in source.outputs:
        outputs.append(_output(d, source, name, known[name], outputs))
    return d, tuple(outputs)


def _read(d: Drawing, source: OnnxSource, op: OnnxOp, known: dict[str, Value]) -> str:
    """Read one operator into `known`; why that failed, if it did."""
    if any(name and name not in known for name in op.inputs):
        return "" if reads_tensors(op) else NO_READER  # what makes its input was reported
    if d.stepwise and op.kind != "Add":  # which may complete a multiplier
        _settle(d, op, known)
    args = tuple(_given_value(source, name, known) for name in op.inputs)
    try:
        results = read_op(d, op, args)
    except UnreadableModelError as error:
        return str(error)
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        return f"its inputs and attributes do not fit together ({error})"
    if d.stepwise and op.kind in MOVES:
        results = [
            arrange_axes(d, value) if isinstance(value, View) else value for value in results
        ]
    known.update({name: value for name, value in zip(op.outputs, results, strict=False) if name})
    if missing := [name for name in op.outputs if name and name not in known]:
        unread = [name for name in missing if source.readers[name]]
        return f"its output {unread[0]!r} cannot be read" if unread else ""
    return ""


def _settle(d: Drawing, op: OnnxOp, known: dict[str, Value]) -> None:
    """What its inputs owe becomes nodes, for all that read them."""
    for name in op.inputs:
        value = known.get(name)
        if isinstance(value, View) and not value.plain:
            known[name] = settle_scale(d, value)


def _given_value(source: OnnxSource, name: str, known: dict[str, Value]) -> Value | None:
    if not name:
        return None
    value = known[name]
    if isinstance(value, View):
        return replace(value, exclusive=value.exclusive and source.readers[name] == 1)
    return value


def _batch(source: OnnxSource) -> int:
    """The batch size that the inputs agree on; a stand-in where it is open."""
    sizes = {entry.dims[0] for entry in source.inputs if entry.dims}
    fixed = {size for size in sizes if isinstance(size, int)}
    if len(fixed) > 1:
        raise ModelError(
            f"{source.path}: its inputs have different batch sizes ({sorted(fixed)}).",
            hint="The first axis of every input must be the batch.",
        )
    return fixed.pop() if fixed else OPEN_BATCH


def _input(d: Drawing, source: OnnxSource, entry: InputDeclaration, *, turned: bool) -> View:
    where = f"{source.path}: the input {entry.name!r}"
    if entry.dims is None:
        raise ModelError(f"{where} has no shape.", hint="Export the model with fixed shapes.")
    if len(entry.dims) < 2:
        raise ModelError(
            f"{where} has rank {len(entry.dims)}; its first axis must be the batch.",
            hint="Export the model for a batch of samples.",
        )
    shape: list[int] = []
    elements = 1
    for axis, size in enumerate(entry.dims[1:], start=1):
        if not isinstance(size, int):
            raise ModelError(
                f"{where} has a dynamic axis {axis} ({size!r}); only the batch may be open.",
                hint="Export the model with fixed shapes.",
            )
        elements *= size
        if size < 1 or elements > MAX_ELEMENTS:
            raise ModelError(
                f"{where} has the shape {list(entry.dims)}.", hint="Export the model again."
            )
        shape.append(size)
    if entry.dims[0] == 0:
        raise ModelError(f"{where} has a batch of 0.", hint="Export the model again.")
    order = tuple(range(len(shape)))
    name = d.fresh(clean(entry.name, "input"))
    if turned:
        last = (*shape[1:], shape[0])
        d.findings.append(
            f"The input {name!r} is {tuple(shape)} in the file, channels first; "
            f"here it is {last}, channels last."
        )
        shape, order = list(last), (len(shape) - 1, *range(len(shape) - 1))
    d.add(InputNode(name, tuple(shape)))
    if entry.data_type not in float_types():
        _note_integers(d, where, name, entry.data_type)
    return View(name, order, exclusive=False)


def _note_integers(d: Drawing, where: str, name: str, data_type: int) -> None:
    from onnx import helper

    try:
        quantizer = integer_input(str(helper.tensor_dtype_to_np_dtype(data_type)))
    except (UnreadableModelError, KeyError):
        raise ModelError(
            f"{where} holds neither real numbers nor integers.", hint="Export the model again."
        ) from None
    if quantizer is not None:
        d.activations[name] = quantizer


def _output(d: Drawing, source: OnnxSource, name: str, value: Value, others: list[str]) -> str:
    """The output's tensor, free of what it owes, in the file's order or channels last."""
    if isinstance(value, Const):
        raise ModelError(
            f"{source.path}: the output {name!r} does not depend on any input.",
            hint="Export the model with an input.",
        )
    try:
        return _order_output(d, clean(name, "output"), value, others)
    except UnreadableModelError as error:
        raise ModelError(
            f"{source.path}: the output {name!r} cannot be read: {error}.",
            hint="Export the model again.",
        ) from None


def _order_output(d: Drawing, wanted: str, value: View, others: list[str]) -> str:
    view = unfold_view(d, settle_scale(d, replace(value, label=wanted)))
    rank = len(view.order)
    if rank > 1 and not view.merged and _lies_channels_last(d, view):
        view = arrange_axes(d, view, (*range(1, rank), 0))
        shape = d.shapes[view.tensor]
        d.findings.append(
            f"The output {wanted!r} is {(shape[-1], *shape[:-1])} in the file, channels first; "
            f"here it is {shape}, channels last."
        )
    else:
        view = arrange_axes(d, view)
    if isinstance(d.nodes[view.tensor], InputNode) or view.tensor in others:
        return d.add(ActivationNode(d.fresh(wanted), view.tensor, Function.LINEAR))
    return view.tensor


def _lies_channels_last(d: Drawing, view: View) -> bool:
    """Whether only that order needs no transposition."""
    rank, shape = len(view.order), d.shapes[view.tensor]
    if view.order == (rank - 1, *range(rank - 1)):
        return True
    sides = ((*view.order[1:], view.order[0]), view.order)
    last, first = ([a for a in side if a is not None and shape[a] > 1] for side in sides)
    return last == sorted(last) and first != sorted(first)
