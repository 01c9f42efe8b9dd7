# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 TensorFlow Lite file as a Graph and a Recipe.

Inputs and outputs are real numbers: an input is rounded to the steps of its scale, as TensorFlow
Lite's QUANTIZE does, and an output is its steps times its scale. What lies between is computed in
integers as the reference kernels do, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgeinfer.base.errors import ModelError, Offence, UnsupportedModelError
from edgeinfer.base.tflite.flat import FlatError
from edgeinfer.base.tflite.model import Operator, TfliteModel, TfliteTensor, broken_file_error
from edgeinfer.base.tflite.model import read as read_file
from edgeinfer.graph.nodes import Graph, InputNode, SoftmaxNode
from edgeinfer.graph.windows import MOST_ELEMENTS
from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.tflite import (
    comparing,
    curves,
    elementwise,
    linear,
    log_softmax,
    moving,
    pairs,
    pooling,
    rearranging,
    resizing,
    softmax,
)
from edgeinfer.readers.tflite.multipliers import (
    STORED,
    scale_of,
    steps_allowed,
    stored_range,
    whole_scale,
    zero_of,
)
from edgeinfer.readers.tflite.rescaling import Sums, limit, steps_of
from edgeinfer.readers.tflite.values import (
    Entering,
    Leaving,
    StepDrawing,
    Steps,
    StoredTruth,
    TabledReals,
    UnreadableOperatorError,
    Value,
    clean,
    inner,
)
from quantization.fixed import Overflow, Quantizer, Rounding, fixed_of_range
from quantization.recipe import Recipe

FINER = 6  # bits of a real input below the steps to which it is rounded
INVERSE_BITS = 30  # of one over a scale
COMPILED = "it is compiled for the Edge TPU; give the file that it was compiled from"
REALS = (
    "it computes with real numbers of many integers, or with what a softmax makes; real numbers of "
    "two, and 8-bit integers, can be read"
)
# By operator: those that compute with one tensor (and perhaps with stored weights).
SINGLES: dict[str, Callable[[StepDrawing, str, Operator, Steps], Steps]] = {
    "FULLY_CONNECTED": linear.read_dense,
    "CONV_2D": linear.read_conv,
    "DEPTHWISE_CONV_2D": linear.read_depthwise,
    "TRANSPOSE_CONV": linear.read_transposed,
    "AVERAGE_POOL_2D": pooling.read_average_pool,
    "MAX_POOL_2D": pooling.read_max_pool,
    "MEAN": pooling.read_mean,
    "SUM": pooling.read_reduced_sum,
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN"), pooling.read_reduced_extreme),
    "RELU": elementwise.read_relu,
    "RELU6": elementwise.read_relu,
    "RELU_N1_TO_1": elementwise.read_relu,
    "QUANTIZE": elementwise.read_requantization,
    **dict.fromkeys(elementwise.TABLES, elementwise.read_lookup),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), moving.read_reshape),
    "PAD": moving.read_pad,
    "TRANSPOSE": moving.read_transpose,
    "SLICE": moving.read_slice,
    "STRIDED_SLICE": moving.read_strided_slice,
    "RESIZE_NEAREST_NEIGHBOR": moving.read_nearest,
    "RESIZE_BILINEAR": resizing.read_bilinear,
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), resizing.read_extreme_place),
    "LOG_SOFTMAX": log_softmax.read_log_softmax,
    "DEPTH_TO_SPACE": rearranging.read_depth_to_space,
    "SPACE_TO_DEPTH": rearranging.read_space_to_depth,
    "GATHER": rearranging.read_gather,
    "MIRROR_PAD": rearranging.read_mirror_pad,
    "REVERSE_V2": rearranging.read_reverse,
    "TILE": rearranging.read_tile,
}
# Those that compute with several tensors, or make several; constants of 8 bits count as tensors.
SEVERAL: dict[str, Callable[[StepDrawing, str, Operator, Sequence[Steps]], Sequence[Steps]]] = {
    "ADD": elementwise.read_sum,
    "SUB": elementwise.read_sum,
    "MUL": elementwise.read_product,
    "DIV": pairs.read_quotient,
    "SQUARED_DIFFERENCE": elementwise.read_squared_difference,
    "MAXIMUM": moving.read_extremes,
    "MINIMUM": moving.read_extremes,
    "CONCATENATION": moving.read_concatenation,
    "SPLIT": moving.read_split,
    "SPLIT_V": rearranging.read_split_sizes,
    "PACK": rearranging.read_pack,
    "UNPACK": rearranging.read_unpack,
    "PRELU": elementwise.read_prelu,
    "BATCH_MATMUL": linear.read_matmul,
    "TOPK_V2": resizing.read_top,
}
# Those that move real numbers between integers as they move the integers that these depend on.
MOVING = (
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER"),
    *("REVERSE_V2", "SPLIT", "SPLIT_V", "UNPACK"),
)
CHOICES = ("SELECT", "SELECT_V2")
LOGICAL = ("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR")
FIRST = {"TRANSPOSE_CONV": 2}  # where the tensor comes that an operator computes with
REAL = {*curves.FUNCTIONS, *curves.PAIRS}  # which real numbers between integers may pass
READABLE = sorted(
    {
        *SINGLES, *SEVERAL, *REAL, *comparing.COMPARISONS, *CHOICES, *LOGICAL, "CAST", "DEQUANTIZE",
        "SOFTMAX",
    }
)  # fmt: skip
INPUT = "an int8, uint8 or float32 input of one scale and a batch of one"
OUTPUT = "a file whose outputs its operators compute"
HINT = f"Readable are {', '.join(READABLE)}, as docs/tflite.md says."


