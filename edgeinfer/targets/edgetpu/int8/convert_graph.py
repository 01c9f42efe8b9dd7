# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A float network drawn in TensorFlow, for the converter to calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

import numpy as np

from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.program import HostFunction
from edgeinfer.targets.edgetpu.int8 import drawing
from edgeinfer.targets.edgetpu.int8.drawing import DrawnTensor

Hosts = Mapping[str, tuple[str, HostFunction]]


def draw(graph: g.Graph, inputs: Mapping[str, Any], hosts: Hosts) -> dict[str, Any]:
    """The outputs by name, for TensorFlow inputs with a batch of 1."""
    folded = fold_batch_norms(graph)
    values: dict[str, DrawnTensor] = {}
    left = {name for name in graph.outputs if name in hosts}
    for node in folded.nodes:
        if node.name not in left:
            values[node.name] = _draw_node(folded, node, values, inputs)
    return {
        name: values[hosts[name][0] if name in hosts else name].plain() for name in graph.outputs
    }


def _draw_node(
    graph: g.Graph, node: g.Node, values: Mapping[str, DrawnTensor], inputs: Mapping[str, Any]
) -> DrawnTensor:
    import tensorflow as tf

    shape = graph.shapes[node.name]

    def plain(name: str) -> Any:
        return values[name].plain()

    match node:
        case g.InputNode():
            return DrawnTensor(inputs[node.name], shape)
        case g.ConstantNode():
            return DrawnTensor(tf.constant(node.value[None], tf.float32), shape)
        case g.ConvNode():
            kernel = tf.constant(drawing.lifted_kernel(node.kernel), tf.float32)
            bias = _bias(node)
            window = (node.strides, node.pads, node.dilation, node.groups)
            return drawing.draw_convolution(values[node.x], kernel, bias, *window, shape)
        case g.DenseNode():
            kernel = tf.constant(node.kernel, tf.float32)
            return drawing.draw_dense(values[node.x], kernel, _bias(node), shape)
        case g.BatchNormNode() | g.AffineNode():
            x = _match_rank(plain(node.x), max(node.scale.ndim, node.shift.ndim) + 1)
            scale, shift = (tf.constant(v, tf.float32) for v in (node.scale, node.shift))
            return DrawnTensor(x * scale + shift, shape)
        case g.ActivationNode():
            return _draw_activation(graph, node, values[node.x])
        case g.PReluNode():
            x = values[node.x].plain()
            return DrawnTensor(_bend(x, node.slope), shape)
        case g.SoftmaxNode(mask=str()):
            raise UnsupportedModelError(
                graph.name,
                [Offence(node.name, "Softmax", "int8 operators know no masks")],
                hint="Use the HLS or the RTL target, or a network without a mask.",
            )
        case g.SoftmaxNode():
            axis = node.axis if node.axis < 0 else node.axis + 1
            return DrawnTensor(tf.nn.softmax(plain(node.x), axis=axis), shape)
        case g.PoolNode():
            return _draw_pool(graph, node, values[node.x])
        case g.ReshapeNode():
            return DrawnTensor(tf.reshape(plain(node.x), (1, *node.shape)), shape)
        case g.TransposeNode():
            order = (0, *(axis + 1 for axis in node.order))
            return DrawnTensor(tf.transpose(plain(node.x), order), shape)
        case g.PadNode():
            pads = [(0, 0), *node.pads]
            return DrawnTensor(tf.pad(plain(node.x), pads, constant_values=node.value), shape)
        case g.UpsampleNode():
            return drawing.draw_upsampling(values[node.x], node.factors, shape)
        case g.SliceNode():
            begins, ends, steps = (0, *node.starts), (1, *node.stops), (1, *node.steps)
            return DrawnTensor(tf.strided_slice(plain(node.x), begins, ends, steps), shape)
        case g.MoveNode():
            flat, places = tf.reshape(plain(node.x), (1, -1)), node.sources(graph.shapes[node.x])
            return DrawnTensor(tf.reshape(tf.gather(flat, places, axis=1), (1, *shape)), shape)
        case g.MergeNode():
            return DrawnTensor(_draw_merge(node, [plain(x) for x in node.xs]), shape)
        case g.ConcatNode():
            axis = node.axis if node.axis < 0 else node.axis + 1
            return DrawnTensor(tf.concat([plain(x) for x in node.xs], axis=axis), shape)
        case g.ScanNode():
            return DrawnTensor(_draw_scan(node, [plain(x) for x in g.inputs_of(node)]), shape)
        case g.IndexingNode():
            raise UnsupportedModelError(
                graph.name,
                [
                    Offence(
                        node.name,
                        type(node).__name__.removesuffix("Node"),
                        "the int8 file takes elements from fixed places only",
                    )
                ],
                hint="Use the HLS or the RTL target, or look up and choose on the host.",
            )
        case _:
            assert_never(node)


