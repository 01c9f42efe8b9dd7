# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""SimpleRNN, LSTM, GRU, RNN around their cells, and Bidirectional around any of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph import recurrent as r
from edgeinfer.readers.keras import activations
from edgeinfer.readers.keras.attention import call_options
from edgeinfer.readers.keras.builder import GraphBuilder, Site
from edgeinfer.readers.keras.cells import CellConfig, cells_of, directions_of
from edgeinfer.readers.keras.config import LayerConfig, references
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.linear import F32, add_product
from edgeinfer.readers.keras.masks import mask_of
from edgeinfer.readers.keras.quantizer_config import quantizer
from edgeinfer.readers.keras.quantizers import Spec

GATES = ("input", "forget", "cell", "output")  # in the order of Keras's kernels
MERGES = {"sum": g.MergeKind.ADD, "mul": g.MergeKind.MULTIPLY, "ave": g.MergeKind.AVERAGE}
STATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}


def read_recurrent(site: Site) -> tuple[str, ...]:
    """The layer's outputs: what its steps yield, then the states where they are asked for."""
    if site.layer.kind.endswith("Bidirectional"):
        return _read_both(site)
    called = _read_call(site)
    cells = cells_of(site.layer)
    direction = _read_direction(site, site.layer, cells, "", called, called.starts)
    return (direction.y, *direction.states)


@dataclass(frozen=True, slots=True)
class _Call:
    """What the layer is called with; `mask`: the tensor whose zero steps do not count."""

    x: str
    starts: tuple[str, ...]
    mask: str | None


def _read_call(site: Site) -> _Call:
    """By position, then by name."""
    options = call_options(site)
    by_name = [name for name in sorted(options) for _ in references(options[name])]
    tensors = site.inputs
    roles = ["x", *[""] * (len(tensors) - len(by_name) - 1), *by_name]
    masks = [tensor for tensor, role in zip(tensors, roles, strict=False) if role == "mask"]
    x, *starts = (tensor for tensor in tensors if tensor not in masks)
    if masks:
        return _Call(x, tuple(starts), masks[0])
    # Keras 3 calls a layer with the mask of what it reads only where it reads one tensor.
    unmasked = isinstance(site.call, Mapping) and len(tensors) > 1
    return _Call(x, tuple(starts), None if unmasked else mask_of(site, x))


def _read_both(site: Site) -> tuple[str, ...]:
    fields = site.fields
    merge = fields.get("merge_mode", "concat")
    if merge not in (None, "concat", *MERGES):
        raise UnsupportedLayerError(f"its merge_mode is {merge!r}, which is not known")
    forward, backward = directions_of(site.layer)
    called = _read_call(site)
    starts = called.starts
    half = len(starts) // 2
    directions = []
    for layer, label, part in (
        (forward, "forward", starts[:half]),
        (backward, "backward", starts[half:]),
    ):
        cells = cells_of(layer, f"{label}_", f"{label}_layer/cell")
        directions.append(_read_direction(site, layer, cells, label, called, part))
    there, back = directions
    y = back.y
    if backward.fields.flag("return_sequences", False):
        y = r.reverse(site, y, "backward_in_order")
    states = (*there.states, *back.states)
    if merge is None:
        return (there.y, y, *states)
    if merge == "concat":
        return (site.add(g.ConcatNode(site.name(), (there.y, y), -1)), *states)
    return (site.add(g.MergeNode(site.name(), (there.y, y), MERGES[merge])), *states)


