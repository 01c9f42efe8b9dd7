# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A layer of Keras whose neurons are tables, each of a few inputs.

Imports Keras, so it is imported where it is used. A file that holds the layer is loaded by Keras
once this module is imported; no code is stored in it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgeinfer.precision.lookup.keras_layer import place_quantizer, places_of
from edgeinfer.precision.lookup.settings import MOST_ADDRESS_BITS
from quantization.fixed import Ints

ops = keras.ops


@keras.saving.register_keras_serializable(package="edgeinfer")
class TableNeurons(keras.layers.Layer):  # type: ignore[misc]
    """y_j = T_j[the bits of `fan_in` inputs side by side], over the last axis: whole numbers of
    `bits` bits.

    x is first brought to `format`, such as ``ufixed<2,2,TRN,SAT>``. While it trains, an entry is
    what a small network with `width` neurons in its middle makes of the inputs, rounded; rounding
    has the gradient of what it rounds. Each pass of training writes the tables anew, and otherwise
    they are all that the layer uses. Which inputs a neuron reads is drawn with `seed`, unless
    `connect_strongest` chooses them.
    """

    def __init__(
        self, units: int, format: str, bits: int = 2, fan_in: int = 3, width: int = 8,
        seed: int = 0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.units, self.format, self.bits = units, format, bits
        self.fan_in, self.width, self.seed = fan_in, width, seed
        self.quantizer = place_quantizer(format)
        self.reads_all = False  # in training, before `connect_strongest`

    def build(self, input_shape: Any) -> None:
        """The small networks, which inputs they read, and tables of zeros."""
        inputs = input_shape[-1]
        self.reads = min(self.fan_in, inputs)
        address_bits = self.reads * self.quantizer.type.bits
        if address_bits > MOST_ADDRESS_BITS:
            raise ValueError(
                f"{self.reads} inputs of {self.quantizer.type.bits} bits are {address_bits} bits; "
                f"a table is read with at most {MOST_ADDRESS_BITS}"
            )
        units, width = self.units, self.width

        rng = np.random.default_rng(self.seed)

        def draw_weight(name: str, shape: tuple[int, ...], spread: float) -> Any:
            def draw(shape: Any, dtype: Any = None) -> Any:
                return ops.convert_to_tensor(rng.normal(0.0, spread, shape), dtype=dtype)

            return self.add_weight(name=name, shape=shape, initializer=draw)

        spread = 2.0 * self.reads**-0.5
        self.inner = draw_weight("inner", (inputs, width, units), spread)
        self.inner_bias = draw_weight("inner_bias", (width, units), 1.0)
        self.outer = draw_weight("outer", (width, units), 2.0 * width**-0.5)
        self.straight = draw_weight("straight", (inputs, units), spread)
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros")
        self.connected = self.add_weight(
            name="connected", shape=(inputs, units), initializer="zeros", trainable=False
        )
        self.connect(np.argsort(rng.random((inputs, units)), axis=0) < self.reads)
        self.tables = self.add_weight(
            name="tables", shape=(units, 1 << address_bits), initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def connect(self, read: Any) -> None:
        """State which inputs each neuron reads: inputs, neurons."""
        self.connected.assign(np.asarray(read, np.float32))

    def connect_strongest(self) -> None:
        """Let each neuron keep the inputs that its small network weighs most."""
        inner, outer = np.asarray(self.inner), np.asarray(self.outer)
        strength = np.sqrt(((inner * outer) ** 2).sum(axis=1)) / 2.0
        strength = strength + np.abs(np.asarray(self.straight))
        order = np.argsort(np.argsort(-strength, axis=0, kind="stable"), axis=0)
        self.connect(order < self.reads)
        self.reads_all = False

    def take_over(self, other: TableNeurons, inputs: Ints, outputs: Ints) -> None:
        """Become some of the neurons of another layer, which are connected to some of its inputs
        only."""
        by_inputs, by_neurons = ("inner", "straight", "connected"), ("inner_bias", "outer", "bias")
        for name in by_inputs:
            getattr(self, name).assign(np.asarray(getattr(other, name))[inputs][..., outputs])
        for name in by_neurons:
            getattr(self, name).assign(np.asarray(getattr(other, name))[..., outputs])
        self.tables.assign(np.asarray(other.tables)[outputs])

    def call(self, x: Any, training: bool = False) -> Any:
        """Entries; as it trains, they are computed, and the tables are written."""
        place, position = places_of(self.quantizer, x)
        if training:
            moved = position - ops.stop_gradient(position)  # zero, with a gradient
            u = self._centred(ops.cast(place, "float32") + moved)
            if self.reads_all:
                middle = ops.einsum("...i,ihu->...hu", u, self.inner)
                return self._entries(middle, ops.matmul(u, self.straight))
            self.write_tables()
            return self._entries(*self._weigh(ops.einsum("...i,iku->...ku", u, self._choice())))
        shifts = self.quantizer.type.bits * np.arange(self.reads)
        weights = ops.convert_to_tensor(1 << shifts[:, None], dtype="int32")
        address = ops.sum(ops.take(place, self._read_inputs(), axis=-1) * weights, axis=-2)
        first = ops.arange(self.units, dtype="int32") * self.tables.shape[1]
        return ops.take(ops.reshape(self.tables, (-1,)), address + first)

    def write_tables(self) -> None:
        """Entries for all that the inputs of each neuron can be, the first input's bits lowest."""
        bits = self.quantizer.type.bits
        addresses = np.arange(self.tables.shape[1])[:, None]
        places = addresses >> bits * np.arange(self.reads) & (1 << bits) - 1
        u = self._centred(ops.convert_to_tensor(places[:, :, None], dtype="float32"))
        self.tables.assign(ops.transpose(self._entries(*self._weigh(u))))

    def _weigh(self, u: Any) -> tuple[Any, Any]:
        """Sums of the inputs that each neuron reads: for the middle of its network, and past it."""
        choice = self._choice()
        inner = ops.einsum("iku,ihu->khu", choice, self.inner)
        straight = ops.einsum("iku,iu->ku", choice, self.straight)
        return ops.sum(u[..., :, None, :] * inner, axis=-3), ops.sum(u * straight, axis=-2)

    def _entries(self, middle: Any, past: Any) -> Any:
        """What the small networks yield, rounded."""
        middle = ops.relu(middle + self.inner_bias)
        sums = ops.sum(middle * self.outer, axis=-2) + past + self.bias
        y = float((1 << self.bits) - 1) * ops.sigmoid(sums)
        return y + ops.stop_gradient(ops.floor(y + 0.5) - y)

    def _centred(self, places: Any) -> Any:
        """Places as numbers from -1 to 1."""
        return places * (2.0 / ((1 << self.quantizer.type.bits) - 1)) - 1.0

    def _read_inputs(self) -> Any:
        """Which inputs each neuron reads, in their order: place in the address, neurons."""
        inputs = self.connected.shape[0]
        rank = 2.0 * inputs * self.connected - ops.arange(inputs, dtype="float32")[:, None]
        return ops.transpose(ops.top_k(ops.transpose(rank), self.reads)[1])

    def _choice(self) -> Any:
        """The same as ones among zeros: inputs, place in the address, neurons."""
        return ops.one_hot(self._read_inputs(), self.connected.shape[0], axis=0, dtype="float32")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input, with an element for each neuron."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "units": self.units, "format": self.format, "bits": self.bits,
            "fan_in": self.fan_in, "width": self.width, "seed": self.seed,
        }  # fmt: skip
        return {**super().get_config(), **own}
