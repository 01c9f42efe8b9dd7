# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Two layers of tables in TensorFlow, and what they cost; and the same as a model of Keras.

Imports TensorFlow, so it is imported where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.ir.host import host_functions
from edgeinfer.ir.program import HostFunction
from edgeinfer.precision.learned.tensors import LN2, whole
from edgeinfer.precision.lookup.keras_layer import LookupDense, add_entries, places_of
from edgeinfer.precision.lookup.settings import LookupPlan
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

PLACE_BITS = 5  # of an input
INSIDE = 0.995  # share of an ordinary input's values that are not saturated
SUM_PLACES = 64  # of a neuron's sum while it learns
CUT_BITS = 1  # of a sum, which are too fine to tell places apart
LIMIT = 112.0  # of a neuron's sum: twice what most samples use of it, and below all places
FIRST_REACH = 6.0  # of an edge's entries as training begins, in steps
AT_ONCE = 4096  # samples, where no gradient is wanted
NET = 0.5  # LUTs for each bit of a table, where half of them are within adders
Floats32 = NDArray[np.float32]


class LookupModel:
    """The entries of all edges, which edges are alive, and passes."""

    def __init__(self, plan: LookupPlan, x: Floats32, neurons: int, seed: int) -> None:
        self.plan = plan
        self.samples = x
        self.first = Quantizer(input_type(x), Rounding.TRN, Overflow.SAT)
        rng = np.random.default_rng(seed)
        inputs, units = x.shape[1], plan.units
        self.frac = 2
        places = 1 << PLACE_BITS
        line = np.linspace(-1.0, 1.0, places)[None, :, None]
        first = FIRST_REACH * line * rng.normal(size=(inputs, 1, neurons))
        line = np.linspace(-1.0, 1.0, SUM_PLACES)[None, :, None]
        second = sum(
            FIRST_REACH * line**power * rng.normal(size=(neurons, 1, units)) for power in (1, 2)
        )
        self.tables = [tf.Variable(each, dtype=tf.float32) for each in (first, second)]
        self.alive = [
            tf.Variable(np.ones((*each.shape[:1], 1, each.shape[2])), dtype=tf.float32)
            for each in self.tables
        ]
        place = places_of(self.first, x)[0].numpy()
        seen = [np.isin(np.arange(places), place[:, i]) for i in range(inputs)]
        self.seen = np.stack(seen)[:, :, None]

    @property
    def variables(self) -> list[Any]:
        """What learns."""
        return self.tables

    def rounded(self) -> tuple[Any, Any, Any]:
        """The tables in whole steps, the first ones from zero; and the first ones' reach."""
        first = self.tables[0] * self.alive[0]
        low, high = ends_of(first, self.seen)
        first = tf.clip_by_value(first, low, high) - low
        reach = (high - low)[:, 0]
        scale = tf.minimum(1.0, LIMIT / (tf.reduce_sum(reach, 0) + 1e-6))
        return whole(first * scale), whole(self.tables[1] * self.alive[1]), reach * scale

    def run(self, x: Any) -> tuple[Any, Any, Any]:
        """What comes out, the LUTs that it takes, and where the sums stand in the second tables."""
        first, second, reach = self.rounded()
        sums = add_entries(first, places_of(self.first, x)[0], None)
        position = sums / 2.0**CUT_BITS
        at = tf.cast(tf.clip_by_value(tf.floor(position), 0.0, SUM_PLACES - 1.0), tf.int32)
        y = add_entries(second, at, position)
        met = tf.reduce_max(tf.one_hot(at, SUM_PLACES), 0)[:, :, None] > 0.0
        low, high = ends_of(self.tables[1] * self.alive[1], met)
        cost = luts_of(reach) + luts_of((high - low)[:, 0])
        return y * 2.0**-self.frac, cost, at

    def bury(self) -> None:
        """Edges whose entries are all alike stay so."""
        first, second, _ = self.rounded()
        for alive, table in zip(self.alive, (first, second), strict=True):
            low, high = tf.reduce_min(table, 1), tf.reduce_max(table, 1)
            alive.assign(tf.cast(high > low, tf.float32)[:, None] * alive)

    def to_keras(self) -> Any:
        """The network as a model of Keras, for samples like those that it was made for.

        A sum keeps as many bits as tell its places apart, and the tables are turned to match.
        """
        least, most = self._ends_of_sums()
        first, second = (each.numpy() for each in self.rounded()[:2])
        kept = np.flatnonzero((second.max(axis=1) > second.min(axis=1)).any(axis=1))
        kept = kept if kept.size else np.zeros(1, np.int64)
        first, second, least, most = first[:, :, kept], second[kept], least[kept], most[kept]
        bits = max(int((most - least).max()).bit_length(), 1)
        number = np.arange(1 << bits)
        places = least[:, None] + (number - least[:, None]) % (1 << bits)
        places = np.minimum(places, most[:, None])
        turned = np.take_along_axis(second, places[:, :, None], axis=1)
        inside = Fixed(False, bits, bits + CUT_BITS)
        layers = [
            (LookupDense, first, self.first, 0),
            (LookupDense, turned, Quantizer(inside, Rounding.TRN, Overflow.WRAP), self.frac),
        ]
        names = ["neurons", end_name(self.plan)]
        y = x_in = keras.Input(self.plan.input.shape, name=self.plan.input.name)
        for (layer, tables, quantizer, frac), name in zip(layers, names, strict=True):
            keras_layer = layer(tables.shape[2], str(quantizer), frac, name=name)
            y = keras_layer(y)
            keras_layer.tables.assign(np.ldexp(tables, -frac))
        return with_host(self.plan, x_in, y)

    def _ends_of_sums(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Between which places all samples leave the sum of each neuron."""
        look = tf.function(lambda some: self.run(some)[2], jit_compile=True, autograph=False)
        starts = range(0, len(self.samples), AT_ONCE)
        parts = [self.samples[start : start + AT_ONCE] for start in starts]
        sums_by_batch = [look(tf.constant(part)).numpy() for part in parts]
        least = np.min([each.min(axis=0) for each in sums_by_batch], axis=0)
        return least, np.max([each.max(axis=0) for each in sums_by_batch], axis=0)


def end_function(plan: LookupPlan) -> HostFunction:
    """What the host applies to the last sums."""
    return host_functions(plan.graph).get(plan.output, ("", HostFunction.NONE))[1]


def end_name(plan: LookupPlan) -> str:
    """What the layer of the last sums is called."""
    if end_function(plan) is HostFunction.NONE:
        return plan.output
    return "sums" if plan.end == plan.output else plan.end


def with_host(plan: LookupPlan, x: Any, y: Any) -> Any:
    """The model from x to the last sums y, and what the host applies to them."""
    function = end_function(plan)
    if function is not HostFunction.NONE:
        y = keras.layers.Activation(str(function), name=plan.output)(y)
    return keras.Model(x, y, name=plan.graph.name.replace("/", "_"))


def input_type(x: Floats32) -> Fixed:
    """A type that holds most values of an ordinary input; those of greater reach saturate."""
    reach = float(np.median(np.quantile(np.abs(x), INSIDE, axis=0)))
    whole_bits = math.ceil(math.log2(max(reach, 2.0**-40)))
    signed = bool((x < 0).any())
    return Fixed(signed, PLACE_BITS, whole_bits + int(signed))


def ends_of(tables: Any, seen: Any) -> tuple[Any, Any]:
    """The lowest and the highest entry of each edge that some sample finds."""
    none = tf.reduce_any(seen, 1, keepdims=True)
    low = tf.reduce_min(tf.where(seen, tables, 1e9), 1, keepdims=True)
    high = tf.reduce_max(tf.where(seen, tables, -1e9), 1, keepdims=True)
    return tf.where(none, low, 0.0), tf.where(none, high, 0.0)


def luts_of(reach: Any) -> Any:
    """About what the edges of a layer take: their tables, and adders as wide as the sums. What
    reaches no farther than a step is about to go."""
    widths = tf.stop_gradient(tf.math.log(1.0 + tf.reduce_sum(reach, 0, keepdims=True)) / LN2)
    return tf.reduce_sum(NET * tf.math.log(1.0 + reach) / LN2 + (1.0 - tf.exp(-reach)) * widths)
