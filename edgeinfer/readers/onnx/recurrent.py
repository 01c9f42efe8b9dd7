# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""RNN, LSTM and GRU: forwards, backwards, or both, with states from outside and back to it.

Both directions of a layer are recurrences of their own. The batch has size 1, or is an axis like
the others: each step then works on all its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.base.names import free_name
from edgeinfer.graph import nodes as g
from edgeinfer.graph import recurrent as r
from edgeinfer.graph.compose import OperatorSite
from edgeinfer.graph.moves import bounds_along
from edgeinfer.readers.grids import fixed_bias
from edgeinfer.readers.onnx.args import Args, constant, constant_or_none, data
from edgeinfer.readers.onnx.drawing import Drawing, clean
from edgeinfer.readers.onnx.layout import (
    Const,
    View,
    arrange_axes,
    settle_scale,
    sizes,
    with_all_axes,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.weights import finite, kernel_of, move_const

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
LSTM_ORDER = ("input", "output", "forget", "cell")  # in ONNX's kernels
DEFAULTS = {
    "RNN": ("Tanh",),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "GRU": ("Sigmoid", "Tanh"),
}
PLAIN = {
    "Relu": g.Function.RELU,
    "Tanh": g.Function.TANH,
    "Sigmoid": g.Function.SIGMOID,
    "Softsign": g.Function.SOFTSIGN,
    "Softplus": g.Function.SOFTPLUS,
}
SHAPED = {  # functions with parameters: ONNX's own alpha and beta, where the file gives none
    "Affine": (1.0, 0.0),
    "LeakyRelu": (0.01, None),
    "ThresholdedRelu": (1.0, None),
    "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, None),
}
PEEPHOLES = 7  # the place of this input
ZERO_STATE = ((5, "initial_h"), (6, "initial_c"))


@dataclass(frozen=True, slots=True)
class GateFunction:
    """An activation of the file, with its parameters."""

    kind: str
    alpha: float = 0.0
    beta: float = 0.0


def read_recurrent(d: Drawing, op: OnnxOp, args: Args) -> list[View]:
    """The outputs Y, Y_h and, of LSTM, Y_c."""
    _refuse_options(op, args)
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    direction = op.text("direction", "forward").lower()
    if direction not in ways:
        raise UnreadableModelError(f"its direction is {direction!r}, which is not known")
    first = op.whole("layout", 0) == 1
    x = _steps_first(d, data(args, 0), first=first)
    steps, rows, _ = sizes(d, x)
    length = _length(args, steps)
    functions = list(_functions_of(op, len(ways[direction])))
    units = constant(args, 2, "recurrent weights").value.shape[-1]
    if op.whole("hidden_size", units) != units:
        raise UnreadableModelError(f"its hidden_size is not the {units} of its weights")
    name = clean(op.name or next(filter(None, op.outputs)), op.kind)
    entry = () if rows == 1 else (rows,)
    whole = d.shapes[x.tensor]
    result_shape = (steps, *entry, whole[-1])
    tensor = x.tensor if whole == result_shape else d.add(
        g.ReshapeNode(d.fresh(f"{name}_steps"), x.tensor, result_shape)
    )  # fmt: skip
    if length < steps:
        tensor = _first_steps(d, name, tensor, length)
    runs: list[r.RecurrenceResult] = []
    for place, backwards in enumerate(ways[direction]):
        label = "" if len(ways[direction]) == 1 else ("backward" if backwards else "forward")
        starts = [_start(d, name, args, at, place, rows, units, first) for at, _ in ZERO_STATE]
        count = 2 if op.kind == "LSTM" else 1
        body = _Body(d, op, args, place, functions[place], f"{name}/{label}".rstrip("/"))
        recurrence = body.recurrence(d.shapes[tensor][1:], units, tuple(starts[:count]))
        ran = _run(d, name, label, tensor, recurrence, op, backwards=backwards)
        if length < steps and op.outputs[0]:
            ran = replace(ran, y=_zeros_behind(d, name, ran.y, steps - length))
        runs.append(ran)
    results = [_join_ways(d, name, [one.y for one in runs], units, rows, first, stacked=True)]
    for state in range(2 if op.kind == "LSTM" else 1):
        tensors = [one.states[state] if one.states else one.y for one in runs]
        label = f"{name}_{'hc'[state]}"
        results.append(_join_ways(d, label, tensors, units, rows, first, stacked=False))
    return results


def _refuse_options(op: OnnxOp, args: Args) -> None:
    if op.whole("input_forget", 0):
        raise UnreadableModelError(
            "its input gate is one minus its forget gate (input_forget=1); export it with both"
        )
    peepholes = constant_or_none(args, PEEPHOLES, "peepholes")
    if peepholes is not None and peepholes.value.any():
        raise UnreadableModelError(
            "it has peepholes (the input P), which are not supported; train it without them"
        )


def _length(args: Args, steps: int) -> int:
    """The steps that are run, of those that the input has."""
    length_const = constant_or_none(args, 4, "sequence_lens")
    lengths = (
        {steps}
        if length_const is None
        else {int(length) for length in length_const.value.reshape(-1)}
    )
    if len(lengths) != 1 or not 1 <= min(lengths) <= steps:
        raise UnreadableModelError(
            f"its sequence_lens are {sorted(lengths)}, and its input has {steps} steps; sequences "
            f"of one length of 1 to {steps} steps are supported"
        )
    return lengths.pop()


def _first_steps(d: Drawing, name: str, x: str, length: int) -> str:
    bounds = bounds_along(d.shapes[x], 0, 0, length)
    return d.add(g.SliceNode(d.fresh(f"{name}_length"), x, *bounds))


def _zeros_behind(d: Drawing, name: str, y: str, count: int) -> str:
    """What is yielded for the steps that are not run."""
    pads = ((0, count), *((0, 0),) * (len(d.shapes[y]) - 1))
    return d.add(g.PadNode(d.fresh(f"{name}_rest"), y, pads, 0.0))


def _steps_first(d: Drawing, x: View, *, first: bool) -> View:
    """The input as (steps, batch, features), whose tensor has its axes in this order."""
    x = with_all_axes(settle_scale(d, x))
    if len(x.order) != 3 or d.batch != 1:
        raise UnreadableModelError(
            f"its input has {len(x.order)} axes; (steps, batch, features) is supported"
        )
    if first:
        x = replace(x, order=(x.order[1], x.order[0], x.order[2]))
    if x.order[0] is None:
        raise UnreadableModelError(
            "its steps lie along the axis that counts samples (or along one that was added before "
            "it); say with --batch-axis which axis counts samples"
        )
    return arrange_axes(d, x)


def _functions_of(op: OnnxOp, ways: int) -> Iterator[tuple[GateFunction, ...]]:
    """The functions of each direction; parameters go, in order, to those that take them."""
    listed = op.attributes.get("activations")
    defaults = DEFAULTS[op.kind]
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in listed or defaults * ways]
    if len(names) != len(defaults) * ways:
        raise UnreadableModelError(f"it has {len(names)} activations for {ways} directions")
    alphas, betas = (
        list(op.attributes.get(key) or ()) for key in ("activation_alpha", "activation_beta")
    )
    function_names = {name.lower(): name for name in (*PLAIN, *SHAPED)}
    functions: list[GateFunction] = []
    for name in names:
        kind = function_names.get(name.lower())
        if kind is None:
            raise UnreadableModelError(f"its activation {name!r} is not known")
        if kind in PLAIN:
            functions.append(GateFunction(kind))
            continue
        alpha, beta = SHAPED[kind]
        alpha = alphas.pop(0) if alphas else alpha
        if beta is not None and betas:
            beta = betas.pop(0)
        functions.append(GateFunction(kind, float(alpha), float(beta or 0.0)))
    for way in range(ways):
        yield tuple(functions[way * len(defaults) : (way + 1) * len(defaults)])


