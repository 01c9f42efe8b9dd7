# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Graph nodes as the configurations of Keras' and HGQ2's layers, without Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeinfer.export.qkeras_checks import explicit
from edgeinfer.graph import nodes as g

KERAS = "keras.layers"
CORE, CONV = "hgq.layers.core.dense", "hgq.layers.conv"
LAST = {"data_format": "channels_last"}
MERGES = {
    g.MergeKind.ADD: "Add",
    g.MergeKind.SUBTRACT: "Subtract",
    g.MergeKind.MULTIPLY: "Multiply",
    g.MergeKind.MAXIMUM: "Maximum",
    g.MergeKind.MINIMUM: "Minimum",
}
FUNCTIONS = {g.Function.LINEAR: "linear", g.Function.SIGMOID: "sigmoid", g.Function.TANH: "tanh"}


@dataclass(frozen=True, slots=True)
class LayerText:
    """A layer of a file: its class, where that is defined, its options, and what it makes."""

    kind: str
    module: str
    config: dict[str, Any]
    shape: g.Shape


def describe_layers(node: g.Node, graph: g.Graph) -> list[LayerText]:
    """The layers of a node in their order; none where no layer is known that means the same."""
    shape = graph.shapes[node.name]

    def keras(kind: str, **config: Any) -> list[LayerText]:
        return [LayerText(kind, KERAS, config, shape)]

    match node:
        case g.InputNode():
            return keras("InputLayer", batch_shape=[None, *shape], dtype="float32")
        case g.DenseNode():
            config = {"units": shape[-1], "activation": "linear", "use_bias": node.bias is not None}
            return [LayerText("QDense", CORE, config, shape)]
        case g.ConvNode() if len(node.strides) in (1, 2):
            return _describe_conv(node, graph)
        case g.ActivationNode(function=g.Function.RELU):
            return keras("ReLU", negative_slope=0.0, threshold=0.0)
        case g.ActivationNode() if node.function in FUNCTIONS:
            return keras("Activation", activation=FUNCTIONS[node.function])
        case g.SoftmaxNode():
            return keras("Softmax", axis=node.axis + 1 if node.axis >= 0 else node.axis)
        case g.PoolNode() if node.kind is not g.PoolNodeKind.SUM and len(node.window) in (1, 2):
            return _describe_pool(node, graph)
        case g.ReshapeNode():
            return keras("Reshape", target_shape=list(shape))
        case g.TransposeNode():
            return keras("Permute", dims=[axis + 1 for axis in node.order])
        case g.PadNode() if (
            node.value == 0 and node.pads[-1] == (0, 0) and len(node.pads) in (2, 3)
        ):
            return [_zeros(node.pads[:-1], shape)]
        case g.MergeNode() if node.kind in MERGES:
            return keras(MERGES[node.kind])
        case g.ConcatNode():
            return keras("Concatenate", axis=node.axis + 1 if node.axis >= 0 else node.axis)
        case _:  # the caller refuses what is not listed, by name
            return []


def _describe_conv(node: g.ConvNode, graph: g.Graph) -> list[LayerText]:
    rank, x = len(node.strides), graph.shapes[node.x]
    window = node.kernel.shape[:rank]
    padded = any(map(any, node.pads))
    nodes = []
    if explicit(node.pads, x[:-1], window, node.strides, node.dilation):
        sizes = (size + sum(pad) for size, pad in zip(x[:-1], node.pads, strict=True))
        nodes.append(_zeros(node.pads, (*sizes, x[-1])))
        padded = False
    config = {
        "filters": node.kernel.shape[-1],
        "kernel_size": list(window),
        "strides": list(node.strides),
        "padding": "same" if padded else "valid",
        **LAST,
        "dilation_rate": list(node.dilation),
        "groups": node.groups,
        "activation": "linear",
        "use_bias": node.bias is not None,
    }
    return [*nodes, LayerText(f"QConv{rank}D", CONV, config, graph.shapes[node.name])]


def _describe_pool(node: g.PoolNode, graph: g.Graph) -> list[LayerText]:
    x, shape, ones = graph.shapes[node.x], graph.shapes[node.name], (1,) * len(node.window)
    padded = any(map(any, node.pads))
    kind = "Max" if node.kind is g.PoolNodeKind.MAX else "Average"
    if padded and (explicit(node.pads, x[:-1], node.window, node.strides, ones) or node.count_pads):
        return []
    config = {
        "pool_size": list(node.window),
        "strides": list(node.strides),
        "padding": "same" if padded else "valid",
        **LAST,
    }
    return [LayerText(f"{kind}Pooling{len(node.window)}D", KERAS, config, shape)]


def _zeros(pads: g.Pads, shape: g.Shape) -> LayerText:
    padding = list(pads[0]) if len(pads) == 1 else [list(pad) for pad in pads]
    kind = f"ZeroPadding{len(pads)}D"
    config = {"padding": padding} | (LAST if len(pads) > 1 else {})
    return LayerText(kind, KERAS, config, shape)
