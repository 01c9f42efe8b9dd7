# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network in TensorFlow whose weights, and the bits of each of them and of each tensor, learn.

Needs TensorFlow, so it is imported where it is used. Tensors never wrap here: they have the bits
before the point that they were seen to need.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.precision.learned.costs import GROWN, LOWEST, Hull, LearnedLayer, cost_function
from edgeinfer.precision.learned.network import LearnedPlan, LearnedPoint, Linear
from edgeinfer.precision.learned.settings import CostKind, Start
from edgeinfer.precision.learned.tensors import cut, integer_bits, nearest, power, whole

FIRST_BITS = 3.0  # behind the point, of random weights and their tensors that begin to learn
FLOAT_BITS = 5.0  # the same of tensors between trained weights, and below the largest such weight
ROUNDED_BITS = 8.0  # behind the point, of an output's bias, which cost nothing
BYTE_BITS = 8.0  # of a weight and of a tensor, where each is a byte
ROOM = 1.0 + 2.0**-7  # for a byte to be rounded up


@dataclass(slots=True)
class ForwardPass:
    """What one pass yields: tensors, what they cost, and the ends of their ranges."""

    tensors: dict[str, Any] = field(default_factory=dict)
    bits: dict[str, Any] = field(default_factory=dict)  # of each element, with a slope
    hulls: dict[str, Hull] = field(default_factory=dict)  # of all elements
    cost: Any = 0.0
    ranges: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # by point


