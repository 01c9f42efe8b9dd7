# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network in TensorFlow whose weights, and the bits of each of them and of each tensor, learn.

Needs TensorFlow, so it is imported where it is used. Tensors never wrap here: they have the bits
before the point that they were seen to need.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.precision.learned.network import LearnedPlan, Linear
from edgeinfer.precision.learned.tensors import cut, digits, integer_bits, nearest, power, whole

FIRST_BITS = 3.0  # behind the point, of weights and tensors that begin to learn
ROUNDED_BITS = 8.0  # behind the point, of an output's bias, which cost nothing
GROWN = 1.0  # bits by which an adder is wider than what it reads


@dataclass(slots=True)
class ForwardPass:
    """What one pass yields: tensors, what adders they cost, and the ends of their ranges."""

    tensors: dict[str, Any] = field(default_factory=dict)
    bits: dict[str, Any] = field(default_factory=dict)  # of each element, with a slope
    cost: Any = 0.0
    ranges: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # by point


class LearnedModel:
    """The variables of a network, and its passes."""

    def __init__(self, plan: LearnedPlan, rng: np.random.Generator) -> None:
        self.plan = plan
        self.kernels: dict[str, Any] = {}
        self.biases: dict[str, Any] = {}
        self.kernel_bits: dict[str, Any] = {}
        self.bits: dict[str, Any] = {}
        self.low: dict[str, Any] = {}
        self.high: dict[str, Any] = {}
        for node in plan.linear:
            kernel = draw_kernel(node, rng)
            self.kernels[node.name] = tf.Variable(kernel)
            self.biases[node.name] = tf.Variable(np.zeros(kernel.shape[-1], np.float32))
            self.kernel_bits[node.name] = tf.Variable(np.full(kernel.shape, FIRST_BITS, np.float32))
        for name, point in plan.points.items():
            self.bits[name] = tf.Variable(np.full(point.shape, FIRST_BITS - 1, np.float32))
            zeros = np.zeros(point.shape, np.float32)
            self.low[name] = tf.Variable(zeros, trainable=False)
            self.high[name] = tf.Variable(zeros, trainable=False)

    @property
    def weights(self) -> list[Any]:
        """Variables that are numbers of the network."""
        return [*self.kernels.values(), *self.biases.values()]

    @property
    def widths(self) -> list[Any]:
        """Variables that are numbers of bits."""
        return [*self.kernel_bits.values(), *self.bits.values()]

    def run(self, inputs: Mapping[str, Any]) -> ForwardPass:
        """One pass over a batch, up to the ends of the network."""
        forward = ForwardPass()
        ends = set(self.plan.ends.values())
        for node in self.plan.graph.nodes:
            if node.name in self.plan.ends and self.plan.ends[node.name] != node.name:
                continue  # the host applies it
            if isinstance(node, g.InputNode):
                forward.tensors[node.name] = inputs[node.name]
            else:
                self._compute(node, forward)
            if node.name in self.plan.points:
                self._cut(node.name, forward)
        assert ends <= forward.tensors.keys()
        return forward

    def _cut(self, name: str, forward: ForwardPass) -> None:
        """A tensor on the grid that it has learned; its sign is taken away behind it."""
        point, x = self.plan.points[name], forward.tensors[name]
        along = [axis for axis in range(len(x.shape)) if not axis or point.shape[axis - 1] == 1]
        ends = []
        for reduce in (tf.reduce_min, tf.reduce_max):
            ends.append(tf.reshape(reduce(x, along), point.shape))
        forward.ranges[name] = (ends[0], ends[1])
        low = tf.zeros_like(self.low[name]) if point.relu else self.low[name]
        integer = integer_bits(low, self.high[name])
        own = integer + whole(self.bits[name])
        live = tf.stop_gradient(tf.cast(own > 0.0, x.dtype))
        signed = tf.cast(low < 0.0, x.dtype)
        shape = self.plan.graph.shapes[name]
        forward.tensors[name] = cut(x, self.bits[name], floor=point.floor) * live
        forward.bits[name] = tf.broadcast_to((tf.nn.relu(own) + signed) * live, shape)
        if not isinstance(self.plan.graph.node(name), g.InputNode):
            forward.cost += tf.reduce_sum(forward.bits[name])

    def _compute(self, node: g.Node, forward: ForwardPass) -> None:
        xs = [forward.tensors[x] for x in g.inputs_of(node)]
        bits = [forward.bits[x] for x in g.inputs_of(node)]
        match node:
            case g.DenseNode() | g.ConvNode():
                y, own = self._linear(node, xs[0], bits[0], forward), None
            case g.ActivationNode(function=g.Function.RELU):
                y, own = tf.nn.relu(xs[0]), bits[0]
            case g.ActivationNode(function=g.Function.LINEAR):
                y, own = xs[0], bits[0]
            case g.PoolNode():
                y, own = _pool(node, xs[0]), None
                if node.kind is g.PoolNodeKind.MAX:
                    own = _pool(node, bits[0][None])[0]
            case g.ReshapeNode():
                y, own = tf.reshape(xs[0], (-1, *node.shape)), tf.reshape(bits[0], node.shape)
            case g.TransposeNode():
                order = [0, *(axis + 1 for axis in node.order)]
                y, own = tf.transpose(xs[0], order), tf.transpose(bits[0], node.order)
            case g.PadNode():
                y, own = tf.pad(xs[0], [(0, 0), *node.pads]), tf.pad(bits[0], node.pads)
            case g.ConcatNode():
                axis = node.axis % len(bits[0].shape)
                y, own = tf.concat(xs, axis + 1), tf.concat(bits, axis)
            case g.MergeNode():
                sign = -1.0 if node.kind is g.MergeKind.SUBTRACT else 1.0
                y, own = xs[0], bits[0]
                for other, others in zip(xs[1:], bits[1:], strict=True):
                    y, own = y + sign * other, tf.maximum(own, others) + GROWN
                forward.cost += tf.reduce_sum(own)
            case _:  # the plan refuses every other node
                raise AssertionError(node)
        forward.tensors[node.name] = y
        if own is not None:
            forward.bits[node.name] = own

    def _linear(self, node: Linear, x: Any, bits: Any, forward: ForwardPass) -> Any:
        kernel = cut(self.kernels[node.name], self.kernel_bits[node.name], weights=True)
        bias = self.biases[node.name]
        scale = power(self.bias_bits(node.name))
        bias = bias + tf.stop_gradient(nearest(bias * scale) / scale - bias)
        counts = digits(self.kernels[node.name], self.kernel_bits[node.name])
        live = tf.stop_gradient(tf.cast(bits > 0.0, bits.dtype))
        each = (bits + GROWN) * live
        if isinstance(node, g.DenseNode):
            rows = tf.reduce_sum(tf.reshape(each, (-1, each.shape[-1])), 0)
            forward.cost += tf.reduce_sum(counts * rows[:, None])
            return tf.tensordot(x, kernel, 1) + bias
        rank = len(node.strides)
        widest = tf.reduce_max(tf.reshape(each, (-1, each.shape[-1])), 0)
        channel = np.arange(kernel.shape[-1]) // (kernel.shape[-1] // node.groups)
        places = channel[None, :] * kernel.shape[-2] + np.arange(kernel.shape[-2])[:, None]
        positions = math.prod(self.plan.graph.shapes[node.name][:-1])
        forward.cost += positions * tf.reduce_sum(counts * tf.gather(widest, places))
        padded = tf.pad(x, [(0, 0), *node.pads, (0, 0)])
        if rank == 1:
            padded, kernel = padded[:, None], kernel[None]
        strides, dilation = (
            ((1,) * (2 - rank) + numbers) for numbers in (node.strides, node.dilation)
        )
        y = _convolve(padded, kernel, strides, dilation, node.groups)
        return (y[:, 0] if rank == 1 else y) + bias

    def bias_bits(self, name: str) -> Any:
        """Bits behind the point of a layer's biases: one more than its outputs have, for the half
        that is added before they are cut off."""
        if name in self.bits:
            return tf.reshape(nearest(self.bits[name]), (-1,)) + 1.0
        return tf.constant(ROUNDED_BITS)


