# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Numbers cut off after a learned number of bits, in TensorFlow, with gradients that teach both the
numbers and the bits; and what a weight costs in adders.

Imports TensorFlow, so it is imported where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LN2 = math.log(2.0)
TABLE = 4096  # weights' integers, above which digits are no longer told apart
# What one bit more costs a weight of so many bits, in signed digits, on average: the first makes a
# weight of nothing, the second a sum of half of all weights.
SLOPES = (1.0, 0.5, 1.0 / 3.0)
PULL = 0.5  # slope below one bit, so that a weight that is gone comes back for a reason only
PULLED_BITS = 3.0  # how far below


def count_digits(numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many signed digits each number has, none beside another: as many as there are bits in
    which it differs from three times itself."""
    size = np.abs(numbers.astype(np.int64))
    differing: NDArray[np.uint8] = np.bitwise_count(size ^ (3 * size))
    return differing.astype(np.int64)


def power(exponent: Any) -> Any:
    """2^exponent of whole numbers, exactly."""
    biased = tf.cast(tf.clip_by_value(exponent, -126.0, 127.0), tf.int32) + 127
    return tf.bitcast(tf.bitwise.left_shift(biased, 23), tf.float32)


def nearest(x: Any) -> Any:
    """The next whole number."""
    return tf.floor(x + 0.5)


def whole(x: Any) -> Any:
    """The next whole number; its gradient is that of x."""
    return x + tf.stop_gradient(nearest(x) - x)


def cut(x: Any, frac: Any, *, floor: bool = False, weights: bool = False) -> Any:
    """x after `frac` bits behind the point, rounded to the next number, or down.

    x has the gradient of what comes out. An error shrinks by half with each bit more, which gives
    the gradient of the bits: ln 2 times the error. Weights that are rounded to zero stay what they
    are, and come back by their bits alone: one whole step at once would upset the network.
    """

    def forward(x: Any, frac: Any) -> Any:
        scale = power(nearest(frac))
        y = tf.floor(x * scale + (0.0 if floor else 0.5)) / scale
        middle = 0.5 / scale if floor else 0.0

        def backward(upstream: Any) -> Any:
            slope = upstream * LN2 * (x - y - middle)
            moved = tf.where(y != 0.0, upstream, 0.0) if weights else upstream
            return moved, _reduce_to(slope, frac.shape)

        return y, backward

    return tf.custom_gradient(forward)(x, frac)


def _reduce_to(values: Any, shape: Any) -> Any:
    """The sum over all axes along which a tensor of the shape was repeated."""
    extra = len(values.shape) - len(shape)
    if extra:
        values = tf.reduce_sum(values, list(range(extra)))
    along = [axis for axis, size in enumerate(shape) if size == 1 and values.shape[axis] != 1]
    return tf.reduce_sum(values, along, keepdims=True) if along else values


def digits(weights: Any, frac: Any) -> Any:
    """Signed digits of weights on their grids, with a slope in the bits behind the point."""
    rounded = nearest(frac)
    raw = tf.abs(nearest(weights * power(rounded)))
    table = tf.constant(count_digits(np.arange(TABLE)).astype(np.float32))
    exact = tf.gather(table, tf.cast(tf.minimum(raw, TABLE - 1.0), tf.int32))
    bits = tf.math.log(tf.abs(weights) + 1e-9) / LN2 + rounded + 1.0
    slope = tf.where(
        bits <= 0.0,
        tf.where(bits > -PULLED_BITS, PULL, 0.0),
        tf.where(bits < 1.0, SLOPES[0], tf.where(bits < 2.0, SLOPES[1], SLOPES[2])),
    )
    return exact + tf.stop_gradient(slope) * (frac - tf.stop_gradient(frac))


def integer_bits(low: Any, high: Any) -> Any:
    """Bits before the point that hold numbers from low to high, a sign not counted."""
    reach = tf.maximum(tf.maximum(high, -low), 1e-9)
    return tf.math.ceil(tf.math.log(reach) / LN2)
