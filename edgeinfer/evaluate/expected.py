# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What its formats make of a float network: every tensor with bounds, computed in float64.

This shares nothing with the integers of a Program but the definition of rounding. A Program whose
outputs lie outside these bounds is wrong, whatever its formats are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import assert_never

import numpy as np

from edgeinfer.evaluate import bounded
from edgeinfer.evaluate.bounded import UNIT, Enclosure, widen
from edgeinfer.graph import nodes as g
from edgeinfer.graph.functions import CURVES, evaluate
from edgeinfer.ir import ops
from edgeinfer.ir.lower import AVERAGE_BITS, LoweredModel
from edgeinfer.ir.lower_functions import SLOPE_BITS
from edgeinfer.ir.program import HostFunction
from quantization.fixed import HUGE, Overflow, Quantizer, Rounding, dequantize, quantize
from quantization.recipe import Recipe, WeightFormat

Floats = g.Floats

FUNCTION_ERROR = 4 * UNIT  # relative, of exp and its kin
SMALLEST = 2.0**-1000


def expected_values(lowered: LoweredModel, inputs: Mapping[str, Floats]) -> dict[str, Enclosure]:
    """Bounds of every tensor of the lowered graph, before what is left to the host."""
    graph = lowered.graph
    hosted = {o.name for o in lowered.program.outputs if o.host is not HostFunction.NONE}
    walk = _Walk(graph, lowered.recipe, lowered.built, len(next(iter(inputs.values()))))
    for node in graph.nodes:
        if node.name not in hosted or node.name not in graph.outputs:
            walk.values[node.name] = walk.value_of(node, inputs)
    return walk.values


