# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Weights for an architecture that has none: drawn as training would begin, always the same.

What a network costs, and that its stages agree, can be found with any weights; how well it decides
cannot. Each parameter is drawn from its own name, so that no layer depends on another.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Shape
from edgeinfer.readers.keras.config import LayerConfig, ModelConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.parameters import parameters_of

SEED = 0
ONES = frozenset({"gamma", "scale", "moving_variance", "variance"})
GAIN = 2.0  # of a kernel's variance: ReLU takes half of it away


@dataclass(frozen=True, slots=True)
class FreshParameter:
    """A parameter that the file does not hold; the layer knows its shape."""

    key: str

    def draw(self, shape: Shape) -> NDArray[np.float32]:
        """Its values: normal ones for kernels and tables, one for scales, zero for what shifts."""
        name = self.key.rpartition("/")[2]
        if name in ONES:
            return np.ones(shape, np.float32)
        if "kernel" not in name and name != "embeddings":
            return np.zeros(shape, np.float32)
        generator = np.random.default_rng([SEED, zlib.crc32(self.key.encode())])
        depthwise = "depthwise" in name
        inputs = math.prod(shape[:-2] if depthwise else shape[:-1])
        spread = math.sqrt(GAIN / max(inputs, 1))
        return (spread * generator.standard_normal(shape)).astype(np.float32)


class FreshWeights:
    """What `stored.Weights` gives, for a model without a file of weights."""

    def of(self, layer: LayerConfig) -> dict[str, FreshParameter]:
        """A layer's parameters by name. A quantizer's state formats, which nothing can draw."""
        if layer.kind.startswith("hgq>") or layer.kind == "FixedPointQuantizer":
            raise UnsupportedLayerError(
                "its number formats lie among the weights, and no file of these is there"
            )
        names = parameters_of(layer).names
        return {name: FreshParameter(f"{layer.path}/{name}") for name in names}

    def unread(self, layer: LayerConfig) -> tuple[str, ...]:
        """No variable is left over."""
        return ()

    def inside(self, layer: LayerConfig, model: ModelConfig) -> FreshWeights:
        """A model inside draws by the paths of its own layers."""
        return self