def _start(
    d: Drawing, name: str, args: Args, at: int, place: int, rows: int, units: int, first: bool
) -> str | None:
    """The state of the first step of one direction; None for zeros."""
    start_value = args[at] if at < len(args) else None
    shape = (units,) if rows == 1 else (rows, units)
    if start_value is None:
        return None
    if isinstance(start_value, Const):
        values = finite(start_value, "initial state")
        picked = np.take(values, place, axis=1 if first else 0)
        if picked.size != rows * units:
            raise UnreadableModelError(f"its initial state has the shape {values.shape}")
        if not picked.any():
            return None
        return d.add(g.ConstantNode(d.fresh(f"{name}_start"), picked.reshape(shape)))
    view = arrange_axes(d, with_all_axes(settle_scale(d, start_value)))
    whole = d.shapes[view.tensor]
    axis = 1 if first else 0
    if len(whole) != 3 or whole[axis] <= place:
        raise UnreadableModelError(f"its initial state has the shape {whole}")
    bounds = bounds_along(whole, axis, place, place + 1)
    cut = d.add(g.SliceNode(d.fresh(f"{name}_start"), view.tensor, *bounds))
    return d.add(g.ReshapeNode(d.fresh(f"{name}_start_row"), cut, shape))


def _run(
    d: Drawing,
    name: str,
    label: str,
    x: str,
    recurrence: r.Recurrence,
    op: OnnxOp,
    *,
    backwards: bool,
) -> r.RecurrenceResult:
    site = OperatorSite(d, name)
    if backwards:
        x = r.reverse(site, x, f"{label}_reversed".lstrip("_"))
    stacked = bool(op.outputs[0])
    with_states = (stacked and any(op.outputs[1:])) or any(op.outputs[2:])
    result = r.add_recurrence(site, label, x, recurrence, stacked=stacked, with_states=with_states)
    if backwards and stacked:
        y = r.reverse(site, result.y, f"{label}_in_order".lstrip("_"))
        result = replace(result, y=y)
    return result