def _read_direction(
    site: Site,
    layer: LayerConfig,
    cells: tuple[CellConfig, ...],
    label: str,
    called: _Call,
    start_states: tuple[str, ...],
) -> r.RecurrenceResult:
    fields, x, mask = layer.fields, called.x, called.mask
    _refuse_options(site, fields)
    shape = site.shape(x)
    if len(shape) != 2:
        raise UnsupportedLayerError(
            f"it reads a tensor of {shape}; a sequence, (steps, features), is supported"
        )
    beside = _masked_sequence(site, x, mask)
    if fields.flag("go_backwards", False):
        x = r.reverse(site, x, f"{label}_reversed".lstrip("_"))
        beside = tuple(r.reverse(site, each, f"{label}_mask".lstrip("_")) for each in beside)
    step = _StepSite.beside(site, label, cells[0])
    entry = step.add(g.InputNode(step.named("x"), shape[1:]))
    step_mask = entry
    for each in beside:
        step_mask = step.add(g.InputNode(step.named("seen"), site.shape(each)[1:]))
    states: list[str] = []
    after: list[str] = []
    y = entry
    for number, cell in enumerate(cells):
        mark = "" if len(cells) == 1 else f"{number + 1}"
        cell_result, cell_states = _read_cell(replace(step, cell=cell, mark=mark), y)
        y = cell_result.y
        states += cell_states
        after += cell_result.states
    if start_states and len(start_states) != len(states):
        raise UnsupportedLayerError(
            f"it is called with {len(start_states)} initial states and has {len(states)}"
        )
    count = len(states)
    keeps = (
        fields.flag("stateful", False) and not start_states
    )  # else each call begins with what is given
    ports = _add_state_inputs(site, step, label, states) if keeps else ()
    starts: tuple[str | None, ...] = tuple(start_states) or tuple(port for port, _ in ports)
    starts = starts or (None,) * count
    result = r.StepResult(y, tuple(after))
    if mask is not None:
        zeros = fields.flag("zero_output_for_mask", False)
        last = None if zeros else _last_output(step, result, states, starts)
        if (
            last is not None and last not in states
        ):  # it begins with zeros, whatever the states begin with
            states, starts = [*states, last], (*starts, None)
            result = r.StepResult(y, (*after, y))
        result = r.mask_step(step, step_mask, result, states, last)
    # the states are the body's inputs after the entries, whatever was made between them
    inputs = [node for node in step.builder.nodes if isinstance(node, g.InputNode)]
    rest = [node for node in step.builder.nodes if not isinstance(node, g.InputNode)]
    recurrence = r.Recurrence(
        (*inputs, *rest),
        entry,
        tuple(states),
        result,
        starts,
        beside,
    )
    made_all = r.add_recurrence(
        site,
        label,
        x,
        recurrence,
        stacked=fields.flag("return_sequences", False),
        with_states=fields.flag("return_state", False) or keeps,
    )
    for (_, output), state in zip(ports, made_all.states, strict=False):
        site.add(g.ActivationNode(output, state, g.Function.LINEAR))
    returned = made_all.states[:count] if fields.flag("return_state", False) else ()
    return replace(made_all, states=returned)