@dataclass(slots=True)
class _Walk:
    graph: g.Graph
    recipe: Recipe
    built: Mapping[str, ops.Op]
    batch: int
    values: dict[str, Enclosure] = field(default_factory=dict)

    def value_of(self, node: g.Node, inputs: Mapping[str, Floats | Enclosure]) -> Enclosure:
        """A node's tensor in its format."""
        if isinstance(node, g.InputNode):
            enclosure = inputs[node.name]
            if not isinstance(enclosure, Enclosure):
                enclosure = Enclosure(np.asarray(enclosure, np.float64))
            exact = enclosure
        else:
            exact = self._exact(node)
        out = self.recipe.activation(node.name)
        return exact if out is None else bounded.round_values(exact, out)

    def _weight(self, key: str, values: Floats) -> tuple[Floats, int | None]:
        """The numbers that a weight's format makes of it, and the grid that they lie on."""
        fmt = self.recipe.weight(key)
        if fmt is None:
            return np.asarray(values, np.float64), None
        return held_weights(values, fmt), fmt.frac if fmt.bits <= 53 else None

    def _exact(self, node: g.Node) -> Enclosure:
        match node:
            case g.InputNode():
                raise AssertionError(node)
            case g.ConstantNode():
                value, frac = self._weight(f"{node.name}/value", node.value)
                return Enclosure(np.broadcast_to(value, (self.batch, *value.shape)), None, frac)
            case g.ConvNode() | g.DenseNode():
                return self._linear(node)
            case g.BatchNormNode() | g.AffineNode():
                scale, frac = self._weight(f"{node.layer}/scale", node.scale)
                shift, shift_frac = self._weight(f"{node.layer}/shift", node.shift)
                x = self._ranked(node.x, max(scale.ndim, shift.ndim))
                return bounded.scale(x, scale, frac, shift, shift_frac)
            case g.PReluNode():
                slope, frac = self._weight(f"{node.layer}/slope", node.slope)
                return _apply_slope(self._ranked(node.x, slope.ndim), slope, frac)
            case g.ActivationNode():
                return self._activation(node)
            case g.SoftmaxNode():
                return self._softmax(node)
            case g.PoolNode():
                return self._pool(node)
            case g.MergeNode():
                return self._merge(node)
            case g.ConcatNode():
                axis = node.axis % len(self.graph.shapes[node.name]) + 1
                parts = [self.values[x] for x in node.xs]
                return bounded.join(parts, lambda arrays: np.concatenate(arrays, axis))
            case g.ScanNode():
                return self._scan(node)
            case g.PadNode():
                return self._pad(node)
            case g.MoveNode():
                return bounded.move_elements(self.values[node.x], lambda x: _move_elements(node, x))
            case g.IndexingNode():
                return bounded.choose_elements(node, [self.values[x] for x in node.reads])
            case _:
                assert_never(node)

    def _ranked(self, tensor: str, rank: int) -> Enclosure:
        """A tensor with at least so many axes behind the batch."""
        x, shape = self.values[tensor], self.graph.shapes[tensor]
        padded = (-1, *(1,) * (rank - len(shape)), *shape)
        return x if len(shape) >= rank else bounded.move_elements(x, lambda a: a.reshape(padded))

    def _linear(self, node: g.ConvNode | g.DenseNode) -> Enclosure:
        x = self.values[node.x]
        kernel, frac = self._weight(f"{node.layer}/kernel", node.kernel)
        bias: Floats = np.zeros(kernel.shape[-1])
        bias_frac: int | None = 0
        if node.bias is not None:
            bias, bias_frac = self._weight(f"{node.layer}/bias", node.bias)
        if isinstance(node, g.DenseNode):
            return bounded.linear(x, kernel, frac, bias, bias_frac)
        rank = len(node.strides)
        window = kernel.shape[:rank]

        def columns(values: Floats) -> Floats:
            """(groups, batch, positions, taps x channels)"""
            place = (window, node.strides, node.pads, node.dilation)
            windows = np.moveaxis(bounded.unfold_windows(values, *place, 0.0), rank + 1, -1)
            parts = windows.reshape(*windows.shape[:-1], node.groups, -1)
            parts = np.moveaxis(parts, -2, 0)
            return parts.reshape(
                node.groups, len(values), math.prod(windows.shape[1 : rank + 1]), -1
            )

        shape = (*kernel.shape[:-1], node.groups, -1)
        weight = np.moveaxis(kernel.reshape(shape), -2, 0)
        weight = weight.reshape(node.groups, 1, -1, weight.shape[-1])
        shift = bias.reshape(node.groups, 1, 1, -1)
        y = bounded.linear(bounded.move_elements(x, columns), weight, frac, shift, bias_frac)
        out = (-1, *self.graph.shapes[node.name])
        return bounded.move_elements(y, lambda values: np.moveaxis(values, 0, -2).reshape(out))

    def _built(self, node: g.Node, suffix: str = "") -> ops.Op | None:
        """An op that lowering made for a node, as it was before any pass."""
        exact = self.built.get(f"{node.name}.exact{suffix}")
        return exact or self.built.get(f"{node.name}{suffix}")

    def _activation(self, node: g.ActivationNode) -> Enclosure:
        x, function = self.values[node.x], node.function

        def curve(values: Floats) -> Floats:
            if function not in CURVES:
                return evaluate(function, node.parameters, values)
            inside = np.clip(values, *CURVES[function].domain(*node.parameters))
            return np.clip(evaluate(function, node.parameters, inside), -HUGE, HUGE)

        match function:
            case g.Function.LINEAR:
                return x
            case g.Function.RELU | g.Function.RELU6 | g.Function.HARD_TANH:
                return bounded.map_values(x, curve, bounded.finest(x.frac, 0))
            case g.Function.SIGN | g.Function.TERNARY:
                return bounded.map_values(x, curve, 0)
            case g.Function.LEAKY_RELU:
                y = _turning(x, curve, (0.0,))
                below = np.maximum(-x.low, 0.0) * abs(node.parameters[0])
                return widen(y, below * 2.0 ** (2 - SLOPE_BITS))
            case _:  # the rest is a table, or a line, below
                pass
        index, table = self._built(node, ".index"), self._built(node)
        if function is g.Function.HARD_SIGMOID and not isinstance(table, ops.Table):
            power, offset = np.asarray(node.parameters[0]), np.asarray(node.parameters[1])
            line = bounded.scale(x, power, 1 - math.frexp(node.parameters[0])[1], offset, 24)
            return bounded.map_values(
                line, lambda v: np.clip(v, 0.0, 1.0), bounded.finest(line.frac, 0)
            )
        if isinstance(index, ops.Requant):
            x = bounded.round_values(x, Quantizer(index.type, index.rounding, index.overflow))
        if steepest := CURVES[function].winds:
            spread = 0.0 if x.radius is None else np.where(x.radius > 0, steepest, 0.0) * x.radius
            y = widen(Enclosure(curve(x.centre)), spread)
        else:
            y = _turning(x, curve, CURVES[function].turns(*node.parameters))
        error = FUNCTION_ERROR * np.abs(y.centre) + SMALLEST
        y = widen(y, np.where(y.centre == x.centre, 0.0, error))  # some are the identity above 0
        if isinstance(table, ops.Table) and self.recipe.activation(node.name) is None:
            y = bounded.round_values(y, Quantizer(table.type, Rounding.RND_CONV, Overflow.SAT))
        return y

    def _softmax(self, node: g.SoftmaxNode) -> Enclosure:
        """Through the two tables that the Program states, each off by what its index drops."""
        op, x, axis = self._built(node), self.values[node.x], node.axis
        assert isinstance(op, ops.Softmax)
        axis = axis % len(self.graph.shapes[node.x]) + 1
        if node.mask is not None:
            mask = self._ranked(node.mask, len(self.graph.shapes[node.x]))
            x = bounded.hide(x, mask.centre)
        unit = math.ldexp(1.0, op.exp_shift - self.built[op.x].type.frac)
        half = op.exp_type.lsb / 2
        near = x.low.max(axis, keepdims=True) - x.high
        far = x.high.max(axis, keepdims=True) - x.low
        low = np.maximum(np.exp(-np.maximum(far, 0.0)) - half, 0.0)
        high = np.minimum(np.exp(unit - np.maximum(near, 0.0)), 1.0) + half
        least, most = low.sum(axis, keepdims=True), high.sum(axis, keepdims=True)
        bucket = math.ldexp(op.exp_type.lsb, op.inverse_shift)
        slack = op.inverse_type.lsb
        inverse_low = np.maximum(1.0 / np.maximum(most + bucket, 1.0) - slack, 0.0)
        inverse_high = 1.0 / np.maximum(least - bucket, 1.0) + slack
        inverse_high = np.minimum(inverse_high, op.inverse_type.max)
        y = bounded.between(low * inverse_low, high * inverse_high)
        return bounded.round_values(y, op.quantizer)

    def _pool(self, node: g.PoolNode) -> Enclosure:
        x, rank = self.values[node.x], len(node.window)
        axes = tuple(range(-rank, 0))
        place = (node.window, node.strides, node.pads, (1,) * rank)

        def cut_windows(values: Floats, fill: float) -> Floats:
            return bounded.unfold_windows(values, *place, fill)

        if node.kind is g.PoolNodeKind.MAX:
            return bounded.map_values(x, lambda v: cut_windows(v, -np.inf).max(axes), x.frac)
        value = cut_windows(x.centre, 0.0).sum(axes)
        radius = None if x.radius is None else cut_windows(x.radius, 0.0).sum(axes)
        area = math.prod(node.window)
        y = bounded.compute_floats(value, radius, x.frac, x.top * area, area)
        if node.kind is g.PoolNodeKind.SUM:
            return y
        inside = cut_windows(np.ones_like(x.centre[:1, ..., :1]), float(node.count_pads)).sum(axes)
        return _divide(y, inside)

    def _merge(self, node: g.MergeNode) -> Enclosure:
        rank = max(len(self.graph.shapes[x]) for x in node.xs)
        xs = [self._ranked(x, rank) for x in node.xs]
        kinds = g.MergeKind
        match node.kind:
            case kinds.ADD:
                return reduce(lambda a, b: bounded.combine(a, b, np.add), xs)
            case kinds.SUBTRACT:
                return reduce(lambda a, b: bounded.combine(a, b, np.subtract), xs)
            case kinds.MULTIPLY:
                return reduce(bounded.product, xs)
            case kinds.MAXIMUM:
                return reduce(lambda a, b: _extreme(a, b, np.maximum), xs)
            case kinds.MINIMUM:
                return reduce(lambda a, b: _extreme(a, b, np.minimum), xs)
            case kinds.AVERAGE:
                total = reduce(lambda a, b: bounded.combine(a, b, np.add), xs)
                return _divide(total, np.full((), float(len(xs))))
            case _:
                assert_never(node.kind)

    def _scan(self, node: g.ScanNode) -> Enclosure:
        """Step by step; a state is rounded to its format when a step reads it."""
        names = [port.name for port in node.body.inputs]
        states = [self.values[x] for x in node.starts]
        yielded: list[Enclosure] = []
        for step in range(self.graph.shapes[node.xs[0]][0]):
            xs = [self._entry(self.values[x], step) for x in node.xs]
            inputs = dict(zip(names, [*xs, *states], strict=True))
            walk = _Walk(node.body, self.recipe, self.built, self.batch)
            for each in node.body.nodes:
                walk.values[each.name] = walk.value_of(each, inputs)
            y, *states = [walk.values[tensor] for tensor in node.body.outputs]
            yielded.append(y)
        if not node.stacked:
            return yielded[-1]
        return bounded.join(yielded, lambda arrays: np.stack(arrays, 1))

    @staticmethod
    def _entry(x: Enclosure, step: int) -> Enclosure:
        return bounded.move_elements(x, lambda values: values[:, step])

    def _pad(self, node: g.PadNode) -> Enclosure:
        x, value = self.values[node.x], node.value
        op = self._built(node)
        if isinstance(op, ops.Pad):
            exact = math.ldexp(op.value, -op.type.frac)
            value = exact if abs(exact - value) <= op.type.lsb else value
        around = ((0, 0), *node.pads)
        centre = np.pad(x.centre, around, constant_values=value)
        radius = None if x.radius is None else np.pad(x.radius, around)
        on_grid = x.frac is not None and math.ldexp(value, x.frac).is_integer()
        return Enclosure(centre, radius, x.frac if on_grid else None)