def _join_ways(
    d: Drawing,
    name: str,
    tensors: list[str],
    units: int,
    rows: int,
    first: bool,
    *,
    stacked: bool,
) -> View:
    """The directions side by side, as the file has them: Y is (steps, directions, batch, units),
    a state (directions, batch, units); with layout=1 the batch comes first."""
    shape = d.shapes[tensors[0]]
    steps = shape[:1] if stacked and len(shape) > (1 if rows == 1 else 2) else ()
    tensor = tensors[0]
    if len(tensors) > 1:
        parts = [
            d.add(g.ReshapeNode(d.fresh(f"{one}_way"), one, (*steps, 1, *shape[len(steps) :])))
            for one in tensors
        ]
        tensor = d.add(g.ConcatNode(d.fresh(f"{name}_ways"), tuple(parts), len(steps)))
    axes: dict[str, int | None] = dict.fromkeys(("steps", "ways", "batch", "units"))
    present = [*(["steps"] if steps else []), *(["ways"] if len(tensors) > 1 else [])]
    present += [*(["batch"] if rows > 1 else []), "units"]
    axes |= {axis: number for number, axis in enumerate(present)}
    order = ["ways", "batch", "units"]
    if stacked:
        order = ["steps", *order]
    if first:
        order = ["batch", *(axis for axis in order if axis != "batch")]
    return View(tensor, tuple(axes[axis] for axis in order), merged=True)


