# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A dense layer of Keras whose edges are tables.

Imports Keras, so it is imported where it is used. A file that holds the layer is loaded by Keras
once this module is imported; no code is stored in it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from quantization.fixed import Quantizer, Rounding

ops = keras.ops


def add_entries(tables: Any, place: Any, position: Any) -> Any:
    """For each row of places the sums of what tables of (inputs, entries, outputs) hold there.

    A position is a place before it was cut off, and gets the slope of the tables there as its
    gradient; None where no gradient is wanted.
    """
    inputs, entries, units = tables.shape
    hot = ops.one_hot(place, entries, dtype=tables.dtype)

    def total(rows: Any, table_values: Any) -> Any:
        flat = ops.reshape(table_values, (inputs * entries, units))
        return ops.matmul(ops.reshape(rows, (-1, inputs * entries)), flat)

    y = total(hot, tables)
    if position is None:
        return y
    after = ops.concatenate([tables[:, 1:], tables[:, -1:]], axis=1)
    before = ops.concatenate([tables[:, :1], tables[:, :-1]], axis=1)
    moved = position - ops.stop_gradient(position)  # zero, with a gradient
    return y + total(hot * moved[:, :, None], ops.stop_gradient((after - before) / 2.0))


def place_quantizer(text: str) -> Quantizer:
    """What brings inputs to places in tables."""
    quantizer = Quantizer.parse(text)
    if quantizer.rounding is not Rounding.TRN:
        raise ValueError(f"{text} rounds; a place in a table is cut off: use TRN")
    return quantizer


def places_of(quantizer: Quantizer, x: Any) -> tuple[Any, Any]:
    """Whole numbers from 0, which tell the entries, and the same before they are cut off."""
    type_ = quantizer.type
    scaled = x * 2.0**type_.frac
    position = scaled - float(type_.raw_min)  # rounded to float32: what is cut off, is so before
    place = ops.floor(ops.stop_gradient(scaled)) - float(type_.raw_min)
    if quantizer.overflow == "WRAP":
        place = ops.mod(place, float(1 << type_.bits))
    place = ops.clip(place, 0.0, float((1 << type_.bits) - 1))
    return ops.cast(place, "int32"), position


@keras.saving.register_keras_serializable(package="edgeinfer")
class LookupDense(keras.layers.Layer):  # type: ignore[misc]
    """y_j = the sum over i of T_ij[x_i], over the last axis.

    x is first brought to `format`, such as ``fixed<5,3,TRN,SAT>``, whose integers are the places in
    the tables. Entries have `frac` bits behind the point. With `fan_in`, each output reads the so
    many inputs whose tables reach farthest, the others not at all.

    It trains like any layer: the gradient of an input is the slope of its tables there, and
    rounding has the gradient of what it rounds.
    """

    def __init__(
        self, units: int, format: str, frac: int = 0, fan_in: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.format, self.frac, self.fan_in = units, format, frac, fan_in
        self.quantizer = place_quantizer(format)

    def build(self, input_shape: Any) -> None:
        """The tables: lines of random slopes."""
        entries = 1 << self.quantizer.type.bits
        places = np.linspace(-1.0, 1.0, entries, dtype=np.float32)

        def lines(shape: Any, dtype: Any = None) -> Any:
            slopes = keras.random.normal((shape[0], 1, shape[2]), dtype=dtype)
            return slopes * ops.convert_to_tensor(places[None, :, None]) / shape[0] ** 0.5

        self.tables = self.add_weight(
            name="tables", shape=(input_shape[-1], entries, self.units), initializer=lines
        )
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        """The sums."""
        tables = self.rounded_tables()
        place, position = places_of(self.quantizer, x)
        inputs = tables.shape[0]
        y = add_entries(
            tables, ops.reshape(place, (-1, inputs)), ops.reshape(position, (-1, inputs))
        )
        return ops.reshape(y, (*ops.shape(x)[:-1], self.units))

    def rounded_tables(self) -> Any:
        """Entries on their grid, of the edges that are kept; the others hold zeros."""
        scale = 2.0**self.frac
        tables = self.tables
        if self.fan_in is not None and self.fan_in < tables.shape[0]:
            reach = ops.max(tables, axis=1) - ops.min(tables, axis=1)
            order = ops.argsort(ops.argsort(-reach, axis=0), axis=0)
            kept = ops.cast(order < self.fan_in, tables.dtype)[:, None]
            tables = kept * tables
        nearest = ops.floor(tables * scale + 0.5) / scale
        return tables + ops.stop_gradient(nearest - tables)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input, with an element for each unit."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"units": self.units, "format": self.format, "frac": self.frac, "fan_in": self.fan_in}
        return {**super().get_config(), **own}