def held_weights(values: Floats, fmt: WeightFormat) -> Floats:
    """Weights as their format holds them, channel by channel."""
    reals = np.asarray(values, np.float64)
    if not fmt.per_channel:
        return dequantize(quantize(reals, fmt.quantizers[0]), fmt.quantizers[0].type)
    channels = [
        dequantize(quantize(reals[..., c], quantizer), quantizer.type)
        for c, quantizer in enumerate(fmt.quantizers)
    ]
    return np.stack(channels, axis=-1)


def _move_elements(node: g.MoveNode, x: Floats) -> Floats:
    """Elements of a batch at their new places."""
    shape = x.shape[1:]
    elements: Floats = x.reshape(len(x), -1)[:, node.sources(shape)]
    return elements.reshape(-1, *node.shape_of(shape))


def _turning(
    x: Enclosure, curve: Callable[[Floats], Floats], turns: tuple[float, ...]
) -> Enclosure:
    """A function that rises or falls between its turns: what it has at the ends and at the turns,
    on both sides of each."""
    if x.radius is None:
        return Enclosure(curve(x.centre))
    ends = curve(x.low), curve(x.high)
    low, high = np.minimum(*ends), np.maximum(*ends)
    for turn in turns:
        inside = (x.low <= turn) & (turn < x.high)
        for value in curve(np.asarray([turn, np.nextafter(turn, np.inf)])):
            low = np.where(inside, np.minimum(low, value), low)
            high = np.where(inside, np.maximum(high, value), high)
    return bounded.between(low, high)


