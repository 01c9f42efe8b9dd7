# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Graph + Recipe -> Program: every tensor an integer, every accumulator's width proved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import assert_never

import numpy as np

from edgeinfer.base.errors import ProgramError, RecipeError, did_you_mean
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.graph.windows import count_elements
from edgeinfer.ir import host, ops
from edgeinfer.ir.builder import ProgramBuilder, align_integers, provisional
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.lower_functions import activate, hide, hide_constant, softmax
from edgeinfer.ir.lower_indexing import add_up, look_in_table, look_up, rank_rows
from edgeinfer.ir.ops import PairKind, PoolKind, pack_weights
from edgeinfer.ir.passes import optimize
from edgeinfer.ir.program import Output, Program, exact_name
from quantization.fixed import (
    Fixed,
    FormatError,
    Ints,
    Quantizer,
    fixed_of_range,
    quantize,
    requantize,
    shift_left,
)
from quantization.ranges import LIMIT, shrink_array
from quantization.recipe import Recipe

AVERAGE_BITS = 18  # of 1/n where n is no power of two
PAIRS = {
    g.MergeKind.ADD: PairKind.ADD,
    g.MergeKind.AVERAGE: PairKind.ADD,
    g.MergeKind.SUBTRACT: PairKind.SUB,
    g.MergeKind.MULTIPLY: PairKind.MUL,
    g.MergeKind.MAXIMUM: PairKind.MAX,
    g.MergeKind.MINIMUM: PairKind.MIN,
}

MOVES: dict[type, Callable[..., ops.Moves]] = {  # by what moves; node and op have the same fields
    kind.__bases__[-1]: kind for kind in ops.KINDS if issubclass(kind, ops.Moves)
}
MOVED_FROM = 2  # a node's name and operand come before what says where elements go


@dataclass(frozen=True, slots=True)
class LoweredModel:
    """A Program, the recipe that is complete for it, and what had to be decided on the way."""

    program: Program
    graph: g.Graph
    recipe: Recipe
    findings: tuple[str, ...]
    built: Mapping[str, ops.Op]  # by name, before the passes: tables, indices, what lowering chose


def lower(graph: g.Graph, recipe: Recipe, *, host_functions: bool = True) -> LoweredModel:
    """The integer network that a graph is under a recipe.

    A batch norm whose scale the recipe names, or whose input it rounds where merging would lose
    that name, keeps its own multiplier; any other is folded into the layer before it. With
    `host_functions`, a final softmax or sigmoid that the recipe gives no format is left to the host
    and the logits are the output.
    """
    drawn = graph
    rounded = {name for name, _ in recipe.activations}
    kept = {
        node.name
        for node in graph.nodes
        if isinstance(node, g.BatchNormNode | g.AffineNode)
        and (
            recipe.weight(f"{node.layer}/scale")
            or (node.x in rounded and node.name in {*rounded, *graph.outputs})
        )
    }
    graph = fold_batch_norms(graph, keep=kept, named=rounded)
    check_names(graph, recipe, also=drawn)
    filled = complete_recipe(graph, recipe)
    findings = list(filled.findings)
    builder = ProgramBuilder(graph.name)
    walk = _Walk(builder, graph, filled.recipe, findings, {})
    outputs = host.host_functions(graph, filled.recipe.activation) if host_functions else {}
    for node in graph.nodes:
        if node.name not in outputs:
            walk.values[node.name] = walk.lower_node(node)
    states = {output: name for name, output in graph.states.items()}
    program = builder.program(
        tuple(
            Output(name, walk.values[outputs[name][0]], outputs[name][1])
            if name in outputs
            else Output(name, walk.state_after(name, states.get(name)))
            for name in graph.outputs
        )
    )
    return LoweredModel(
        optimize(program),
        graph,
        filled.recipe,
        tuple(findings),
        {op.name: op for op in program.all_ops()},
    )


