# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX and QONNX files -> Graph and Recipe.

The Graph is channels last. An input or output that the file has channels first changes sides, where
that saves a transposition; a finding says so.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

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
    sizes,
    unfold_view,
    with_all_axes,
)
from edgeinfer.readers.onnx.masking import before_softmax
from edgeinfer.readers.onnx.nodes import (
    NO_READER,
    QUANTIZERS,
    nearest_operator,
    read_op,
    reads_tensors,
    why_unknown,
)
from edgeinfer.readers.onnx.ops import (
    SPARSE_DOMAIN,
    InputDeclaration,
    OnnxBranch,
    OnnxOp,
    OnnxSource,
    UnreadableModelError,
    float_types,
    integer_type,
    is_choice,
    source_of,
)
from edgeinfer.readers.onnx.quant import integer_input
from edgeinfer.readers.onnx.recurrent import GATES
from edgeinfer.readers.onnx.samples_apart import do_samples_mix
from edgeinfer.readers.onnx.tidy import finish_drawing

OPEN_BATCH = 999_983  # stands for a batch of any size: a prime, to be known again in other shapes
MAX_ELEMENTS = 1 << 31
IN_FRONT = "Export the model so that the first axis of each output counts samples."


def read(path: Path, *, batch_axis: int | None = 0) -> LoadedModel:
    """Read an ONNX file; every problem is a ModelError that names the node.

    batch_axis: the axis of every input and output that counts samples; None where the network is
    drawn for one sample and has no such axis.
    """
    path = Path(path)
    source = source_of(parse(path), path)
    sparse = any(op.domain == SPARSE_DOMAIN for op in source.ops)  # sites are found by pixel
    turned = frozenset(entry.name for entry in source.inputs if sparse)
    if batch_axis != 0 or any(op.kind in GATES for op in source.ops):
        drawn = _draw_sample(source, batch_axis)
        _refuse_mixing(source, batch_axis)
        return _finish(source, *drawn)
    try:
        drawing, outputs = _draw_graph(source, turned)
    except UnsupportedModelError as error:
        return _finish(source, *_draw_one_at_a_time(source, error))
    for entry in source.inputs:
        if source.stepwise or not _transposes(drawing):
            break
        if entry.dims is not None and len(entry.dims) > 2:
            other, other_outputs = _draw_graph(source, turned | {entry.name})
            if _transposes(other) < _transposes(drawing):
                turned, drawing, outputs = turned | {entry.name}, other, other_outputs
    return _finish(source, drawing, outputs)


def _finish(source: OnnxSource, d: Drawing, outputs: tuple[str, ...]) -> LoadedModel:
    names = tuple(clean(name, "output") for name in source.outputs)
    try:
        graph, recipe, findings = finish_drawing(d, source.path.stem, outputs, names)
    except ModelError as error:
        raise ModelError(f"{source.path}: {error.message}", hint=error.hint) from None
    return LoadedModel(graph, recipe, findings)


def _transposes(d: Drawing) -> int:
    return sum(isinstance(node, TransposeNode) for node in d.nodes.values())


def _draw_graph(source: OnnxSource, turned: frozenset[str]) -> tuple[Drawing, tuple[str, ...]]:
    """The graph drawn, the inputs in `turned` channels last."""
    d = _drawing(source, _batch(source))
    input_values = {e.name: _input(d, source, e, turned=e.name in turned) for e in source.inputs}
    values = _read_all(d, source, input_values)
    outputs: list[str] = []
    for name in source.outputs:
        outputs.append(_output(d, source, name, values[name], outputs))
    return d, tuple(outputs)


