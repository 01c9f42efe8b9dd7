# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Graph computed in float64, slow and plain: what readers are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import product
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.functions import evaluate as function_of
from edgeinfer.graph.nodes import (
    ActivationNode,
    AffineNode,
    BatchNormNode,
    ConcatNode,
    ConstantNode,
    ConvNode,
    DenseNode,
    Graph,
    IndexingNode,
    InputNode,
    MergeKind,
    MergeNode,
    MoveNode,
    Node,
    PoolNode,
    PoolNodeKind,
    PReluNode,
    ScanNode,
    SoftmaxNode,
)
from quantization.fixed import dequantize, quantize
from quantization.recipe import Recipe

Floats = NDArray[np.float64]


def evaluate(
    graph: Graph, inputs: Mapping[str, Floats], recipe: Recipe | None = None
) -> dict[str, Floats]:
    """Every tensor of a batch; activations go through the recipe's quantizers, weights do not."""
    batch = len(next(iter(inputs.values())))
    quantizers = dict(recipe.activations) if recipe else {}
    tensors: dict[str, Floats] = {}
    for node in graph.nodes:
        if isinstance(node, InputNode):
            value = np.asarray(inputs[node.name], dtype=np.float64)
        elif isinstance(node, ConstantNode):
            value = np.broadcast_to(node.value, (batch, *node.value.shape))
        else:
            value = _value(node, tensors, recipe)
        if node.name in quantizers:
            quantizer = quantizers[node.name]
            value = dequantize(quantize(value, quantizer), quantizer.type)
        assert value.shape == (batch, *graph.shapes[node.name]), node.name
        tensors[node.name] = value
    return tensors


def outputs(graph: Graph, inputs: list[Floats], recipe: Recipe | None = None) -> tuple[Floats, ...]:
    """The outputs, for inputs in the graph's order."""
    named = {node.name: x for node, x in zip(graph.inputs, inputs, strict=True)}
    tensors = evaluate(graph, named, recipe)
    return tuple(tensors[name] for name in graph.outputs)


def _value(node: Node, tensors: Mapping[str, Floats], recipe: Recipe | None) -> Floats:
    match node:
        case InputNode() | ConstantNode():
            raise AssertionError("made by the caller")
        case ScanNode():
            return _scanned(node, tensors, recipe)
        case MergeNode():
            return _merged(node, _same_rank([tensors[x] for x in node.xs]))
        case ConcatNode():
            axis = node.axis if node.axis < 0 else node.axis + 1
            return np.concatenate([tensors[x] for x in node.xs], axis=axis)
        case IndexingNode():
            return node.values(*(tensors[x] for x in node.reads))
        case _:
            x = tensors[node.x]
    match node:
        case ConvNode():
            return _convolved(node, x)
        case DenseNode():
            return x @ node.kernel + (0.0 if node.bias is None else node.bias)
        case BatchNormNode() | AffineNode():
            return node.scale * x + node.shift
        case ActivationNode():
            return function_of(node.function, node.parameters, x)
        case PReluNode():
            return np.where(x >= 0, x, node.slope * x)
        case SoftmaxNode():
            axis = node.axis if node.axis < 0 else node.axis + 1
            if node.mask is not None:
                x, mask = _same_rank([x, tensors[node.mask]])
                x = np.where(mask > 0, x, -1e9)
            powers = np.exp(x - x.max(axis=axis, keepdims=True))
            return powers / powers.sum(axis=axis, keepdims=True)
        case PoolNode():
            return _pooled(node, x)
        case MoveNode():
            return np.stack([node.move(each, node.fill) for each in x])
        case _:
            assert_never(node)


def _scanned(node: ScanNode, tensors: Mapping[str, Floats], recipe: Recipe | None) -> Floats:
    names = [inputs.name for inputs in node.body.inputs]
    states = [tensors[x] for x in node.starts]
    yielded = []
    for step in range(tensors[node.xs[0]].shape[1]):
        read = [*(tensors[x][:, step] for x in node.xs), *states]
        result = evaluate(node.body, dict(zip(names, read, strict=True)), recipe)
        y, *states = (result[name] for name in node.body.outputs)
        yielded.append(y)
    return np.stack(yielded, axis=1) if node.stacked else yielded[-1]


def _same_rank(parts: list[Floats]) -> list[Floats]:
    rank = max(part.ndim for part in parts)
    return [p.reshape(len(p), *(1,) * (rank - p.ndim), *p.shape[1:]) for p in parts]


def _merged(node: MergeNode, parts: list[Floats]) -> Floats:
    match node.kind:
        case MergeKind.ADD:
            return sum(parts[1:], start=parts[0])
        case MergeKind.SUBTRACT:
            return parts[0] - parts[1]
        case MergeKind.MULTIPLY:
            return reduce(np.multiply, parts)
        case MergeKind.AVERAGE:
            return sum(parts[1:], start=parts[0]) / len(parts)
        case MergeKind.MAXIMUM:
            return reduce(np.maximum, parts)
        case MergeKind.MINIMUM:
            return reduce(np.minimum, parts)
        case _:
            assert_never(node.kind)


def _taps(node: ConvNode | PoolNode, x: Floats, fill: float) -> dict[tuple[int, ...], Floats]:
    """For each position in the window: what all outputs see there."""
    rank = len(node.strides)
    window = node.kernel.shape[:rank] if isinstance(node, ConvNode) else node.window
    dilation = node.dilation if isinstance(node, ConvNode) else (1,) * rank
    padded = np.pad(x, ((0, 0), *node.pads, (0, 0)), constant_values=fill)
    reach = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    counts = [
        (size - r) // step + 1
        for size, r, step in zip(padded.shape[1:-1], reach, node.strides, strict=True)
    ]
    taps = {}
    for place in product(*(range(w) for w in window)):
        cuts = [
            slice(p * d, p * d + (n - 1) * s + 1, s)
            for p, d, n, s in zip(place, dilation, counts, node.strides, strict=True)
        ]
        taps[place] = padded[(slice(None), *cuts)]
    return taps


def _convolved(node: ConvNode, x: Floats) -> Floats:
    groups, width = node.groups, node.kernel.shape[-1] // node.groups
    total: Floats | float = 0.0
    for place, seen in _taps(node, x, 0.0).items():
        channels = seen.reshape(*seen.shape[:-1], groups, -1)
        kernel = node.kernel[place].reshape(-1, groups, width)
        products = np.einsum("...gi,igo->...go", channels, kernel)
        total = total + products.reshape(*seen.shape[:-1], -1)
    return total + (0.0 if node.bias is None else node.bias)


def _pooled(node: PoolNode, x: Floats) -> Floats:
    if node.kind is PoolNodeKind.MAX:
        return np.maximum.reduce(list(_taps(node, x, -np.inf).values()))
    total = sum(_taps(node, x, 0.0).values())
    if node.kind is PoolNodeKind.SUM:
        return total
    counted = np.ones_like(x)
    if node.count_pads:
        return total / np.prod(node.window)
    return total / sum(_taps(node, counted, 0.0).values())
