# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a layer costs while it learns, in TensorFlow: the cost itself, with slopes in the bits.

Three kinds of hardware pay for different things. Adders: each digit of a weight, as wide as what
it multiplies. Folded: multipliers, whose price has steps in both widths, as wide as the widest
number of the tensor and of the kernel; and the memory of weights. Bytes: each weight of a channel
that is alive, whatever its width. A slope points to the next thing that is cheaper.

Imports TensorFlow, so it is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.ir.target_costs import BIAS_BYTES, MultiplierPrices, steepest_falls
from edgeinfer.precision.learned.network import Linear
from edgeinfer.precision.learned.settings import CostKind
from edgeinfer.precision.learned.tensors import digits, nearest, power, whole

GROWN = 1.0  # bits by which an adder is wider than what it reads
LONGEST = 31  # bits of a weight's integer
LOWEST = -60.0  # bits behind the point of a tensor that has none


@dataclass(frozen=True, slots=True, eq=False)
class Hull:
    """The narrowest format that holds all of a tensor: bits behind the point, and before it."""

    frac: Any
    integer: Any
    signed: Any

    @property
    def bits(self) -> Any:
        """Its width, which has a slope in the bits behind the point."""
        own = self.frac + self.integer
        return tf.where(own > 0.0, own + self.signed, 0.0)

    def without_sign(self) -> Hull:
        """What holds the numbers from zero."""
        return Hull(self.frac, self.integer, tf.zeros_like(self.signed))

    def grown(self, other: Hull) -> Hull:
        """What holds sums of both."""
        return Hull(
            tf.maximum(self.frac, other.frac),
            tf.maximum(self.integer, other.integer) + GROWN,
            tf.maximum(self.signed, other.signed),
        )

    def joined(self, other: Hull) -> Hull:
        """What holds numbers of either."""
        return Hull(
            tf.maximum(self.frac, other.frac),
            tf.maximum(self.integer, other.integer),
            tf.maximum(self.signed, other.signed),
        )


@dataclass(frozen=True, slots=True, eq=False)
class LearnedLayer:
    """A layer as its cost sees it."""

    node: Linear
    positions: int  # at which its weights are used in a frame
    kernel: Any
    kernel_bits: Any
    bits: Any  # of each element that it reads
    hull: Hull  # of all of them
    outputs: Any  # bits of each channel that it makes; those of an output that is kept: ones


LayerCost = Callable[[LearnedLayer], Any]


def cost_function(kind: CostKind, prices: MultiplierPrices | None) -> LayerCost:
    """The cost of a layer on hardware of a kind."""
    if kind == "adders":
        return adder_cost
    if kind == "bytes":
        return byte_cost
    assert prices is not None
    table = PriceTable.of(prices)
    return lambda layer: folded_layer_cost(layer, table)


def adder_cost(layer: LearnedLayer) -> Any:
    """Digits of weights, each times the bits that it adds."""
    counts = digits(layer.kernel, layer.kernel_bits)
    live = tf.stop_gradient(tf.cast(layer.bits > 0.0, tf.float32))
    each = tf.reshape((layer.bits + GROWN) * live, (-1, layer.bits.shape[-1]))
    if isinstance(layer.node, g.DenseNode):
        return tf.reduce_sum(counts * tf.reduce_sum(each, 0)[:, None])
    places = _places_of(layer.node, layer.kernel.shape)
    widest = tf.gather(tf.reduce_max(each, 0), places)
    return layer.positions * tf.reduce_sum(counts * widest)