def _apply_slope(x: Enclosure, slope: Floats, frac: int | None) -> Enclosure:
    value = np.where(x.centre >= 0, x.centre, x.centre * slope)
    steepest = np.maximum(np.abs(slope), 1.0)
    radius = None if x.radius is None else x.radius * steepest + 0.0 * value
    grid = None if frac is None or x.frac is None else x.frac + max(frac, 0)
    return bounded.compute_floats(value, radius, grid, x.top * float(steepest.max()))


def _divide(x: Enclosure, counts: Floats) -> Enclosure:
    """x / counts: exact by a power of two, else by a factor of a stated precision."""
    exponents = np.frexp(counts)
    if (exponents[0] == 0.5).all():
        deepest = int(exponents[1].max()) - 1
        frac = None if x.frac is None else x.frac + deepest
        radius = None if x.radius is None else x.radius / counts
        return Enclosure(x.centre / counts, radius, frac)
    y = Enclosure(x.centre / counts, None if x.radius is None else x.radius / counts)
    top = np.maximum(np.abs(y.low), np.abs(y.high))
    return widen(y, top * 2.0 ** (1 - AVERAGE_BITS))


def _extreme(a: Enclosure, b: Enclosure, choose: Callable[[Floats, Floats], Floats]) -> Enclosure:
    low, high = choose(a.low, b.low), choose(a.high, b.high)
    return bounded.between(low, high, bounded.finest(a.frac, b.frac))