def _add_state_inputs(
    site: Site, step: _StepSite, label: str, states: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    """For each state an input that holds it before a sample, and the name of the output that it is
    after the sample."""
    builder, key = site.builder, f"{site.layer.path}/{label}"
    if builder.repeated or key in builder.kept:
        raise UnsupportedLayerError(
            "it is stateful and called more than once for a sample; give the state as an input "
            "(initial_state) and take it as an output (return_state=True)"
        )
    ports = []
    for state in states:
        name = site.name(f"{label}_{state.rpartition('/')[2]}".lstrip("_"))
        output = builder.fresh(f"{name}_next")
        site.add(g.InputNode(name, step.shape(state), output))
        ports.append((name, output))
    builder.kept[key] = [output for _, output in ports]
    builder.find(
        f"{site.stem} is stateful: the samples are one stream. Its state before a sample is "
        f"{', '.join(name for name, _ in ports)}, zeros at first; after it "
        f"{', '.join(output for _, output in ports)}."
    )
    return tuple(ports)


def _masked_sequence(site: Site, x: str, mask: str | None) -> tuple[str, ...]:
    """The sequence whose steps tell which of x's count, besides x itself."""
    if mask is None:
        return ()
    if mask == x:
        return ()
    if len(site.shape(mask)) == 1:  # one number for each step
        mask = site.add(g.ReshapeNode(site.name("mask"), mask, (*site.shape(mask), 1)))
    return (mask,)


def _last_output(
    step: _StepSite, result: r.StepResult, states: list[str], starts: Sequence[str | None]
) -> str:
    """The state that holds what the step before has yielded, of which the first is zeros."""
    for after, state, start in zip(result.states, states, starts, strict=True):
        if after == result.y and start is None:
            return state
    return step.add(g.InputNode(step.named("before"), step.shape(result.y)))


def _refuse_options(site: Site, fields: Fields) -> None:
    if fields.flag("time_major", False):
        raise UnsupportedLayerError("its steps come before the batch (time_major=True)")
    kwargs = site.call.get("kwargs") if isinstance(site.call, Mapping) else None
    for name, value in (kwargs if isinstance(kwargs, Mapping) else {}).items():
        if name == "constants" and value is not None:
            raise UnsupportedLayerError("it is called with constants, which is not supported")


def _read_cell(site: _StepSite, x: str) -> tuple[r.StepResult, list[str]]:
    """One cell's step, and the inputs that are its states."""
    kind = site.cell.kind.removeprefix("Q").removesuffix("Cell")
    units = site.cell.fields.integer("units")
    if units < 1:
        raise UnsupportedLayerError(f"it has {units} units")
    states = [
        site.add(g.InputNode(site.named(name), (units,))) for name in ("h", "c")[: STATES[kind]]
    ]
    match kind:
        case "SimpleRNN":
            result = r.simple_step(site, x, states[0])
        case "LSTM":
            result = r.lstm_step(site, x, states[0], states[1], GATES)
        case _:  # "GRU", the one left in `cells.FOLDERS`
            after = site.cell.fields.flag("reset_after", False)
            result = r.gru_step(site, x, states[0], reset_after=after)
    return r.StepResult(result.y, tuple(map(site.keep, result.states, states))), states


@dataclass(frozen=True, slots=True)
class _StepSite:
    """The body of a recurrence in the making."""

    outer: Site
    builder: GraphBuilder
    stem: str
    cell: CellConfig
    mark: str = ""  # of the cell, where there are several

    @staticmethod
    def beside(site: Site, label: str, cell: CellConfig) -> _StepSite:
        """An empty body, whose formats and findings are the model's."""
        return _StepSite(site, site.builder.body(), f"{site.stem}/{label}".rstrip("/"), cell)

    def add(self, node: g.Node) -> str:
        return self.builder.add(node)

    def named(self, label: str) -> str:
        return self.builder.fresh("/".join(part for part in (self.stem, self.mark, label) if part))

    def shape(self, tensor: str) -> g.Shape:
        return self.builder.shapes[tensor]

    def project(self, x: str, part: str) -> str:
        """x times the columns of a kernel that the part stands for."""
        recurrent = part in (r.RECURRENT, r.CANDIDATE_RECURRENT)
        kernel, bias = self._weights(x, part, recurrent=recurrent)
        fields = self.cell.fields
        stated = fields.get("recurrent_quantizer" if recurrent else "kernel_quantizer")
        kernel_spec = quantizer(stated, of_kernel=True)
        bias_spec = quantizer(fields.get("bias_quantizer"))
        return self._product(x, part, kernel, bias, (kernel_spec, bias_spec))

    def _product(
        self,
        x: str,
        part: str,
        kernel: F32,
        bias: F32 | None,
        specs: tuple[Spec | None, Spec | None],
    ) -> str:
        path = "/".join(filter(None, (self.outer.layer.path, self.cell.prefix.rstrip("_"))))
        path = path if part == r.KERNEL else f"{path}/{part}"
        layer = replace(self.outer.layer, path=path)
        site = Site(self.builder, layer, self.named(part), (x,), {})

        def make(name: str, layer: str, values: g.Floats, shift: g.Floats | None) -> g.Node:
            return g.DenseNode(name, layer, x, values, shift)

        return add_product(site, make, kernel, kernel.shape, specs[0], bias, specs[1])

    def _weights(self, x: str, part: str, *, recurrent: bool) -> tuple[F32, F32 | None]:
        cell, site = self.cell, self.outer
        kind, units = cell.kind, cell.fields.integer("units")
        gates = {"SimpleRNNCell": 1, "LSTMCell": 4, "GRUCell": 3}[kind.removeprefix("Q")]
        name = f"{cell.prefix}{'recurrent_kernel' if recurrent else 'kernel'}"
        kernel = site.shaped(name, (self.shape(x)[-1], gates * units))
        both = gates == 3 and cell.fields.flag("reset_after", False)
        bias = np.zeros((2, gates * units), np.float32)
        if cell.fields.flag("use_bias", True):
            shape = (2, gates * units) if both else (gates * units,)
            bias[: 2 if both else 1] = site.shaped(f"{cell.prefix}bias", shape)
        if gates != 3:
            return kernel, None if recurrent else bias[0]
        split = 2 * units
        if part == r.KERNEL:
            return kernel[:, :split], bias[0, :split]
        if part == r.RECURRENT:
            return kernel[:, :split], bias[1, :split] if both else None
        own = bias[1 if recurrent else 0, split:]
        return kernel[:, split:], own if both or not recurrent else None

    def keep(self, after: str, state: str) -> str:
        """What the next step reads: QKeras rounds a state when it reads it, and not before."""
        value = self.cell.fields.get("state_quantizer")
        step = activations.parse_activation(self.outer, value) if value is not None else None
        if step is None:
            return after
        site = Site(self.builder, self.outer.layer, self.stem, (after,), {})
        return activations.emit(site, after, step, self.builder.fresh(f"{state}_next"))

    def activate(self, x: str, role: str, label: str) -> str:
        fields = self.cell.fields
        value = fields.get("recurrent_activation" if role == r.GATE else "activation")
        step = activations.parse_activation(self.outer, value)
        site = Site(self.builder, self.outer.layer, self.stem, (x,), {})
        name = self.named(label)
        if step is None:
            return self.add(g.ActivationNode(name, x, g.Function.LINEAR))
        return activations.emit(site, x, step, name)