def _draw_sample(
    source: OnnxSource, batch_axis: int | None, *, batch_in_front: bool = False
) -> tuple[Drawing, tuple[str, ...]]:
    """The graph drawn for one sample, in the file's own order of axes. A batch elsewhere than in
    front is an axis of size 1. `batch_in_front`: no output may have lost or moved it."""
    d = _drawing(source, 1)
    input_values = {
        entry.name: _whole_input(d, source, entry, batch_axis) for entry in source.inputs
    }
    values = _read_all(d, source, input_values)
    outputs: list[str] = []
    for name in source.outputs:
        value = values[name]
        if isinstance(value, View):
            whole = with_all_axes(value)
            value = _without_axis(d, whole, batch_axis)
            if batch_in_front and value is whole:
                raise ModelError(
                    f"{source.path}: the output {name!r} has no batch in front.", hint=IN_FRONT
                )
        outputs.append(_output(d, source, name, value, outputs, whole=True))
    return d, tuple(outputs)


def _draw_one_at_a_time(
    source: OnnxSource, with_batch: UnsupportedModelError
) -> tuple[Drawing, tuple[str, ...]]:
    """The graph drawn for one sample, where it cannot be drawn for any number of them: PyTorch's
    attention moves the batch behind the sequence and back. All outputs must have it in front, and
    none may depend on several samples."""
    try:
        d, outputs = _draw_sample(source, 0, batch_in_front=True)
    except UnsupportedModelError as error:
        raise min(with_batch, error, key=lambda each: len(each.offences)) from None
    except ModelError:
        raise with_batch from None
    try:
        mixed = _do_samples_mix(source, 0)
    except UnreadableModelError:
        mixed = True
    if mixed:
        raise with_batch
    d.findings.append(
        f"The network is read for one sample at a time, as for any number of them this cannot be "
        f"read: {with_batch.offences[0].path}."
    )
    return d, outputs


def _do_samples_mix(source: OnnxSource, batch_axis: int) -> bool:
    """Whether one sample changes another in one batch; a file for one sample has no others. An
    UnreadableModelError where the file cannot be computed."""
    from onnx import helper

    places = [batch_axis % len(entry.dims or (1,)) for entry in source.inputs]
    if len(set(places)) > 1 or all(
        entry.dims is not None and entry.dims[places[0]] == 1 for entry in source.inputs
    ):
        return False
    rng, pair = np.random.default_rng(1), {}
    for entry in source.inputs:
        dtype = helper.tensor_dtype_to_np_dtype(entry.data_type)
        shape = _sizes(str(source.path), entry.dims or (), {places[0]})
        shape[places[0]] = 2
        real = entry.data_type in float_types()
        pair[entry.name] = (rng.normal(size=shape) if real else rng.integers(0, 2, shape)).astype(
            dtype
        )
    return do_samples_mix(source, pair, places[0])


def _refuse_mixing(source: OnnxSource, batch_axis: int | None) -> None:
    """An error where a recurrent network changes one sample by another."""
    if batch_axis is None:
        return
    with contextlib.suppress(UnreadableModelError):  # it cannot be computed, so nothing is known
        if _do_samples_mix(source, batch_axis):
            raise ModelError(
                f"{source.path}: the network changes one sample by another, if axis {batch_axis} "
                f"of its inputs counts samples.",
                hint="Say which axis counts samples with --batch-axis, or none if no axis does.",
            )


def _without_axis(d: Drawing, view: View, batch_axis: int | None) -> View:
    """The view without the axis of the batch, where it still has it."""
    have = sizes(d, view)
    if batch_axis is None or not -len(have) <= batch_axis < len(have) or have[batch_axis] != 1:
        return view
    kept = [axis for axis in range(len(have)) if axis != batch_axis % len(have)]
    return replace(view, order=tuple(view.order[axis] for axis in kept))


def _drawing(source: OnnxSource, batch: int) -> Drawing:
    quantized = any(op.kind in QUANTIZERS for op in source.ops)
    return Drawing(
        batch=batch,
        quantized=quantized,
        before_softmax=frozenset()
        if source.stepwise
        else before_softmax(source.ops, source.outputs),
        stepwise=source.stepwise,
    )


def _read_all(d: Drawing, source: OnnxSource, inputs: dict[str, View]) -> dict[str, Value]:
    """Every operator read; all that cannot be are one error."""
    values: dict[str, Value] = {name: Const(value) for name, value in source.constants.items()}
    values |= inputs
    offences: list[Offence] = []
    for op in source.ops:
        reason = why_unknown(op) or _read(d, source, op, values)
        if reason:
            offences.append(Offence(op.place, op.label, reason, nearest_operator(op)))
    if offences:
        raise UnsupportedModelError(source.path, offences, trouble="cannot be read")
    return values


