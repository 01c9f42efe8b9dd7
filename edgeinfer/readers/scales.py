# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Real scales between roundings, brought together: what is computed in between are whole numbers.

A tensor that is whole numbers times a scale is replaced by the whole numbers, and the scale goes
through all that lets it (moves, maxima, sums, rectifiers, products with weights) to where the next
rounding divides by another one. Both meet in one multiplier for each channel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.base.names import free_name
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import rewire_node
from edgeinfer.graph.functions import CURVES, evaluate
from quantization.fixed import Quantizer, fixed_of_range

HOMOGENEOUS = (g.Function.RELU, g.Function.LEAKY_RELU)
ADDITIVE = frozenset(g.MergeKind) - {g.MergeKind.MULTIPLY}
CURVE_BITS = 16  # of a function's values that are computed with before they are rounded
FINE_BITS = 24  # of those that are rounded next


@dataclass(slots=True)
class _Scales:
    """Nodes done so far, and what scale each tensor still has to be multiplied by."""

    activations: dict[str, Quantizer]
    outputs: tuple[str, ...]
    names: set[str]
    nodes: list[g.Node] = field(default_factory=list)
    owed: dict[str, tuple[str, float]] = field(default_factory=dict)
    ranges: dict[str, tuple[int, int]] = field(default_factory=dict)  # of whole numbers
    computed: set[str] = field(default_factory=set)  # tensors that more than an Affine node reads

    def fresh(self, name: str) -> str:
        name = free_name(name, self.names)
        self.names.add(name)
        return name

    def affine(self, name: str, x: str, scale: float, shift: float = 0.0) -> str:
        """Append a multiplication by one number."""
        node = g.AffineNode(name, self.fresh(name), x, np.asarray([scale]), np.asarray([shift]))
        self.nodes.append(node)
        return name

    def owe(self, node: g.Node, scale: float, like: str) -> None:
        """Append a node whose tensor is to be multiplied by a scale still; `like`: the whole
        numbers that it moves."""
        name = node.name
        if name in self.outputs:
            node = replace(node, name=self.fresh(f"{name}_whole"))
        self.nodes.append(node)
        if like in self.ranges:
            self.ranges[node.name] = self.ranges[like]
        if name in self.outputs:
            self.affine(name, node.name, scale)
        else:
            self.owed[name] = (name, scale)

    def settle(self, node: g.Node) -> g.Node:
        """The node, reading tensors of which nothing is owed."""
        renamed: dict[str, str] = {}
        for x in g.inputs_of(node):
            if x in self.owed and x not in renamed:
                base, scale = self.owed[x]
                renamed[x] = self.affine(self.fresh(f"{base}_scaled"), base, scale)
        return rewire_node(node, renamed)


def carry_scales(
    nodes: list[g.Node], outputs: tuple[str, ...], activations: dict[str, Quantizer]
) -> list[g.Node]:
    """The nodes with scales carried on to the next rounding. Functions that look up whole numbers
    get a format, which is added to `activations`."""
    done = _Scales(activations, outputs, {node.name for node in nodes})
    for node in nodes:
        done.computed.update(() if isinstance(node, g.AffineNode) else g.inputs_of(node))
    for node in nodes:
        _carry(done, node)
    return _divide_before(done.nodes, {*outputs, *activations})


def _carry(done: _Scales, node: g.Node) -> None:
    if isinstance(node, g.BatchNormNode):
        node = g.AffineNode(node.name, node.name, node.x, node.scale, node.shift)
    xs = g.inputs_of(node)
    base, scale = done.owed.get(xs[0], (xs[0], 1.0)) if xs else ("", 1.0)
    if isinstance(node, g.AffineNode):
        node = replace(node, x=base, scale=node.scale * scale)
        free = node.name not in done.outputs and node.name not in done.activations
        if free and _is_factor(node):
            done.owed[node.name] = (base, float(node.scale.item()))
        else:
            _keep(done, node, base)
    elif not xs or xs[0] not in done.owed:
        _keep(done, done.settle(node), base)
    elif isinstance(node, g.ConvNode | g.DenseNode):
        if node.bias is None:
            done.owe(replace(node, x=base), scale, "")
        else:
            sums = done.fresh(f"{node.name}_sums")
            done.nodes.append(replace(node, name=sums, x=base, bias=None))
            layer = done.fresh(f"{node.name}_scale")
            factor = np.asarray([scale])
            done.nodes.append(g.AffineNode(node.name, layer, sums, factor, node.bias))
    elif (
        isinstance(node, g.PoolNode)
        and node.kind is g.PoolNodeKind.AVERAGE
        and not _over_edge(node)
    ):
        total = replace(node, x=base, kind=g.PoolNodeKind.SUM)
        done.owe(total, scale / math.prod(node.window), "")
    elif _is_homogeneous(node):
        done.owe(rewire_node(node, {xs[0]: base}), scale, base if _stays_whole(node) else "")
    elif _is_curve(node) and base in done.ranges and node.name not in done.activations:
        assert isinstance(node, g.ActivationNode)
        _look_up(done, node, base, scale)
    else:
        done.nodes.append(done.settle(node))


def _keep(done: _Scales, node: g.Node, x: str) -> None:
    """Append a node as it is, and note the range of whole numbers."""
    done.nodes.append(node)
    quantizer = done.activations.get(node.name)
    if quantizer is not None and quantizer.type.frac == 0:
        done.ranges[node.name] = (quantizer.type.raw_min, quantizer.type.raw_max)
    elif isinstance(node, g.AffineNode) and x in done.ranges and (node.scale == 1).all():
        low, high = done.ranges[x]
        moved = round(float(node.shift.reshape(-1)[0]))
        if (node.shift == moved).all():
            done.ranges[node.name] = (low + moved, high + moved)