class LearnedModel:
    """The variables of a network, and its passes."""

    def __init__(
        self,
        plan: LearnedPlan,
        rng: np.random.Generator,
        kind: CostKind = "adders",
        prices: MultiplierPrices | None = None,
        start: Start = "random",
    ) -> None:
        self.plan, self.kind = plan, kind
        self.layer_cost = cost_function(kind, prices)
        self.settled = tf.Variable(False, trainable=False)  # see `tensor_bits`
        self.kernels: dict[str, Any] = {}
        self.biases: dict[str, Any] = {}
        self.kernel_bits: dict[str, Any] = {}
        self.bits: dict[str, Any] = {}
        self.low: dict[str, Any] = {}
        self.high: dict[str, Any] = {}
        for node in plan.linear:
            kernel, bias = first_weights(node, rng, start)
            self.kernels[node.name] = tf.Variable(kernel)
            self.biases[node.name] = tf.Variable(bias)
            if kind != "bytes":  # in which every weight has as many bits as there are
                shape = kernel.shape if kind == "adders" else (1,) * kernel.ndim
                first = np.full(shape, first_bits(kernel, start), np.float32)
                self.kernel_bits[node.name] = tf.Variable(first)
        for name, point in plan.points.items():
            behind = FIRST_BITS - 1 if start == "random" else FLOAT_BITS
            behind = BYTE_BITS if kind == "bytes" else behind
            self.bits[name] = tf.Variable(np.full(point.shape, behind, np.float32))
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
        integer, signed = self._range_bits(point)
        frac = self.tensor_bits(name)
        own = integer + whole(frac)
        live = tf.stop_gradient(tf.cast(own > 0.0, x.dtype))
        shape = self.plan.graph.shapes[name]
        forward.tensors[name] = cut(x, frac, floor=point.floor) * live
        forward.bits[name] = tf.broadcast_to((tf.nn.relu(own) + signed) * live, shape)
        forward.hulls[name] = self._hull(point, frac)
        if self.kind == "adders" and not isinstance(self.plan.graph.node(name), g.InputNode):
            forward.cost += tf.reduce_sum(forward.bits[name])

    def _range_bits(self, point: LearnedPoint, room: Any = 1.0) -> tuple[Any, Any]:
        """Bits before the point of each element as it was seen, and whether it needs a sign."""
        low, high = (tf.identity(ends[point.node]) for ends in (self.low, self.high))
        low = tf.zeros_like(low) if point.relu else low
        return integer_bits(room * low, room * high), tf.cast(low < 0.0, low.dtype)

    def _hull(self, point: LearnedPoint, frac: Any) -> Hull:
        """The format that holds all elements that are alive, as they are rounded."""
        integer, signed = self._range_bits(point)
        behind = whole(frac)
        live, scale = integer + behind > 0.0, power(tf.stop_gradient(behind))
        half = 0.0 if point.floor else 0.5
        low, high = (
            tf.floor(ends[point.node] * scale + half) / scale for ends in (self.low, self.high)
        )
        low = tf.zeros_like(low) if point.relu else low
        before = integer_bits(low, high + 1.0 / scale)
        return Hull(
            tf.reduce_max(tf.where(live, behind, LOWEST)),
            tf.reduce_max(tf.where(live, before, LOWEST)),
            tf.reduce_max(tf.where(live, signed, 0.0)),
        )

    def tensor_bits(self, name: str) -> Any:
        """Bits behind the point of each element. Where hardware has one format for a tensor, all
        that are alive have as many as the finest of them, once widths are settled."""
        own, point = tf.identity(self.bits[name]), self.plan.points[name]
        if self.kind == "adders":
            return own
        if self.kind == "bytes":
            most = BYTE_BITS - tf.reduce_max(sum(self._range_bits(point, ROOM)))
            own = own - tf.stop_gradient(tf.nn.relu(own - most))
        live = self._range_bits(point)[0] + nearest(own) > 0.0
        finest = tf.reduce_max(tf.where(live, own, LOWEST))
        return tf.where(tf.logical_and(self.settled, live), finest, own)

    def alive(self, name: str) -> Any:
        """Elements that have bits."""
        integer, _ = self._range_bits(self.plan.points[name])
        return integer + nearest(self.tensor_bits(name)) > 0.0

    def limit_widths(self) -> None:
        """Take back what tensors have learned beyond a byte, where each is one."""
        if self.kind == "bytes":
            for name, bits in self.bits.items():
                bits.assign(tf.where(self.settled, bits, self.tensor_bits(name)))

    def weight_bits(self, name: str) -> Any:
        """Bits behind the point of each weight, in a shape that broadcasts against the kernel."""
        if self.kind != "bytes":
            return tf.identity(self.kernel_bits[name])
        kernel = self.kernels[name]
        most = tf.reduce_max(tf.abs(kernel), list(range(len(kernel.shape) - 1)), keepdims=True)
        return tf.stop_gradient(BYTE_BITS - 1.0 - integer_bits(-most, most))

    def _output_bits(self, node: Linear) -> Any:
        """Bits of each channel that a layer makes."""
        if node.name not in self.plan.points:
            return tf.ones(node.kernel.shape[-1])
        integer, _ = self._range_bits(self.plan.points[node.name])
        own = tf.nn.relu(integer + whole(self.tensor_bits(node.name)))
        return tf.reduce_max(tf.reshape(own, (-1, own.shape[-1])), 0)

    def _compute(self, node: g.Node, forward: ForwardPass) -> None:
        xs = [forward.tensors[x] for x in g.inputs_of(node)]
        bits = [forward.bits[x] for x in g.inputs_of(node)]
        hulls = [forward.hulls[x] for x in g.inputs_of(node)]
        hull = functools.reduce(Hull.joined, hulls)
        match node:
            case g.DenseNode() | g.ConvNode():
                forward.cost += self._cost_of(node, bits[0], hull)
                y, own = self._linear(node, xs[0]), None
            case g.ActivationNode(function=g.Function.RELU):
                y, own, hull = tf.nn.relu(xs[0]), bits[0], hull.without_sign()
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
                hull = functools.reduce(Hull.grown, hulls)
                if self.kind == "adders":
                    forward.cost += tf.reduce_sum(own)
            case _:  # the plan refuses every other node
                raise AssertionError(node)
        forward.tensors[node.name] = y
        if own is not None:
            forward.bits[node.name] = own
            forward.hulls[node.name] = hull

    def _cost_of(self, node: Linear, bits: Any, hull: Hull) -> Any:
        positions = math.prod(self.plan.graph.shapes[node.name][:-1])
        kernel, frac = self.kernels[node.name], self.weight_bits(node.name)
        layer = LearnedLayer(node, positions, kernel, frac, bits, hull, self._output_bits(node))
        return self.layer_cost(layer)

    def _linear(self, node: Linear, x: Any) -> Any:
        kernel = cut(
            self.kernels[node.name], self.weight_bits(node.name), weights=self.kind == "adders"
        )
        bias = self.biases[node.name]
        scale = power(self.bias_bits(node.name))
        bias = bias + tf.stop_gradient(nearest(bias * scale) / scale - bias)
        if isinstance(node, g.DenseNode):
            return tf.tensordot(x, kernel, 1) + bias
        rank = len(node.strides)
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
            return tf.reshape(nearest(self.tensor_bits(name)), (-1,)) + 1.0
        return tf.constant(ROUNDED_BITS)


def first_weights(
    node: Linear, rng: np.random.Generator, start: Start
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias before training: the layer's own, or random ones that keep the size of what
    passes through (after Glorot) and no bias."""
    shape = node.kernel.shape
    none = np.zeros(shape[-1], np.float32)
    if start == "float":
        bias = none if node.bias is None else node.bias.astype(np.float32)
        return node.kernel.astype(np.float32), bias
    window = math.prod(shape[:-2])
    reach = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
    return rng.uniform(-reach, reach, shape).astype(np.float32), none


def first_bits(kernel: NDArray[np.float32], start: Start) -> float:
    """Bits behind the point of a kernel's weights before training."""
    most = float(np.max(np.abs(kernel), initial=0.0))
    if start == "random" or most == 0.0:
        return FIRST_BITS
    return FLOAT_BITS - math.floor(math.log2(most))


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