def _read(d: Drawing, source: OnnxSource, op: OnnxOp, values: dict[str, Value]) -> str:
    """Read one operator into `values`; why that failed, if it did."""
    if is_choice(op.kind, op.domain):
        return _read_branch(d, source, op, values)
    if any(name and name not in values for name in op.inputs):
        return "" if reads_tensors(op) else NO_READER  # what makes its input was reported
    if d.stepwise and op.kind != "Add":  # which may complete a multiplier
        _settle(d, op, values)
    if op.kind in GATES:  # which make only what is asked for
        read = tuple(name if source.readers[name] else "" for name in op.outputs)
        op = replace(op, outputs=read)
    args = tuple(_given_value(source, name, values) for name in op.inputs)
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
    values.update({name: value for name, value in zip(op.outputs, results, strict=False) if name})
    if missing := [name for name in op.outputs if name and name not in values]:
        unread = [name for name in missing if source.readers[name]]
        return f"its output {unread[0]!r} cannot be read" if unread else ""
    return ""


def _read_branch(d: Drawing, source: OnnxSource, op: OnnxOp, values: dict[str, Value]) -> str:
    """Read what an If does, where its condition is known while the file is read: exporters ask so
    for the size of an axis."""
    condition = values.get(op.inputs[0]) if op.inputs else None
    if condition is None:
        return "" if op.inputs else "it has no condition"
    if isinstance(condition, View) or condition.value.size != 1:
        return "its condition depends on the network's input"
    branch = op.attributes.get("then_branch" if condition.value.item() else "else_branch")
    if not isinstance(branch, OnnxBranch) or len(branch.outputs) < len(op.outputs):
        return "it has no graph for this case"
    own: dict[str, Value] = {name: Const(value) for name, value in branch.constants.items()}
    inner, scope = replace(source, readers=source.readers + branch.readers), values | own
    for each in branch.ops:
        if reason := why_unknown(each) or _read(d, inner, each, scope):
            return f"{each.place} ({each.label}) in it cannot be read: {reason}"
    missing = [name for name in branch.outputs if name not in scope]
    if missing:
        return f"nothing makes {missing[0]!r} in it"
    pairs = zip(op.outputs, branch.outputs, strict=False)
    values.update({name: scope[made] for name, made in pairs if name})
    return ""


def _settle(d: Drawing, op: OnnxOp, values: dict[str, Value]) -> None:
    """What its inputs owe becomes nodes, for all that read them."""
    for name in op.inputs:
        value = values.get(name)
        if isinstance(value, View) and not value.plain:
            values[name] = settle_scale(d, value)


def _given_value(source: OnnxSource, name: str, values: dict[str, Value]) -> Value | None:
    if not name:
        return None
    value = values[name]
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
    dims = _dims(where, entry)
    if len(dims) < 2:
        raise ModelError(
            f"{where} has rank {len(dims)}; its first axis must be the batch.",
            hint="Export the model for a batch of samples, or say --batch-axis none if no axis "
            "counts samples.",
        )
    shape = _sizes(where, dims, {0})[1:]
    if dims[0] == 0:
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
    _note_integers(d, where, name, entry.data_type)
    return View(name, order, exclusive=False, integer=integer_type(entry.data_type))


def _dims(where: str, entry: InputDeclaration) -> tuple[int | str, ...]:
    if entry.dims is None:
        raise ModelError(f"{where} has no shape.", hint="Export the model with fixed shapes.")
    return entry.dims


def _sizes(where: str, dims: tuple[int | str, ...], open_axes: set[int]) -> list[int]:
    """The sizes of an input, 1 for the axes that may be open."""
    shape: list[int] = []
    for axis, size in enumerate(dims):
        if axis in open_axes:
            shape.append(1)
            continue
        if not isinstance(size, int):
            raise ModelError(
                f"{where} has a dynamic axis {axis} ({size!r}); only the batch may be open.",
                hint="Export the model with fixed shapes.",
            )
        shape.append(size)
        if size < 1 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(f"{where} has the shape {list(dims)}.", hint="Export the model again.")
    return shape