def read(path: Path) -> LoadedModel:
    """Read a file; everything that cannot be read is one error."""
    model = read_file(path)
    try:
        return _draw(model, path)
    except FlatError as error:
        raise broken_file_error(str(path), error) from None


def _nearest_kernel(op: Operator) -> str:
    """The form that can be read and stands nearest to an operator."""
    if op.name.startswith("STABLEHLO"):
        return "the operator of TensorFlow Lite itself that computes the same"
    return forms_of("tflite").get(op.name, "operators that docs/tflite.md lists")


def _draw(model: TfliteModel, path: Path) -> LoadedModel:
    if model.subgraphs != 1:
        raise ModelError(f"{path} has {model.subgraphs} subgraphs; one can be read.", hint=HINT)
    d = StepDrawing()
    offences: list[Offence] = []
    values: dict[int, Value | None] = {}  # None: what makes it was refused
    for tensor in model.inputs:
        try:
            values[tensor.index] = _enter(d, tensor)
        except UnreadableOperatorError as error:
            offences.append(Offence(tensor.name, "input", str(error), INPUT))
            values[tensor.index] = None
    inside = _tensors_inside(model)
    for op in model.operators:
        results: Sequence[Value | None] = [None] * len(op.outputs)
        try:
            results = _read_operator(d, op, values, inside)
        except UnreadableOperatorError as error:
            offences.append(
                Offence(f"operator {op.index}", op.title, str(error), _nearest_kernel(op))
            )
        values |= {out.index: value for out, value in zip(op.outputs, results, strict=True)}
    outputs: list[str] = []
    for tensor in model.outputs:
        value = values.get(tensor.index)
        if isinstance(value, TabledReals):
            outputs.append(curves.leave_curve(d, d.fresh(clean(tensor.name)), value))
        elif isinstance(value, Steps | Leaving | StoredTruth):
            leaving = Leaving(value.steps) if isinstance(value, StoredTruth) else value
            outputs.append(_leave(d, tensor, leaving))
        elif value is not None or tensor.index not in values:
            offences.append(Offence(tensor.name, "output", "no operator computes it", OUTPUT))
    if offences:
        raise UnsupportedModelError(path, offences, hint=HINT, trouble="cannot be read")
    try:
        graph = Graph(path.stem, tuple(d.nodes.values()), tuple(outputs))
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", hint=error.hint) from None
    return LoadedModel(graph, Recipe.of(d.activations, d.weights), tuple(d.findings))


