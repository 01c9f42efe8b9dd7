# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Graph nodes as Keras and QKeras layers; needs Keras, so it is imported where it is used."""

from __future__ import annotations

from collections import Counter
from typing import Any, assert_never

import keras
import numpy as np
import qkeras
from keras import layers as kl

from edgeinfer.export.qkeras_checks import explicit
from edgeinfer.export.qkeras_formats import StoredWeights, bits, prepare_weights
from edgeinfer.export.qkeras_functions import plain_function, rounding_function
from edgeinfer.graph import nodes as g
from quantization.recipe import Recipe

MERGES = {
    g.MergeKind.ADD: kl.Add,
    g.MergeKind.SUBTRACT: kl.Subtract,
    g.MergeKind.MULTIPLY: kl.Multiply,
    g.MergeKind.AVERAGE: kl.Average,
    g.MergeKind.MAXIMUM: kl.Maximum,
    g.MergeKind.MINIMUM: kl.Minimum,
}


def keras_name(name: str) -> str:
    """A name as Keras allows it."""
    return name.replace("/", ".") or "model"


class Layers:
    """A Keras network in the making: which Keras tensor holds which node's value."""

    def __init__(self, graph: g.Graph, recipe: Recipe) -> None:
        self.graph = graph
        self.recipe = recipe
        self.inputs: dict[str, Any] = {}
        self.tensors: dict[str, Any] = {}
        self.linear: dict[str, list[Any]] = {}  # the Keras layers of each Conv's or Dense's layer
        self._taken = {keras_name(node.name) for node in graph.nodes}
        self._shared: dict[tuple[str, str], Any] = {}
        self._uses = Counter(
            n.layer for n in graph.nodes if isinstance(n, g.ConvNode | g.DenseNode)
        )

    def add(self, node: g.Node) -> None:
        """Append a node's layers; the last of them bears the node's name."""
        quantizer = self.recipe.activation(node.name)
        name = keras_name(node.name)
        if isinstance(node, g.InputNode):
            self.inputs[node.name] = keras.Input(node.shape, name=name)
            assert quantizer is not None, "lowering completes the recipe for every input"
            rounding = qkeras.QActivation(bits(quantizer), name=self._fresh(node.name))
            self.tensors[node.name] = rounding(self.inputs[node.name])
            return
        if isinstance(node, g.ActivationNode) and quantizer is not None:
            rounded = rounding_function(node, quantizer)
            if rounded is not None:
                self.tensors[node.name] = qkeras.QActivation(rounded, name=name)(self._x(node.x))
                return
        inner = name if quantizer is None else self._fresh(f"{node.name}_exact")
        y = self._layer(node, inner)
        if quantizer is not None:
            y = qkeras.QActivation(bits(quantizer), name=name)(y)
        elif self._is_shared(node) and node.name in self.graph.outputs:
            y = kl.Activation("linear", name=name)(y)  # the layer's name is not this output's
        self.tensors[node.name] = y

    def _is_shared(self, node: g.Node) -> bool:
        return isinstance(node, g.ConvNode | g.DenseNode) and self._uses[node.layer] > 1

    def _x(self, tensor: str) -> Any:
        return self.tensors[tensor]

    def _fresh(self, name_wanted: str) -> str:
        """A Keras name that no node and no layer has."""
        name = keras_name(name_wanted)
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def _stored(self, key: str, values: Any) -> StoredWeights:
        fmt = self.recipe.weight(key)
        assert fmt is not None, "lowering completes the recipe for every weight"
        return prepare_weights(values, fmt)

    def _layer(self, node: g.Node, name: str) -> Any:
        match node:
            case g.ConvNode():
                return self._conv(node, name)
            case g.DenseNode():
                return self._linear(node, name, "", self._dense)(self._x(node.x))
            case g.BatchNormNode() | g.AffineNode():
                return self._affine(node, name)
            case g.PReluNode():
                return self._prelu(node, name)
            case g.ActivationNode():
                return plain_function(node, name)(self._x(node.x))
            case g.SoftmaxNode():
                axis = node.axis + 1 if node.axis >= 0 else node.axis
                return kl.Softmax(axis=axis, name=name)(self._x(node.x))
            case g.PoolNode():
                return self._pool(node, name)
            case g.ReshapeNode():
                return kl.Reshape(node.shape, name=name)(self._x(node.x))
            case g.TransposeNode():
                return kl.Permute(tuple(a + 1 for a in node.order), name=name)(self._x(node.x))
            case g.PadNode():
                return _zeros(node.pads[:-1], name)(self._x(node.x))
            case g.UpsampleNode():
                rank = len(node.factors)
                repeat = kl.UpSampling1D if rank == 1 else kl.UpSampling2D
                size = node.factors[0] if rank == 1 else node.factors
                return repeat(size, name=name)(self._x(node.x))
            case g.SliceNode():
                return self._crop(node, name)
            case g.MergeNode():
                return MERGES[node.kind](name=name)([self._x(x) for x in node.xs])
            case g.ConcatNode():
                axis = node.axis + 1 if node.axis >= 0 else node.axis
                return kl.Concatenate(axis=axis, name=name)([self._x(x) for x in node.xs])
            case g.SitesNode():
                return self._sites(node, name)
            case g.InputNode() | g.ConstantNode() | g.MoveNode() | g.ScanNode() | g.IndexingNode():
                raise AssertionError(node)  # made elsewhere, or refused before
            case _:
                assert_never(node)

    def _linear(self, node: g.ConvNode | g.DenseNode, name: str, padding: str, make: Any) -> Any:
        """The Keras layer of a Conv or Dense, one for all nodes that share it."""
        key = (node.layer, padding)
        if key not in self._shared:
            layer_name = self._fresh(node.layer) if self._is_shared(node) else name
            self._shared[key] = make(node, layer_name, padding)
            self.linear.setdefault(node.layer, []).append(self._shared[key])
        return self._shared[key]

    def _quantizers(self, node: g.ConvNode | g.DenseNode) -> tuple[list[Any], dict[str, Any]]:
        """Weights to set, and the layer's arguments."""
        kernel = self._stored(f"{node.layer}/kernel", node.kernel)
        weights, arguments = (
            [kernel.values],
            {"kernel_quantizer": bits(kernel.quantizer, kernel.alpha)},
        )
        arguments |= {"kernel_initializer": "zeros", "use_bias": node.bias is not None}
        if node.bias is not None:
            bias = self._stored(f"{node.layer}/bias", node.bias)
            weights.append(bias.values)
            arguments["bias_quantizer"] = bits(bias.quantizer, bias.alpha)
        return weights, arguments

    def _dense(self, node: g.DenseNode, name: str, _: str) -> Any:
        weights, arguments = self._quantizers(node)
        layer = qkeras.QDense(node.kernel.shape[1], name=name, **arguments)
        return _fill_layer(layer, self.graph.shapes[node.x], weights)

    def _conv(self, node: g.ConvNode, name: str) -> Any:
        x = self._x(node.x)
        sizes, window = self.graph.shapes[node.x][:-1], node.kernel.shape[: len(node.strides)]
        padding = "same" if any(map(any, node.pads)) else "valid"
        if explicit(node.pads, sizes, window, node.strides, node.dilation):
            x, padding = _zeros(node.pads, self._fresh(f"{node.name}_pad"))(x), "valid"
        return self._linear(node, name, padding, self._convolution)(x)

    def _convolution(self, node: g.ConvNode, name: str, padding: str) -> Any:
        weights, arguments = self._quantizers(node)
        rank = len(node.strides)
        window, filters = node.kernel.shape[:rank], node.kernel.shape[-1]
        arguments |= {"padding": padding, "name": name}
        shape = (*(None,) * rank, self.graph.shapes[node.x][-1])
        if rank == 1:
            layer = qkeras.QConv1D(
                filters,
                window[0],
                strides=node.strides[0],
                dilation_rate=node.dilation[0],
                groups=node.groups,
                **arguments,
            )
            return _fill_layer(layer, shape, weights)
        geometry = {"strides": node.strides, "dilation_rate": node.dilation}
        kernel = self.recipe.weight(f"{node.layer}/kernel")
        depthwise = node.groups == node.kernel.shape[-1] > 1 and node.kernel.shape[-2] == 1
        square = len(set(node.strides)) == 1  # TensorFlow's depthwise kernels ask for it
        if depthwise and square and kernel is not None and not kernel.per_channel:
            arguments["depthwise_quantizer"] = arguments.pop("kernel_quantizer")
            arguments["depthwise_initializer"] = arguments.pop("kernel_initializer")
            weights[0] = weights[0].reshape(*window, node.groups, 1)
            return _fill_layer(
                qkeras.QDepthwiseConv2D(window, **geometry, **arguments), shape, weights
            )
        layer = qkeras.QConv2D(filters, window, groups=node.groups, **geometry, **arguments)
        return _fill_layer(layer, shape, weights)

    def _affine(self, node: g.BatchNormNode | g.AffineNode, name: str) -> Any:
        """scale x + shift as a batch norm of mean 0 and variance 1: exact, with an epsilon of 0."""
        channels = self.graph.shapes[node.x][-1]
        weights = [
            np.broadcast_to(
                self._stored(f"{node.layer}/{part}", values).exact.reshape(-1), (channels,)
            )
            for part, values in (("scale", node.scale), ("shift", node.shift))
        ]
        layer = kl.BatchNormalization(epsilon=0.0, name=name)
        statistics = [np.zeros(channels, np.float32), np.ones(channels, np.float32)]
        return _fill_layer(layer, self.graph.shapes[node.x], weights + statistics)(self._x(node.x))

    def _prelu(self, node: g.PReluNode, name: str) -> Any:
        exact = self._stored(f"{node.layer}/slope", node.slope).exact
        x = self.graph.shapes[node.x]
        slope = exact.reshape((1,) * (len(x) - exact.ndim) + exact.shape)
        shared = [a + 1 for a, (s, size) in enumerate(zip(slope.shape, x, strict=True)) if s < size]
        layer = kl.PReLU(shared_axes=shared or None, name=name)
        return _fill_layer(layer, x, [slope])(self._x(node.x))

    def _pool(self, node: g.PoolNode, name: str) -> Any:
        x, rank = self._x(node.x), len(node.window)
        padded = any(map(any, node.pads))
        if padded and node.kind is g.PoolNodeKind.AVERAGE and node.count_pads:
            x, padded = _zeros(node.pads, self._fresh(f"{node.name}_pad"))(x), False
        kinds = {
            (g.PoolNodeKind.MAX, 1): kl.MaxPooling1D,
            (g.PoolNodeKind.MAX, 2): kl.MaxPooling2D,
            (g.PoolNodeKind.AVERAGE, 1): kl.AveragePooling1D,
            (g.PoolNodeKind.AVERAGE, 2): kl.AveragePooling2D,
        }
        window = node.window[0] if rank == 1 else node.window
        strides = node.strides[0] if rank == 1 else node.strides
        pool = kinds[node.kind, rank]
        return pool(window, strides, padding="same" if padded else "valid", name=name)(x)

    def _sites(self, node: g.SitesNode, name: str) -> Any:
        """A network in the network: Keras names operations itself, and may take a node's name."""
        x = keras.Input(self.graph.shapes[node.x])
        lit = keras.ops.cast(keras.ops.greater(x, node.threshold), "float32")
        inner = keras.Model(x, lit, name=self._fresh(f"{node.name}_lit"))
        return kl.Activation("linear", name=name)(inner(self._x(node.x)))

    def _crop(self, node: g.SliceNode, name: str) -> Any:
        sizes = self.graph.shapes[node.x][:-1]
        edges = zip(node.starts, node.stops, sizes, strict=False)
        cut = tuple((start, size - stop) for start, stop, size in edges)
        crop = kl.Cropping1D(cut[0], name=name) if len(cut) == 1 else kl.Cropping2D(cut, name=name)
        return crop(self._x(node.x))


def _fill_layer(layer: Any, shape: tuple[int | None, ...], weights: list[Any]) -> Any:
    """The layer with its weights in place."""
    layer.build((None, *shape))
    layer.set_weights(weights)
    return layer


def _zeros(pads: g.Pads, name: str) -> Any:
    if len(pads) == 1:
        return kl.ZeroPadding1D(pads[0], name=name)
    return kl.ZeroPadding2D(pads, name=name)