def _draw_scan(node: g.ScanNode, tensors: list[Any]) -> Any:
    """A recurrence, its steps one after the other: an int8 file has no loops."""
    import tensorflow as tf

    names = [one.name for one in node.body.inputs]
    xs, states = tensors[: len(node.xs)], tensors[len(node.xs) :]
    yielded: list[Any] = []
    for step in range(int(xs[0].shape[1])):
        read = dict(zip(names, [*(x[:, step] for x in xs), *states], strict=True))
        values: dict[str, DrawnTensor] = {}
        for each in node.body.nodes:
            values[each.name] = _draw_node(node.body, each, values, read)
        y, *states = [values[name].plain() for name in node.body.outputs]
        yielded.append(y)
    return tf.stack(yielded, axis=1) if node.stacked else yielded[-1]


def _bias(node: g.ConvNode | g.DenseNode) -> g.Floats:
    return np.zeros(node.kernel.shape[-1]) if node.bias is None else node.bias


def _match_rank(tensor: Any, rank: int) -> Any:
    """A tensor with as many axes as what it is combined with."""
    import tensorflow as tf

    own_rank = len(tensor.shape)
    if own_rank >= rank:
        return tensor
    return tf.reshape(tensor, (1, *(1,) * (rank - own_rank), *tensor.shape[1:]))


def _draw_activation(graph: g.Graph, node: g.ActivationNode, x: DrawnTensor) -> DrawnTensor:
    import tensorflow as tf

    t = x.tensor
    match node.function:
        case g.Function.LINEAR:
            return x
        case g.Function.RELU:
            return x.like(tf.nn.relu(t))
        case g.Function.RELU6:
            return x.like(tf.nn.relu6(t))
        case g.Function.LEAKY_RELU:
            return x.like(_bend(t, node.parameters[0]))
        case g.Function.SIGMOID:
            return x.like(tf.sigmoid(t))
        case g.Function.TANH:
            return x.like(tf.tanh(t))
        case g.Function.SWISH:
            return x.like(t * tf.sigmoid(t))
        case g.Function.HARD_SWISH:
            shift, bound = node.parameters
            return x.like(t * tf.clip_by_value(t / bound + shift / bound, 0.0, 1.0))
        case g.Function.HARD_SIGMOID:
            slope, offset = node.parameters
            return x.like(tf.clip_by_value(slope * t + offset, 0.0, 1.0))
        case g.Function.HARD_TANH:
            return x.like(tf.clip_by_value(t, -1.0, 1.0))
        case _:  # int8 operators have no others; a new function is refused by name too
            reason = f"int8 operators have no {node.function}"
            raise UnsupportedModelError(
                graph.name,
                [Offence(node.name, "Activation", reason)],
                hint="Use ReLU, ReLU6, sigmoid or tanh, or try --fallback int8.",
            )


def _bend(x: Any, slope: Any) -> Any:
    """x, its negative values times the slope. The converter brings what a maximum reads to the
    levels of its result, where they would be cut off; and a negation stays in floating point."""
    import tensorflow as tf

    below, above = (tf.constant(factor, tf.float32) for factor in (slope, 1.0 - slope))
    return below * x + above * tf.nn.relu(x)


def _draw_pool(graph: g.Graph, node: g.PoolNode, x: DrawnTensor) -> DrawnTensor:
    shape = graph.shapes[node.name]
    sizes = graph.shapes[node.x][:-1]
    ones = (1,) * len(node.window)
    word = drawing.padding_of(sizes, node.window, node.strides, ones, node.pads)
    counted = node.kind is g.PoolNodeKind.AVERAGE and node.count_pads
    if not word or (counted and word == "SAME"):
        if node.kind is g.PoolNodeKind.MAX or not counted:
            raise UnsupportedModelError(
                graph.name,
                [Offence(node.name, "Pool", f"padding of {node.pads} is neither none nor 'same'")],
            )
        padded = drawing.padded_image(x.image(), node.pads)
        grown = tuple(s + sum(pad) for s, pad in zip(sizes, node.pads, strict=True))
        x, word = DrawnTensor(padded, (*grown, shape[-1]), lifted=len(grown) == 1), "VALID"
    maximum = node.kind is g.PoolNodeKind.MAX
    return drawing.draw_pool(x, node.window, node.strides, word, shape, maximum=maximum)


def _draw_merge(node: g.MergeNode, parts: list[Any]) -> Any:
    """Maxima are sums with a ReLU, for the reason that `_bend` gives."""
    import tensorflow as tf

    rank = max(len(part.shape) for part in parts)
    total = _match_rank(parts[0], rank)
    for part in parts[1:]:
        other = _match_rank(part, rank)
        match node.kind:
            case g.MergeKind.ADD | g.MergeKind.AVERAGE:
                total = total + other
            case g.MergeKind.SUBTRACT:
                total = total - other
            case g.MergeKind.MULTIPLY:
                total = total * other
            case g.MergeKind.MAXIMUM:
                total = other + tf.nn.relu(total - other)
            case g.MergeKind.MINIMUM:
                total = total - tf.nn.relu(total - other)
            case _:
                assert_never(node.kind)
    return total / len(parts) if node.kind is g.MergeKind.AVERAGE else total