def check_names(graph: g.Graph, recipe: Recipe, *, also: g.Graph) -> None:
    """Refuse a recipe that names what the graph does not have, before or after folding."""
    keys = [key for network in (graph, also) for key, _ in network.weights()]
    tensors = [node.name for network in (graph, also) for node in network.all_nodes()]
    unknown = recipe.unknown_names(tensors, keys)
    if unknown:
        raise RecipeError(
            f"The recipe names {', '.join(map(repr, unknown))}, which {graph.name} does not have.",
            hint=did_you_mean(unknown[0], [*tensors, *keys])
            or f"Its tensors are {', '.join(list(graph.shapes)[:8])}.",
        )


@dataclass(slots=True)
class _Walk:
    """One pass over the graph: which value holds which tensor."""

    b: ProgramBuilder
    graph: g.Graph
    recipe: Recipe
    findings: list[str]
    values: dict[str, str]
    weights: dict[str, ops.Weights] = field(default_factory=dict)  # by key, of layers so far

    def lower_node(self, node: g.Node) -> str:
        """Append what a node means, and its requantisation; the name of the final value."""
        out = self.recipe.activation(node.name)
        if isinstance(node, g.InputNode):
            return self._input(node)
        before = exact_name(node.name) if out else node.name
        if isinstance(node, g.SoftmaxNode):
            x = self._x(node.x)
            if node.mask is not None:
                x = self._hide(node, node.mask, x)
            return softmax(self.b, node.name, x, node.axis, out, self.findings)
        if isinstance(node, g.ActivationNode):
            x = self._x(node.x)
            value = activate(self.b, node, before, x, out, self.findings)
        elif isinstance(node, g.LookNode) and isinstance(self.graph.node(node.x), g.ConstantNode):
            value = self._look_in_table(node, before, out)
        else:
            value = self._exact(node, before)
        if out is None or self._already(value, before, out):
            return value
        return self.b.requant(node.name, value, out)

    def _already(self, value: str, name: str, out: Quantizer) -> bool:
        """Whether a table has been filled with entries of the wanted type."""
        last = self.b.ops[-1]
        return value == name and isinstance(last, ops.Table) and last.type == out.type

    def _x(self, tensor: str) -> str:
        return self.values[tensor]

    def _input(self, node: g.InputNode) -> str:
        quantizer = self.recipe.activation(node.name)
        if quantizer is None:
            raise ProgramError(f"{self.graph.name}: the input {node.name} has no format.")
        return self.b.add(ops.Input(node.name, quantizer.type, node.shape, node.output_before))

    def state_after(self, tensor: str, state: str | None) -> str:
        """The value of an output, in the format of the input that it is for the next sample."""
        value, out = self.values[tensor], None if state is None else self.recipe.activation(state)
        if out is None or self.b.types[value] == out.type:
            return value
        return self.b.requant(f"{state}.next", value, out)

    def _weight(self, key: str, values: g.Floats) -> tuple[Ints, Fixed]:
        fmt = self.recipe.weight(key)
        if fmt is None:
            raise RecipeError(f"The recipe names no format for {key}.")
        try:
            raw = fmt.raw(values)
        except FormatError as error:
            raise RecipeError(f"{key}: {error}") from None
        if len(set(fmt.quantizers)) == 1:
            return raw, fmt.quantizers[0].type
        return raw, fixed_of_range(int(raw.min()), max(int(raw.max()), 0), fmt.frac)

    def _constants(self, key: str, values: g.Floats, node: g.Node) -> tuple[Ints, Fixed]:
        """As `_weight`, on the coarsest grid, in the narrowest type and the fewest numbers."""
        raw, type_ = self._weight(key, values)
        raw, frac = align_integers(
            raw, type_.frac, min(type_.frac, 0)
        )  # never finer, so never larger
        shape = self.graph.shapes[node.name]
        if any(self.graph.shapes[x] == shape for x in g.inputs_of(node)):
            raw = shrink_array(raw)
        return raw, fixed_of_range(int(raw.min()), max(int(raw.max()), 0), frac)

    def _bias(self, node: g.ConvNode | g.DenseNode, least: int) -> tuple[Ints, int]:
        channels = node.kernel.shape[-1]
        if node.bias is None:
            return np.zeros(channels, np.int64), least
        key = f"{node.layer}/bias"
        raw, type_ = self._weight(key, node.bias)
        try:
            return align_integers(raw, type_.frac, least)
        except FormatError as error:
            raise RecipeError(
                f"{key} lies on the grid of {least} fractional bits of the products. {error}",
                hint=f"Give {node.x} or {node.layer}/kernel fewer fractional bits in the recipe.",
            ) from None

    def _exact(self, node: g.Node, name: str) -> str:
        b = self.b
        match node:
            case g.ConvNode() | g.DenseNode():
                return self._linear(node, name)
            case g.BatchNormNode() | g.AffineNode():
                factor, factor_type = self._constants(f"{node.layer}/scale", node.scale, node)
                shift, shift_type = self._constants(f"{node.layer}/shift", node.shift, node)
                rank = max(node.scale.ndim, node.shift.ndim, len(self.graph.shapes[node.x]))
                x = self._ranked(name, node.x, rank)
                return b.affine(name, x, factor, factor_type, shift, shift_type.frac)
            case g.PReluNode():
                return self._prelu(node, name)
            case g.ConstantNode():
                raw, type_ = self._constants(f"{node.name}/value", node.value, node)
                return b.exact(ops.Constant(name, provisional(type_.frac), pack_weights(raw)))
            case g.PoolNode():
                return self._pool(node, name)
            case g.PadNode():
                return self._pad(node, name)
            case g.UpsampleNode() if set(node.factors) == {1}:
                return self._x(node.x)
            case g.MoveNode():
                where = (getattr(node, each.name) for each in fields(node)[MOVED_FROM:])
                return b.exact(MOVES[type(node).__bases__[-1]](name, *self._grid(node.x), *where))
            case g.MergeNode():
                return self._merge(node, name)
            case g.ConcatNode():
                xs = tuple(self._x(x) for x in node.xs)
                frac = max(b.frac(x) for x in xs)
                axis = node.axis % len(b.shapes[xs[0]])
                return b.exact(ops.Concat(name, provisional(frac), xs, axis))
            case g.ScanNode():
                return self._scan(node, name)
            case g.LookNode():
                return look_up(b, node, name, *(self._x(x) for x in node.reads))
            case g.ScatterNode():
                return add_up(b, node, name, *(self._x(x) for x in node.reads))
            case g.RankNode():
                return rank_rows(b, node, name, self._x(node.x))
            case g.SitesNode():
                return self._sites(node, name)
            case g.IndexingNode() | g.InputNode() | g.ActivationNode() | g.SoftmaxNode():
                raise AssertionError(node)  # lowered before this is called
            case _:
                assert_never(node)

    def _scan(self, node: g.ScanNode, name: str) -> str:
        """A recurrence, whose body is a Program of its own. States begin in their format."""
        body_inputs = []
        for x, each in zip(g.inputs_of(node), node.body.inputs, strict=True):
            out = self.recipe.activation(each.name)
            value = self._x(x)
            body_inputs.append(
                value if out is None else self.b.requant(f"{each.name}.0", value, out)
            )
        formats = {
            each.name: self.recipe.activation(each.name) or Quantizer(self.b.types[value])
            for value, each in zip(body_inputs, node.body.inputs, strict=True)
        }
        builder = ProgramBuilder(f"{node.name}.body")
        walk = _Walk(builder, node.body, self.recipe.updated(Recipe.of(formats)), self.findings, {})
        for inner in node.body.nodes:
            walk.values[inner.name] = walk.lower_node(inner)
        y, *after = node.body.outputs
        outputs = [Output(y, walk.values[y])]
        for tensor, state in zip(after, node.states, strict=True):
            value, out = walk.values[tensor], formats[state.name]
            if builder.types[value] != out.type:
                value = builder.requant(f"{state.name}.next", value, out)
            outputs.append(Output(tensor, value))
        body, split = builder.program(tuple(outputs)), len(node.xs)
        xs, starts = tuple(body_inputs[:split]), tuple(body_inputs[split:])
        grid = provisional(builder.frac(walk.values[y]))
        return self.b.exact(ops.Scan(name, grid, xs, starts, body, node.stacked))

    def _grid(self, tensor: str) -> tuple[Fixed, str]:
        x = self._x(tensor)
        return provisional(self.b.frac(x)), x

    def _ranked(self, reader: str, tensor: str, rank: int) -> str:
        """A tensor with as many axes as those it is combined with."""
        grid, x = self._grid(tensor)
        shape = self.b.shapes[x]
        if len(shape) >= rank:
            return x
        padded = (1,) * (rank - len(shape)) + shape
        return self.b.exact(ops.Reshape(f"{reader}.{tensor}", grid, x, padded))

    def _hide(self, node: g.SoftmaxNode, mask: str, x: str) -> str:
        """What a softmax reads, without what its mask leaves out."""
        maker, name = self.graph.node(mask), f"{node.name}.masked"
        if isinstance(maker, g.ConstantNode):
            return hide_constant(self.b, name, x, maker.value > 0)
        rank = len(self.graph.shapes[node.x])
        return hide(self.b, name, x, self._ranked(f"{node.name}.mask", mask, rank))

    def _linear(self, node: g.ConvNode | g.DenseNode, name: str) -> str:
        x = self._x(node.x)
        raw, type_ = self._weight(f"{node.layer}/kernel", node.kernel)
        bias, frac = self._bias(node, self.b.frac(x) + type_.frac)
        grid = provisional(frac)
        weight = self._once(f"{node.layer}/kernel", pack_weights(raw))
        short = self._once(f"{node.layer}/bias", pack_weights(bias))
        match node:
            case g.DenseNode():
                return self.b.exact(ops.Dense(name, grid, x, weight, type_, short))
            case g.ConvNode():
                window = (node.strides, node.pads, node.dilation, node.groups)
                return self.b.exact(ops.Conv(name, grid, x, weight, type_, short, *window))
            case _:
                assert_never(node)

    def _once(self, key: str, weights: ops.Weights) -> ops.Weights:
        """The integers of a layer that is called again are those of its first call."""
        first = self.weights.setdefault(key, weights)
        return first if first.dtype == weights.dtype and np.array_equal(first, weights) else weights

    def _prelu(self, node: g.PReluNode, name: str) -> str:
        rank = max(node.slope.ndim, len(self.graph.shapes[node.x]))
        x = self._ranked(name, node.x, rank)
        raw, type_ = self._constants(f"{node.layer}/slope", node.slope, node)
        if type_.frac < 0:
            raw = self._shifted(f"{node.layer}/slope", raw, -type_.frac)
            type_ = Fixed(type_.signed, type_.integer, type_.integer)
        grid = provisional(self.b.frac(x) + type_.frac)
        return self.b.exact(ops.PRelu(name, grid, x, pack_weights(raw), type_))

    def _shifted(self, key: str, raw: Ints, shift: int) -> Ints:
        try:
            return shift_left(raw, shift)
        except FormatError as error:
            raise RecipeError(f"{key}, as whole numbers: {error}") from None

    def _pad(self, node: g.PadNode, name: str) -> str:
        x = self._x(node.x)
        if not any(map(any, node.pads)):
            return x
        if abs(node.value) >= math.ldexp(1.0, LIMIT.bit_length() - 1 - self.b.frac(x)):
            raise ProgramError(
                f"{self.graph.name}: {name}: the padding {node.value:g} on the grid of {node.x}, "
                f"{self.b.types[x]}, needs more than 63 bits."
            )
        value = quantize(np.asarray(node.value), Quantizer(Fixed(True, 63, 63 - self.b.frac(x))))
        if float(value) * 2.0 ** -self.b.frac(x) != node.value:
            self.findings.append(f"{name}: the padding {node.value:g} is rounded to x's grid.")
        return self.b.exact(ops.Pad(name, provisional(self.b.frac(x)), x, node.pads, int(value)))

    def _look_in_table(self, node: g.LookNode, name: str, out: Quantizer | None) -> str:
        """The rows of a constant, already rounded as the recipe has it."""
        table = self.graph.node(node.x)
        assert isinstance(table, g.ConstantNode)
        raw, type_ = self._weight(f"{table.name}/value", table.value)
        if out is not None:
            raw, type_ = requantize(raw, type_.frac, out), out.type
        return look_in_table(self.b, name, raw, type_, self._x(node.index))

    def _pool(self, node: g.PoolNode, name: str) -> str:
        grid, x = self._grid(node.x)
        window = (node.window, node.strides, node.pads)
        match node.kind:
            case g.PoolNodeKind.MAX:
                return self.b.exact(ops.Pool(name, grid, x, PoolKind.MAX, *window))
            case g.PoolNodeKind.AVERAGE:
                op = ops.Pool(f"{name}.sum", grid, x, PoolKind.SUM, *window)
                counts = averaged_counts(node, self.b.shapes[x][:-1])
                return self._divided(name, self.b.exact(op), counts)
            case g.PoolNodeKind.SUM:
                return self.b.exact(ops.Pool(name, grid, x, PoolKind.SUM, *window))
            case _:
                assert_never(node.kind)

    def _sites(self, node: g.SitesNode, name: str) -> str:
        """Raw integers above the threshold: those above what is left of it, rounded down."""
        x = self._x(node.x)
        range_, scaled = self.b.ranges[x], math.ldexp(node.threshold, self.b.frac(x))
        below, above = range_.bottom - 1, range_.top  # which all, or none, are above
        raw = below if scaled < below else above if scaled > above else math.floor(scaled)
        return self.b.exact(ops.Sites(name, provisional(0), x, raw, node.most))

    def _divided(self, name: str, x: str, counts: Ints) -> str:
        """x / counts: a shift where all are one power of two, else a fixed-point multiplier."""
        if counts.size == 1 and int(counts).bit_count() == 1:
            return self.b.shifted(name, x, 1 - int(counts).bit_length(), 0, self.b.frac(x))
        least = int(counts.max())
        frac = AVERAGE_BITS + least.bit_length() - 1
        factor = quantize(1.0 / counts, Quantizer(Fixed(True, 62, 62 - frac)))
        type_ = fixed_of_range(0, int(factor.max()), frac)
        self.findings.append(
            f"{name}: 1/{least} is not a fixed-point number; it is rounded to {AVERAGE_BITS} "
            "significant bits."
        )
        return self.b.affine(name, x, factor, type_, np.zeros((), np.int64), self.b.frac(x))

    def _limited(self, node: g.MergeNode, name: str) -> str | None:
        """A maximum or minimum with one number that x's grid holds: a clip."""
        constants = [x for x in node.xs if isinstance(self.graph.node(x), g.ConstantNode)]
        if len(node.xs) != 2 or len(constants) != 1:
            return None
        other = next(x for x in node.xs if x not in constants)
        limit = self.graph.node(constants[0])
        assert isinstance(limit, g.ConstantNode)
        raw, type_ = self._constants(f"{limit.name}/value", limit.value, limit)
        spare = self.b.frac(self._x(other)) - type_.frac
        if raw.size == 0 or (raw != raw.flat[0]).any() or spare < 0:
            return None
        if self.graph.shapes[node.name] != self.graph.shapes[other]:
            return None
        bound = int(raw.flat[0]) << spare
        if node.kind is g.MergeKind.MAXIMUM:
            return self.b.clip(name, self._x(other), bound, None)
        return self.b.clip(name, self._x(other), None, bound)

    def _merge(self, node: g.MergeNode, name: str) -> str:
        if node.kind in (g.MergeKind.MAXIMUM, g.MergeKind.MINIMUM):
            limited = self._limited(node, name)
            if limited is not None:
                return limited
        rank = max(len(self.graph.shapes[x]) for x in node.xs)
        kind, xs = PAIRS[node.kind], [self._ranked(name, x, rank) for x in node.xs]
        last = f"{name}.sum" if node.kind is g.MergeKind.AVERAGE else name
        steps = [f"{name}.{i}" for i in range(len(xs) - 2)] + [last]
        named = zip(xs[1:], steps, strict=True)
        total = reduce(lambda a, step: self.b.pair(step[1], a, step[0], kind), named, xs[0])
        if node.kind is not g.MergeKind.AVERAGE:
            return total
        return self._divided(name, total, np.asarray(len(xs), np.int64))


def averaged_counts(node: g.PoolNode, sizes: ops.Shape) -> Ints:
    """Elements under the window: one number where it is the same everywhere, else one for each
    position (with a last axis of 1 for the channels)."""
    if node.count_pads or all(pad == (0, 0) for pad in node.pads):
        return np.asarray(math.prod(node.window), np.int64)
    return count_elements(sizes, node.window, node.strides, node.pads)[..., None]
