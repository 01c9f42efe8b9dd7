# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions that learn at the sites of a plane alone. Needs the extra `[train]`.

A value has a row for each site; a table says which rows a window sees (`site_samples`). Weights
have the shapes that Keras's own convolutions have.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("edgeinfer")
class SiteConv2D(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A convolution of `size` x `size` over the rows that its table names, the place beyond the
    last row being zero; of size 1 it needs no table."""

    def __init__(
        self, filters: int, size: int, kernel_initializer: Any = "glorot_uniform", **options: Any
    ) -> None:
        super().__init__(**options)
        self.filters, self.size = filters, size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, shape: Any) -> None:
        """Make the weights."""
        width = (shape[0] if self.size > 1 else shape)[-1]
        self.kernel = self.add_weight(
            shape=(self.size, self.size, width, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """The features of each site that the table has a row for."""
        if self.size == 1:
            rows = inputs
        else:
            features, table = inputs
            padded = ops.pad(features, ((0, 1), (0, 0)))
            rows = ops.take(padded, table, axis=0)
        rows = ops.reshape(rows, (-1, self.size**2 * self.kernel.shape[2]))
        return rows @ ops.reshape(self.kernel, (-1, self.filters)) + self.bias

    def compute_output_shape(self, shape: Any) -> tuple[int | None, int]:
        """So many rows as the table has."""
        return (shape[1] if self.size > 1 else shape)[0], self.filters

    def get_config(self) -> dict[str, Any]:
        """What a saved training needs."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {
            **super().get_config(),
            "filters": self.filters,
            "size": self.size,
            "kernel_initializer": initializer,
        }


@keras.saving.register_keras_serializable("edgeinfer")
class SitePlaces(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Channels become sites: of the features of a coarse site, those of a finer site's place."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.width = width

    def call(self, inputs: Any) -> Any:
        """The finer sites' features."""
        features, places = inputs
        return ops.take(ops.reshape(features, (-1, self.width)), places, axis=0)

    def compute_output_shape(self, shape: Any) -> tuple[int | None, int]:
        """So many rows as there are finer sites."""
        return shape[1][0], self.width

    def get_config(self) -> dict[str, Any]:
        """What a saved training needs."""
        return {**super().get_config(), "width": self.width}