def _tensors_inside(model: TfliteModel) -> frozenset[int]:
    """Tensors that operators compute with, those on their way out being brought to another type or
    scale left out."""
    computed: set[int] = set()
    for op in reversed(model.operators):
        leaves = op.name in ("QUANTIZE", "DEQUANTIZE") and op.outputs[0].index not in computed
        if not leaves:
            computed.update(tensor.index for tensor in op.computed())
    return frozenset(computed)


def _read_operator(
    d: StepDrawing, op: Operator, values: dict[int, Value | None], inside: frozenset[int]
) -> Sequence[Value | None]:
    """What an operator makes; nothing where what makes its inputs was refused before."""
    if op.name not in READABLE:
        compiled = op.custom == "edgetpu-custom-op"
        raise UnreadableOperatorError(COMPILED if compiled else f"{op.title} has no reader")
    unknown = [tensor.name for tensor in op.computed() if tensor.index not in values]
    if unknown or not op.inputs or not op.outputs:
        raise UnreadableOperatorError("no operator before it makes what it reads")
    if any(values[tensor.index] is None for tensor in op.computed()):
        return [None] * len(op.outputs)
    for tensor in op.outputs:
        _check_size(tensor)
    name = d.fresh(f"{op.name.lower()}_{op.index}")
    try:
        results = _values_of(d, name, op, values, inside)
    except (UnreadableOperatorError, FlatError):
        raise
    except (ValueError, LookupError, ArithmeticError) as error:
        raise UnreadableOperatorError(f"its inputs and options do not fit ({error})") from None
    if len(results) != len(op.outputs):
        raise UnreadableOperatorError(f"it has {len(op.outputs)} outputs, not {len(results)}")
    for value, out in zip(results, op.outputs, strict=True):
        if isinstance(value, Steps | StoredTruth) and d.shapes[value.tensor] != inner(out.shape):
            raise UnreadableOperatorError(
                f"it makes {d.shapes[value.tensor]}; its output is declared as {out.shape}"
            )
    return results


def _values_of(
    d: StepDrawing,
    name: str,
    op: Operator,
    values: dict[int, Value | None],
    inside: frozenset[int],
) -> Sequence[Value]:
    first = op.input(FIRST.get(op.name, 0))
    x = None if first is None else values.get(first.index)
    computed = [values[tensor.index] for tensor in op.computed()]
    reals = [each for each in computed if isinstance(each, Leaving | TabledReals)]
    real = reals[0] if reals else None
    match op.name:
        case "QUANTIZE" if isinstance(x, Entering):
            rounded = _tabulate_input if x.whole else _round_input
            return [rounded(d, x, op.outputs[0])]
        case "CAST" if isinstance(x, Entering) and op.outputs[0].type == "FLOAT32":
            return [x]
        case "QUANTIZE" | "DEQUANTIZE" if isinstance(x, Leaving) and x.softmax:
            return [x]
        case "DEQUANTIZE" if isinstance(x, Steps):
            return [Leaving(x)]
        case "CAST" if isinstance(x, StoredTruth) and op.outputs[0].type == "FLOAT32":
            return [Leaving(x.steps)]
        case "QUANTIZE" if isinstance(x, Leaving | TabledReals):
            return [curves.store_curve(d, name, x, op.outputs[0])]
        case "SOFTMAX" if isinstance(x, Steps) and op.outputs[0].index in inside:
            return [softmax.read_softmax(d, name, op, x)]
        case "SOFTMAX" if isinstance(x, Steps):
            return [_softmax(d, op, x)]
        case "SOFTMAX" if isinstance(x, Leaving):
            return [_softmax(d, op, x.steps)]
        case kind if kind in REAL and real is not None and len(computed) == 1:
            single = kind in curves.FUNCTIONS
            return [curves.read_function(op, real) if single else curves.read_pair(op, real)]
        case kind if kind in curves.PAIRS and len(reals) == len(computed) == 2:
            return [pairs.read_pair_of_curves(d, name, op, *reals)]
        case kind if kind in MOVING and real is not None and len(computed) == 1:
            return _move_reals(d, name, op, real)
        case kind if kind in comparing.COMPARISONS and real is not None and len(computed) == 1:
            return [comparing.compare_reals(d, name, op, real)]
        case kind if kind in comparing.COMPARISONS:
            return [comparing.compare_steps(d, name, op, _operands(d, name, op.inputs, values))]
        case kind if kind in CHOICES:
            truth, *_ = _truths(d, name, op.inputs[:1], values)
            xs = _operands(d, name, op.inputs[1:], values)
            return [comparing.read_choice(d, name, op, truth, xs)]
        case kind if kind in LOGICAL:
            return [comparing.read_logical(d, name, op, _truths(d, name, op.inputs, values))]
        case kind if kind in SINGLES and isinstance(x, Steps):
            return [SINGLES[kind](d, name, op, x)]
        case kind if kind in SEVERAL:
            return SEVERAL[kind](d, name, op, _operands(d, name, op.inputs, values))
        case _ if computed and all(isinstance(each, Steps) for each in computed):
            raise UnreadableOperatorError(f"{op.title} of 8-bit integers has no reader")
        case _:  # what else is read computes with integers
            raise UnreadableOperatorError(REALS)