def _whole_input(
    d: Drawing, source: OnnxSource, entry: InputDeclaration, batch_axis: int | None
) -> View:
    """An input with all its axes, of which the batch has size 1 and is left out in the Graph."""
    where = f"{source.path}: the input {entry.name!r}"
    dims = _dims(where, entry)
    rank = len(dims)
    if batch_axis is not None and not -rank <= batch_axis < rank:
        raise ModelError(
            f"{where} has rank {rank}, so its batch cannot be axis {batch_axis}.",
            hint="Give another --batch-axis, or none.",
        )
    batch = None if batch_axis is None else batch_axis % rank
    if batch is not None and isinstance(dims[batch], int) and dims[batch] != 1:
        raise ModelError(
            f"{where} has a batch of {dims[batch]} in axis {batch}; one that is not in front, or "
            f"goes through a recurrent operator, must be open or 1.",
            hint="Export the model for one sample.",
        )
    shape = _sizes(where, dims, set() if batch is None else {batch})
    name = d.fresh(clean(entry.name, "input"))
    kept = [axis for axis in range(rank) if axis != batch]
    d.add(InputNode(name, tuple(shape[axis] for axis in kept)))
    _note_integers(d, where, name, entry.data_type)
    order = tuple(kept.index(axis) if axis != batch else None for axis in range(rank))
    integer = integer_type(entry.data_type)
    return View(name, order, merged=True, exclusive=False, integer=integer)


def _note_integers(d: Drawing, where: str, name: str, data_type: int) -> None:
    from onnx import helper

    if data_type in float_types():
        return
    try:
        quantizer = integer_input(str(helper.tensor_dtype_to_np_dtype(data_type)))
    except (UnreadableModelError, KeyError):
        raise ModelError(
            f"{where} holds neither real numbers nor integers.", hint="Export the model again."
        ) from None
    if quantizer is not None:
        d.activations[name] = quantizer


def _output(
    d: Drawing,
    source: OnnxSource,
    name: str,
    value: Value,
    others: list[str],
    *,
    whole: bool = False,
) -> str:
    """The output's tensor, free of what it owes, in the file's order or channels last."""
    if isinstance(value, Const):
        raise ModelError(
            f"{source.path}: the output {name!r} does not depend on any input.",
            hint="Export the model with an input.",
        )
    try:
        return _order_output(d, clean(name, "output"), value, others, whole=whole)
    except UnreadableModelError as error:
        raise ModelError(
            f"{source.path}: the output {name!r} cannot be read: {error}.",
            hint="Export the model again.",
        ) from None


def _order_output(d: Drawing, name: str, value: View, others: list[str], *, whole: bool) -> str:
    view = unfold_view(d, settle_scale(d, replace(value, label=name)))
    rank = len(view.order)
    if rank > 1 and not view.merged and not whole and _lies_channels_last(d, view):
        view = arrange_axes(d, view, (*range(1, rank), 0))
        shape = d.shapes[view.tensor]
        d.findings.append(
            f"The output {name!r} is {(shape[-1], *shape[:-1])} in the file, channels first; "
            f"here it is {shape}, channels last."
        )
    else:
        view = arrange_axes(d, view)
    if isinstance(d.nodes[view.tensor], InputNode) or view.tensor in others:
        return d.add(ActivationNode(d.fresh(name), view.tensor, Function.LINEAR))
    return view.tensor


def _lies_channels_last(d: Drawing, view: View) -> bool:
    """Whether only that order needs no transposition."""
    rank, shape = len(view.order), d.shapes[view.tensor]
    if view.order == (rank - 1, *range(rank - 1)):
        return True
    sides = ((*view.order[1:], view.order[0]), view.order)
    last, first = ([a for a in side if a is not None and shape[a] > 1] for side in sides)
    return last == sorted(last) and first != sorted(first)