def _look_up(done: _Scales, node: g.ActivationNode, x: str, scale: float) -> None:
    """A function of whole numbers: a table of what it is of each, in fine steps."""
    low, high = done.ranges[x]
    values = evaluate(node.function, node.parameters, scale * np.arange(low, high + 1.0))
    reach = float(np.abs(values).max())
    bits = CURVE_BITS if node.name in {*done.computed, *done.outputs} else FINE_BITS
    frac = bits - 1 - (math.frexp(reach)[1] if reach else 0)
    entries = np.rint(np.ldexp(values, frac))
    table = replace(
        node, x=x, function=g.Function.LOOKUP, parameters=(float(low), *entries.tolist())
    )
    name = table.name
    if name in done.outputs:
        table = replace(table, name=done.fresh(f"{name}_table"))
    ends = int(entries.min()), int(entries.max())
    done.activations[table.name] = Quantizer(fixed_of_range(*ends, 0))
    done.ranges[table.name] = ends
    done.nodes.append(table)
    if name in done.outputs:
        done.affine(name, table.name, math.ldexp(1.0, -frac))
    else:
        done.owed[name] = (table.name, math.ldexp(1.0, -frac))


def _is_factor(node: g.Node) -> bool:
    """Whether a node multiplies everything by one positive number."""
    if not isinstance(node, g.AffineNode) or node.scale.size != 1 or (node.shift != 0).any():
        return False
    return float(node.scale.item()) > 0


def _is_homogeneous(node: g.Node) -> bool:
    """Whether a node of one tensor, times a number, is the node of the tensor times that."""
    if isinstance(node, g.PadNode):
        return node.value == 0
    return isinstance(node, g.MoveNode | g.PoolNode) or (
        isinstance(node, g.ActivationNode) and node.function in HOMOGENEOUS
    )


def _stays_whole(node: g.Node) -> bool:
    """Whether a node makes whole numbers of whole numbers, none beyond them but zero."""
    if isinstance(node, g.PoolNode):
        return node.kind is g.PoolNodeKind.MAX
    return not isinstance(node, g.ActivationNode) or node.function is g.Function.RELU


def _is_curve(node: g.Node) -> bool:
    return isinstance(node, g.ActivationNode) and node.function in CURVES


def _over_edge(node: g.PoolNode) -> bool:
    """Whether a window hangs over the edge, so that fewer elements count there."""
    return any(pad != (0, 0) for pad in node.pads) and not node.count_pads


def _divide_before(nodes: list[g.Node], fixed: Container[str]) -> list[g.Node]:
    """A factor in front of a rounding goes up to where the numbers are made, through sums too."""
    table = {node.name: node for node in nodes}
    readers = Counter(x for node in nodes for x in g.inputs_of(node))
    more: dict[str, list[g.Node]] = {}
    renamed: dict[str, str] = {}
    for name in list(table):
        node = table[name] = rewire_node(table[name], renamed)
        if not isinstance(node, g.AffineNode) or node.scale.size != 1 or node.name in fixed:
            continue
        factor = float(node.scale.item())
        before = table[node.x]
        if (
            factor <= 0
            or isinstance(before, g.AffineNode)
            or not _absorbs(before, table, readers, fixed)
        ):
            continue
        _multiply(before, factor, table, readers, fixed, more)
        if node.shift.any():
            table[name] = replace(node, scale=np.ones(1))
        else:
            renamed[name] = node.x
            readers[node.x] = readers[name]
            del table[name]
    result: list[g.Node] = []
    for name in table:
        result += more.get(name, ())
        result.append(table[name])
    return result


def _absorbs(
    node: g.Node, table: Mapping[str, g.Node], readers: Mapping[str, int], fixed: Container[str]
) -> bool:
    """Whether a factor can become a part of a node, or of what it reads."""
    if node.name in fixed or readers[node.name] != 1:
        return False
    if isinstance(node, g.AffineNode):
        return True
    if isinstance(node, g.ConcatNode) or (isinstance(node, g.MergeNode) and node.kind in ADDITIVE):
        return any(_absorbs(table[x], table, readers, fixed) for x in node.xs)
    return _is_homogeneous(node) and _absorbs(table[g.inputs_of(node)[0]], table, readers, fixed)


def _multiply(
    node: g.Node,
    factor: float,
    table: dict[str, g.Node],
    readers: Mapping[str, int],
    fixed: Container[str],
    more: dict[str, list[g.Node]],
) -> None:
    """Multiply a node's tensor by a number, as `_absorbs` has found that it can be."""
    if isinstance(node, g.AffineNode):
        table[node.name] = replace(node, scale=node.scale * factor, shift=node.shift * factor)
        return
    renamed: dict[str, str] = {}
    for place, x in enumerate(g.inputs_of(node)):
        before = table[x]
        if _absorbs(before, table, readers, fixed):
            _multiply(before, factor, table, readers, fixed, more)
        elif isinstance(before, g.ConstantNode) and readers[x] == 1:
            table[x] = replace(before, value=before.value * factor)
        else:
            name = free_name(f"{node.name}_scaled{place}", table)
            scaled = g.AffineNode(name, name, x, np.asarray([factor]), np.zeros(1))
            more.setdefault(node.name, []).append(scaled)
            renamed[x] = name
    table[node.name] = rewire_node(node, renamed)