def _move_reals(
    d: StepDrawing, name: str, op: Operator, real: Leaving | TabledReals
) -> Sequence[Value]:
    """Real numbers, each of which depends on one integer, move with it: LSTMs that the converter
    unrolls are split like that."""
    if isinstance(real, Leaving) and real.softmax:
        raise UnreadableOperatorError(REALS)
    steps = real.steps
    type_ = "INT8" if steps.zero < 1 << 7 else "UINT8"
    scales, zeros = np.asarray([steps.scale], np.float32), np.asarray([steps.zero])
    outputs = tuple(
        replace(out, type=type_, scales=scales, zero_points=zeros) for out in op.outputs
    )
    moved = replace(op, outputs=outputs)
    if op.name in SINGLES:
        results: Sequence[Steps] = [SINGLES[op.name](d, name, moved, steps)]
    else:
        results = SEVERAL[op.name](d, name, moved, [steps])
    return [replace(real, steps=result) for result in results]


def _operands(
    d: StepDrawing,
    name: str,
    tensors: Sequence[TfliteTensor | None],
    values: dict[int, Value | None],
) -> list[Steps]:
    operands = [_operand(d, name, tensor, values) for tensor in tensors]
    return [x for x in operands if x is not None]


def _truths(
    d: StepDrawing,
    name: str,
    tensors: Sequence[TfliteTensor | None],
    values: dict[int, Value | None],
) -> list[StoredTruth]:
    """What is true or not; stored truths are constants."""
    truths = []
    for tensor in tensors:
        value = None if tensor is None else values.get(tensor.index)
        if tensor is not None and tensor.constant and tensor.type == "BOOL":
            raw = (tensor.integers() != 0).astype(np.int64).reshape(inner(tensor.shape))
            value = StoredTruth(d.constant(f"{name}_stored", raw), tensor.shape)
        if not isinstance(value, StoredTruth):
            raise UnreadableOperatorError("it reads truths that no comparison has made")
        truths.append(value)
    return truths


def _operand(
    d: StepDrawing, name: str, tensor: TfliteTensor | None, values: dict[int, Value | None]
) -> Steps | None:
    """A tensor of integers; a stored one is a constant, and numbers of other types are none."""
    if tensor is None or (tensor.constant and tensor.type not in STORED):
        return None
    if tensor.constant:
        raw = tensor.integers().astype(np.int64).reshape(inner(tensor.shape)) - zero_of(tensor)
        return steps_of(d.constant(f"{name}_stored", raw), tensor, int(raw.min()), int(raw.max()))
    value = values[tensor.index]
    if not isinstance(value, Steps):
        raise UnreadableOperatorError(REALS)
    return value


def _check_size(tensor: TfliteTensor) -> None:
    """Refuse a tensor that no stage can hold, before anything of its size is made."""
    if tensor.elements > MOST_ELEMENTS:
        raise UnreadableOperatorError(
            f"the tensor {tensor.name!r} is {tensor.shape}; at most {MOST_ELEMENTS:,} elements can "
            f"be computed"
        )