@dataclass(slots=True)
class _Body:
    """One direction's step in the making."""

    d: Drawing
    op: OnnxOp
    args: Args
    place: int  # of the direction in the weights
    functions: tuple[GateFunction, ...]
    stem: str
    nodes: list[g.Node] = field(default_factory=list)
    shapes: dict[str, g.Shape] = field(default_factory=dict)

    def add(self, node: g.Node) -> str:
        self.shapes[node.name] = g.shape_of(node, self.shapes)
        self.nodes.append(node)
        return node.name

    def named(self, label: str) -> str:
        return free_name(f"{self.stem}/{label}", self.shapes)

    def shape(self, tensor: str) -> g.Shape:
        return self.shapes[tensor]

    def recurrence(
        self, entry: g.Shape, units: int, starts: tuple[str | None, ...]
    ) -> r.Recurrence:
        """The whole step."""
        x = self.add(g.InputNode(self.named("x"), entry))
        states = [
            self.add(g.InputNode(self.named(name), (*entry[:-1], units)))
            for name in ("h", "c")[: len(starts)]
        ]
        match self.op.kind:
            case "LSTM":
                result = r.lstm_step(self, x, states[0], states[1], LSTM_ORDER)
            case "GRU":
                after = bool(self.op.whole("linear_before_reset", 0))
                result = r.gru_step(self, x, states[0], reset_after=after)
            case _:  # "RNN", the one left that is read so
                result = r.simple_step(self, x, states[0])
        return r.Recurrence(tuple(self.nodes), x, tuple(states), result, starts)

    def project(self, x: str, part: str) -> str:
        """x times the columns of W or R that the part stands for."""
        recurrent = part in (r.RECURRENT, r.CANDIDATE_RECURRENT)
        kind, gates = self.op.kind, GATES[self.op.kind]
        weights = constant(self.args, 2 if recurrent else 1, "weights")
        if weights.value.ndim != 3 or weights.value.shape[1] % gates:
            raise UnreadableModelError(f"its weights have the shape {weights.value.shape}")
        columns = self._columns(part, weights.value.shape[1] // gates)
        kernel = move_const(weights, lambda values: values[self.place][columns].T)
        layer = self.stem if part == r.KERNEL else f"{self.stem}/{part}"
        bias = self._bias(part, columns, recurrent=recurrent)
        name = self.named(part)
        if kernel.value.shape[0] != self.shapes[x][-1]:
            raise UnreadableModelError(
                f"its weights of {weights.value.shape} do not fit {self.shapes[x][-1]} features"
            )
        matrix = kernel_of(self.d, kernel, f"{kind} {layer}")
        if matrix.format is not None:
            self.d.weights[f"{layer}/kernel"] = matrix.format
        plain = bool((matrix.scale == 1.0).all())
        if bias is not None and self.d.quantized:
            fixed = fixed_bias(bias, exact=self.d.stepwise)
            bias = fixed.values
            self.d.weights[f"{layer}/bias" if plain else f"{layer}_scale/shift"] = fixed.format
        y = self.add(g.DenseNode(name, layer, x, matrix.values, bias if plain else None))
        if plain:
            return y
        shift = np.zeros(1) if bias is None else bias
        scale = np.atleast_1d(matrix.scale)
        return self.add(
            g.AffineNode(self.named(f"{part}_scale"), f"{layer}_scale", y, scale, shift)
        )

    def _columns(self, part: str, units: int) -> slice:
        if self.op.kind != "GRU":
            return slice(None)
        return slice(2 * units) if part in (r.KERNEL, r.RECURRENT) else slice(2 * units, None)

    def _bias(self, part: str, columns: slice, *, recurrent: bool) -> g.Floats | None:
        """Both biases stand at the input's kernel, unless a gate lies between them."""
        bias_const = constant_or_none(self.args, 3, "bias")
        if bias_const is None:
            return None
        values = finite(bias_const, "bias")
        if values.ndim != 2 or values.shape[1] % 2:
            raise UnreadableModelError(f"its bias has the shape {values.shape}")
        of_input, of_state = np.split(values[self.place], 2)
        apart = part in (r.CANDIDATE, r.CANDIDATE_RECURRENT) and bool(
            self.op.whole("linear_before_reset", 0)
        )
        if recurrent:
            return of_state[columns] if apart else None
        return (of_input if apart else of_input + of_state)[columns]

    def activate(self, x: str, role: str, label: str) -> str:
        functions = self.functions
        place = {r.GATE: 0, r.VALUE: min(1, len(functions) - 1), r.OUTPUT: -1}[role]
        if role != r.OUTPUT:
            x = self._clipped(x, label)
        return self._apply(functions[place], x, self.named(label))

    def _clipped(self, x: str, label: str) -> str:
        """What goes into a gate, limited as the file says."""
        clip = self.op.real("clip", 0.0)
        if clip <= 0:
            return x
        for kind, limit, word in (
            (g.MergeKind.MINIMUM, clip, "most"),
            (g.MergeKind.MAXIMUM, -clip, "least"),
        ):
            bound = self.add(g.ConstantNode(self.named(f"{label}_{word}"), np.asarray([limit])))
            x = self.add(g.MergeNode(self.named(f"{label}_in"), (x, bound), kind))
        return x

    def _apply(self, function: GateFunction, x: str, name: str) -> str:
        alpha, beta = function.alpha, function.beta
        match function.kind:
            case "Affine":
                return self._affine(x, name, alpha, beta)
            case "ScaledTanh":
                inside = self._affine(x, f"{name}_inside", beta, 0.0)
                curve = self.add(g.ActivationNode(f"{name}_tanh", inside, g.Function.TANH))
                return self._affine(curve, name, alpha, 0.0)
            case "LeakyRelu":
                return self.add(g.ActivationNode(name, x, g.Function.LEAKY_RELU, (alpha,)))
            case "ThresholdedRelu":
                return self.add(g.ActivationNode(name, x, g.Function.THRESHOLDED_RELU, (alpha,)))
            case "HardSigmoid":
                return self.add(g.ActivationNode(name, x, g.Function.HARD_SIGMOID, (alpha, beta)))
            case "Elu":
                return self.add(g.ActivationNode(name, x, g.Function.ELU, (alpha,)))
            case _:  # the rest of the names that `_functions_of` lets through
                return self.add(g.ActivationNode(name, x, PLAIN[function.kind]))

    def _affine(self, x: str, name: str, scale: float, shift: float) -> str:
        return self.add(g.AffineNode(name, name, x, np.asarray([scale]), np.asarray([shift])))
