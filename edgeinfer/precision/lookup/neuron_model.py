# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables of inputs, tables of several of these, and sums of what they yield, in TensorFlow: what
they cost, and the same as a model of Keras.

Imports TensorFlow, so it is imported where it is used.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.precision.learned.tensors import whole
from edgeinfer.precision.lookup.keras_layer import LookupDense, add_entries
from edgeinfer.precision.lookup.model import end_name, input_type, luts_of, with_host
from edgeinfer.precision.lookup.settings import LookupPlan, LookupSettings
from edgeinfer.precision.lookup.table_neurons import TableNeurons
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

LUT_BITS = 6  # of an address that one LUT reads
CODES = 3  # tables of one input each, for each input
FIRST_REACH = 2.0  # of an edge's entries as training begins, in steps
FRAC = 2  # bits behind the point of a sum
Floats32 = NDArray[np.float32]


class NeuronModel:
    """Layers of neurons, the entries of the sums behind them, and which of these are alive."""

    def __init__(self, plan: LookupPlan, x: Floats32, settings: LookupSettings, seed: int) -> None:
        self.plan, self.frac = plan, FRAC
        bits, inputs, neurons = settings.bits, x.shape[1], settings.neuron_count
        first = Quantizer(input_type(x), Rounding.TRN, Overflow.SAT)
        self.code = Quantizer(Fixed(False, bits, bits), Rounding.TRN, Overflow.SAT)
        codes = CODES * inputs
        self.layers = [
            TableNeurons(codes, str(first), bits, 1, seed=seed, name="codes"),
            TableNeurons(
                neurons, str(self.code), bits, settings.reads, seed=seed + 1, name="neurons"
            ),
        ]
        for layer, size in zip(self.layers, (inputs, codes), strict=True):
            layer.build((None, size))
        self.layers[0].connect(np.arange(inputs)[:, None] == np.arange(codes) % inputs)
        self.layers[1].reads_all = True
        rng = np.random.default_rng(seed)
        line = np.linspace(-1.0, 1.0, 1 << bits)[None, :, None]
        tables = FIRST_REACH * line * rng.normal(size=(neurons, 1, plan.units))
        self.tables = tf.Variable(tables, dtype=tf.float32)
        self.alive = tf.Variable(np.ones((neurons, 1, plan.units)), dtype=tf.float32)
        self.variables = [v.value for layer in self.layers for v in layer.trainable_variables]
        self.variables.append(self.tables)

    def connect_strongest(self) -> None:
        """Let each neuron keep the inputs that it weighs most."""
        self.layers[1].connect_strongest()

    def run(self, x: Any) -> tuple[Any, Any, Any]:
        """What comes out, the LUTs that it takes, and what the neurons yield."""
        for layer in self.layers:
            x = layer(x, training=True)
        tables = self.tables * self.alive
        at = tf.cast(tf.stop_gradient(x), tf.int32)
        y = add_entries(whole(tables), at, x)
        low, high = tf.reduce_min(tables, 1), tf.reduce_max(tables, 1)
        reach = high - low
        bits = self.code.type.bits
        each = bits * 2.0 ** max(bits * self.layers[1].reads - LUT_BITS, 0)
        used = 1.0 - tf.exp(-tf.reduce_max(reach, 1))
        return y * 2.0**-self.frac, luts_of(reach) + each * tf.reduce_sum(used), at

    def bury(self) -> None:
        """Edges whose entries are all alike stay so."""
        tables = whole(self.tables * self.alive)
        low, high = tf.reduce_min(tables, 1), tf.reduce_max(tables, 1)
        self.alive.assign(tf.cast(high > low, tf.float32)[:, None] * self.alive)

    def to_keras(self) -> Any:
        """The network as a model of Keras, without what nothing reads."""
        entries = whole(self.tables * self.alive).numpy()
        kept = _some(np.flatnonzero((entries.max(axis=1) > entries.min(axis=1)).any(axis=1)))
        codes, neurons = self.layers
        read = _some(np.flatnonzero(np.asarray(neurons.connected)[:, kept].any(axis=1)))
        everything = np.arange(self.plan.input.shape[0])
        last = LookupDense(self.plan.units, str(self.code), self.frac, name=end_name(self.plan))
        y = x_in = keras.Input(self.plan.input.shape, name=self.plan.input.name)
        for layer, inputs, outputs in ((codes, everything, read), (neurons, read, kept)):
            layer.write_tables()
            copy = TableNeurons.from_config({**layer.get_config(), "units": len(outputs)})
            y = copy(y)
            copy.take_over(layer, inputs, outputs)
        y = last(y)
        last.tables.assign(np.ldexp(entries[kept], -self.frac))
        return with_host(self.plan, x_in, y)


def _some(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places, or where there is none, the first."""
    return places if places.size else np.zeros(1, np.int64)