def _enter(d: StepDrawing, tensor: TfliteTensor) -> Value:
    """An input of the network, which takes real numbers."""
    _check_size(tensor)
    node = InputNode(d.fresh(clean(tensor.name)), inner(tensor.shape))
    if tensor.type == "FLOAT32":
        return Entering(d.add(node), tensor.shape)
    ends = stored_range(tensor)
    if not tensor.scales.size:
        return Entering(d.add(node, Quantizer(fixed_of_range(*ends, 0))), tensor.shape, whole=True)
    scale_of(tensor)
    return _round_input(d, Entering(d.add(node), tensor.shape), tensor)


def _round_input(d: StepDrawing, x: Entering, out: TfliteTensor) -> Steps:
    """Real numbers as steps: to the nearest, halves away from zero, as far as they are stored."""
    low, high = steps_allowed(out)
    scale, name = float(scale_of(out)), f"{x.tensor}_steps"
    fraction, exponent = math.frexp(scale)
    rounded = Quantizer(fixed_of_range(low, high, 0), Rounding.RND_INF, Overflow.SAT)
    if fraction == 0.5:  # a fixed-point type has these steps
        frac = 1 - exponent
        format_ = Quantizer(fixed_of_range(low, high, frac), Rounding.RND_INF, Overflow.SAT)
        inverse, bits = 1, -frac
    else:
        frac, bits = FINER - exponent + 1, INVERSE_BITS + exponent
        ends = [math.ldexp(end * scale, frac) for end in (low, high)]
        format_ = Quantizer(fixed_of_range(math.floor(ends[0]), math.ceil(ends[1]), frac))
        inverse = round(math.ldexp(1.0 / scale, bits))
    if d.activations.setdefault(x.tensor, format_) != format_:
        raise UnreadableOperatorError("the input is quantized with two scales")
    factor = np.asarray(inverse, np.int64)
    tensor = d.affine(d.fresh(name), x.tensor, factor, bits, rounded)
    reach = rounded.type  # which numbers beyond what is stored may fill
    sums = Sums(tensor, np.asarray(reach.raw_min), np.asarray(reach.raw_max))
    d.findings.append(
        f"{x.tensor}: real numbers are rounded to steps of {scale:g}; the file stores "
        f"{zero_of(out)} for 0."
    )
    return limit(d, name, sums, out)


def _tabulate_input(d: StepDrawing, x: Entering, out: TfliteTensor) -> Steps:
    """Stored integers as steps: a table of what float32 division makes of each."""
    type_ = d.activations[x.tensor].type
    stored = Steps(x.tensor, x.shape, type_.raw_min, type_.raw_max, np.float32(1.0), 0)
    entries = elementwise.round_reals(stored, out, lambda real: real / scale_of(out))
    return elementwise.look_up(d, f"{x.tensor}_steps", stored, out, entries)


def _softmax(d: StepDrawing, op: Operator, x: Steps) -> Leaving:
    if op.options.beta != 1.0:
        raise UnreadableOperatorError(f"its beta is {op.options.beta:g}; only 1 can be read")
    return Leaving(x, softmax=True)


def _leave(d: StepDrawing, tensor: TfliteTensor, value: Steps | Leaving) -> str:
    """An output of the network, in real numbers."""
    leaving = value if isinstance(value, Leaving) else Leaving(value)
    steps = leaving.steps
    name = d.fresh(clean(tensor.name))
    scale, frac = whole_scale(steps.scale)
    real = f"{name}_logits" if leaving.softmax else name
    output = d.affine(d.fresh(real), steps.tensor, np.asarray(scale, np.int64), frac)
    d.findings.append(
        f"{output}: real numbers are steps of {steps.scale:g}; the file stores {steps.zero} for 0."
    )
    if not leaving.softmax:
        return output
    d.findings.append(
        f"{name}: the softmax is left to the host, which computes it in real numbers; TensorFlow "
        f"Lite's is one of integers."
    )
    return d.add(SoftmaxNode(name, output))