def draw_kernel(node: Linear, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random weights that keep the size of what passes through (after Glorot)."""
    shape = node.kernel.shape
    window = math.prod(shape[:-2])
    reach = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
    return rng.uniform(-reach, reach, shape).astype(np.float32)


def _convolve(x: Any, kernel: Any, strides: Any, dilation: Any, groups: int) -> Any:
    """Group by group, which the compiler's own groups do not know on a processor."""
    parts, kernels = tf.split(x, groups, -1), tf.split(kernel, groups, -1)
    if (
        groups > 1
        and kernel.shape[-2] == 1
        and kernel.shape[-1] == groups
        and len(set(strides)) == 1
    ):
        depthwise = tf.transpose(kernel, (0, 1, 3, 2))
        return tf.nn.depthwise_conv2d(x, depthwise, (1, *strides, 1), "VALID", dilations=dilation)
    split_parts = [
        tf.nn.conv2d(part, own, (1, *strides, 1), "VALID", dilations=dilation)
        for part, own in zip(parts, kernels, strict=True)
    ]
    return tf.concat(split_parts, -1)


def _pool(node: g.PoolNode, x: Any) -> Any:
    """Padding is left out of maxima and, unless it counts, of averages."""
    most = node.kind is g.PoolNodeKind.MAX
    fill = x.dtype.min if most else 0.0
    pads = [(0, 0), *node.pads, (0, 0)]
    padded = tf.pad(x, pads, constant_values=fill)
    kind = "MAX" if most else "AVG"
    y = tf.nn.pool(padded, node.window, kind, strides=node.strides, padding="VALID")
    if most or node.count_pads or not any(map(any, node.pads)):
        return y
    inside = tf.pad(tf.ones_like(x), pads)
    return y / tf.nn.pool(inside, node.window, kind, strides=node.strides, padding="VALID")