def byte_cost(layer: LearnedLayer) -> Any:
    """A byte for each weight between channels that are alive, and the biases."""
    biases = BIAS_BYTES * tf.reduce_sum(alive(layer.outputs))
    return count_weights(layer) + biases


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """Prices as constants, and how fast each falls towards a cheaper width of either number."""

    prices: MultiplierPrices
    product: Any
    x_slope: Any
    w_slope: Any

    @staticmethod
    def of(prices: MultiplierPrices) -> PriceTable:
        """The slopes are the steepest towards any narrower width, so that they see the next step
        of the price wherever it lies."""
        slope = steepest_falls(prices.product)
        w_slope = steepest_falls(prices.product.T).T
        tables = (tf.constant(t, tf.float32) for t in (prices.product, slope, w_slope))
        return PriceTable(prices, *tables)

    def price(self, x_bits: Any, w_bits: Any) -> Any:
        """The price of a multiplier."""
        most = float(self.prices.most_bits)
        both = [tf.clip_by_value(tf.stop_gradient(bits), 0.0, most) for bits in (x_bits, w_bits)]
        place = tf.cast(tf.stack(both), tf.int32)
        price = tf.gather_nd(self.product, place)
        for bits, slopes in ((x_bits, self.x_slope), (w_bits, self.w_slope)):
            price += tf.gather_nd(slopes, place) * (bits - tf.stop_gradient(bits))
        return price


def folded_layer_cost(layer: LearnedLayer, table: PriceTable) -> Any:
    """Multipliers for the widest numbers, and the memory of all weights."""
    weights, w_bits = count_weights(layer), kernel_width(layer)
    prices = table.prices
    multipliers = layer.positions / prices.interval_cycles * weights
    return multipliers * table.price(layer.hull.bits, w_bits) + weights * w_bits * prices.stored_bit


def kernel_width(layer: LearnedLayer) -> Any:
    """Bits of the type that holds all weights between channels that are alive."""
    frac = tf.broadcast_to(whole(layer.kernel_bits), layer.kernel.shape)
    raw = nearest(layer.kernel * power(tf.stop_gradient(frac)))
    raw *= tf.stop_gradient(_between(layer))
    number = tf.cast(raw, tf.int32)
    idle = tf.cast(tf.bitwise.bitwise_and(number, -number), tf.float32)  # their last digit
    grid = frac - tf.stop_gradient(_length(tf.maximum(idle, 1.0)) - 1.0)
    behind = tf.reduce_max(tf.where(raw != 0.0, grid, LOWEST))
    values = raw / power(tf.stop_gradient(frac))
    ends = [
        tf.round(f(values) * power(tf.stop_gradient(behind)))
        for f in (tf.reduce_max, tf.reduce_min)
    ]
    length = _length(tf.maximum(ends[0], -ends[1]))
    width = tf.stop_gradient(length + tf.cast(ends[1] < 0.0, tf.float32))
    return width + behind - tf.stop_gradient(behind)


def count_weights(layer: LearnedLayer) -> Any:
    """Weights between channels that are alive."""
    return tf.reduce_sum(_between(layer)) * math.prod(layer.node.kernel.shape[:-2])


def alive(bits: Any) -> Any:
    """1 where there are bits. A channel goes once it has lost all of them, so each bears its share
    of what that saves."""
    one = tf.cast(bits > 0.0, tf.float32)
    slope = tf.stop_gradient(one / tf.maximum(bits, 1.0))
    return tf.stop_gradient(one) + slope * (bits - tf.stop_gradient(bits))


def _between(layer: LearnedLayer) -> Any:
    """For each input and output of the kernel whether both are alive."""
    elements = tf.reshape(layer.bits, (-1, layer.bits.shape[-1]))
    inputs = alive(tf.reduce_max(elements, 0))
    outputs = alive(layer.outputs)
    if isinstance(layer.node, g.DenseNode):
        return inputs[:, None] * outputs
    return tf.gather(inputs, _places_of(layer.node, layer.kernel.shape)) * outputs


def _places_of(node: g.ConvNode, shape: Any) -> NDArray[np.int64]:
    """Which channel each input of each output is."""
    group = np.arange(shape[-1]) // (shape[-1] // node.groups)
    places: NDArray[np.int64] = group[None, :] * shape[-2] + np.arange(shape[-2])[:, None]
    return places


def _length(numbers: Any) -> Any:
    """Binary digits of whole numbers; none of what is below 1."""
    powers = tf.constant(2.0 ** np.arange(LONGEST), tf.float32)
    return tf.reduce_sum(tf.cast(numbers[..., None] >= powers, tf.float32), -1)
