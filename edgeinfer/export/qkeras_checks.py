# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What Keras and QKeras have no layer for: every obstacle in a graph and its recipe, found before
anything is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import numpy as np

from edgeinfer.base.errors import ModelError, Offence, RecipeError
from edgeinfer.export.qkeras_formats import obstacle, weight_obstacle
from edgeinfer.graph import nodes as g
from edgeinfer.graph.windows import same_pads
from quantization.fixed import Fixed, Quantizer
from quantization.recipe import Recipe

KERAS_HARD_SIGMOID = (1 / 6, 0.5)
QKERAS_HARD_SIGMOID = (0.5, 0.5)


def refuse_inexpressible(graph: g.Graph, recipe: Recipe) -> None:
    """One error that names every layer and format for which QKeras has no equal."""
    layers = tuple(_layer_offences(graph, recipe))
    formats = tuple(_format_offences(graph, recipe))
    if not layers and not formats:
        return
    listed = "; ".join(str(offence) for offence in (*layers, *formats))
    kind = ModelError if layers else RecipeError
    raise kind(
        f"{graph.name} cannot be written as a QKeras model: {listed}.",
        hint="Change what is listed, or keep the network in another form (ONNX, or its Program).",
    )


def _layer_offences(graph: g.Graph, recipe: Recipe) -> Iterator[Offence]:
    for node in graph.nodes:
        reason = layer_obstacle(node, graph, recipe.activation(node.name))
        if reason is not None:
            yield Offence(node.name, type(node).__name__.removesuffix("Node"), reason)


def _format_offences(graph: g.Graph, recipe: Recipe) -> Iterator[Offence]:
    keys: set[str] = set()
    for node in graph.nodes:
        quantizer = recipe.activation(node.name)
        reason = None if quantizer is None else obstacle(quantizer)
        if reason is not None:
            yield Offence(node.name, "format", reason)
        for key, values in g.weights_of(node).items():
            fmt = recipe.weight(key)
            if fmt is None or key in keys:
                continue
            keys.add(key)
            reason = weight_obstacle(values, fmt)
            if reason is not None:
                yield Offence(key, "format", reason)


def layer_obstacle(node: g.Node, graph: g.Graph, quantizer: Quantizer | None) -> str | None:
    """Why Keras has no layer of this meaning; None where it has one."""
    match node:
        case g.InputNode() | g.DenseNode() | g.ReshapeNode() | g.TransposeNode() | g.ConcatNode():
            return None
        case g.SoftmaxNode():
            return None if node.mask is None else "a softmax with a mask is no layer of QKeras"
        case g.ConstantNode():
            return "Keras layers hold no constant tensors"
        case g.ConvNode():
            if max(node.strides) > 1 and max(node.dilation) > 1:
                return "Keras takes strides or dilation, not both"
            return None
        case g.BatchNormNode():
            return None
        case g.AffineNode():
            x = graph.shapes[node.x]
            if per_channel(node.scale, x) and per_channel(node.shift, x):
                return None
            return f"its constants differ along other axes of {x} than the last"
        case g.PReluNode():
            x = graph.shapes[node.x]
            fits = node.slope.ndim <= len(x) and np.broadcast_shapes(x, node.slope.shape) == x
            return None if fits else f"slopes of {node.slope.shape} do not fit {x}"
        case g.ActivationNode():
            return _function_obstacle(node, quantizer)
        case g.PoolNode():
            return _pool_obstacle(node, graph.shapes[node.x])
        case g.PadNode():
            if node.value != 0.0 or node.pads[-1] != (0, 0) or len(node.pads) not in (2, 3):
                return "Keras pads spatial axes, and with zeros"
            return None
        case g.UpsampleNode():
            return None if len(node.factors) in (1, 2) else "Keras repeats one or two axes"
        case g.SliceNode():
            x = graph.shapes[node.x]
            whole = (node.starts[-1], node.stops[-1]) == (0, x[-1])
            if set(node.steps) != {1} or not whole or len(x) not in (2, 3):
                return "Keras crops spatial axes, and without steps"
            return None
        case g.MoveNode():
            return "Keras has no layer that moves elements so"
        case g.SitesNode() if node.most is None and graph.shapes[node.x][-1] == 1:
            return None
        case g.IndexingNode():
            return "Keras has no layer that finds elements by computed numbers"
        case g.MergeNode():
            if node.kind is g.MergeKind.SUBTRACT and len(node.xs) != 2:
                return f"Keras subtracts two tensors, not {len(node.xs)}"
            return None
        case g.ScanNode():
            return (
                "recurrences are not written as layers; write a recipe (-o F.toml) in their stead"
            )
        case _:
            assert_never(node)


def per_channel(values: g.Floats, x: g.Shape) -> bool:
    """Whether constants vary along the last axis only."""
    along_last = values.shape[-1:] in ((), (values.size,))
    return along_last and values.ndim <= len(x) and values.size in (1, x[-1])


def explicit(
    pads: g.Pads, sizes: g.Shape, window: g.Shape, strides: g.Shape, dilation: g.Shape
) -> bool:
    """Whether pads are neither none nor what Keras calls 'same'."""
    return any(map(any, pads)) and pads != same_pads(sizes, window, strides, dilation)


def _pool_obstacle(node: g.PoolNode, x: g.Shape) -> str | None:
    one = (1,) * len(node.window)
    if len(node.window) not in (1, 2):
        return f"Keras pools over one or two axes, not {len(node.window)}"
    padded = any(map(any, node.pads))
    if node.kind is g.PoolNodeKind.SUM:
        return "Keras has no sum over a window"
    if node.kind is g.PoolNodeKind.AVERAGE and node.count_pads:
        return None  # zeros around the tensor count like any others
    if padded and explicit(node.pads, x[:-1], node.window, node.strides, one):
        return f"Keras has no {node.kind} pooling with pads of {node.pads}"
    return None


def unit_type(function: g.Function, bits: int) -> Fixed:
    """The one type into which QKeras' own sigmoid or tanh rounds."""
    return Fixed(True, bits, 1) if function is g.Function.TANH else Fixed(False, bits, 0)


def _function_obstacle(node: g.ActivationNode, quantizer: Quantizer | None) -> str | None:
    match node.function:
        case g.Function.LEAKY_RELU if node.parameters[0] < 0:
            return f"Keras refuses the negative slope {node.parameters[0]:g}"
        case g.Function.HARD_SIGMOID if node.parameters == QKERAS_HARD_SIGMOID:
            if quantizer and quantizer.type == unit_type(node.function, quantizer.type.bits):
                return None
            return "QKeras has clip(x/2 + 1/2, 0, 1) in ufixed<bits,0> only"
        case g.Function.HARD_SIGMOID if node.parameters != KERAS_HARD_SIGMOID:
            return f"Keras 3 has no hard_sigmoid of slope {node.parameters[0]:g}"
        case g.Function.POWER_OF_TWO:
            return "QKeras finds powers of two through a logarithm in float32, not on integers"
        case _:  # nothing stands against the other functions
            return None
