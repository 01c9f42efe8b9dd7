# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A QKeras model with float weights behind its quantizers: what training moves.

The model is the one that `export.qkeras` writes; only the kernels and biases in it are not on their
grids yet. What its quantizers make of them is what every stage computes with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.export.qkeras import KerasTensors, draw
from edgeinfer.export.qkeras_formats import prepare_weights
from edgeinfer.graph import nodes as g
from edgeinfer.ir.host import host_functions
from edgeinfer.precision.ptq.network import replace_weights
from edgeinfer.precision.ptq.weights import bias_format
from quantization.fixed import Fixed, Quantizer
from quantization.recipe import Recipe, WeightFormat

HEADROOM = 3  # bits by which a bias may grow while it is trained
WIDEST = 24


@dataclass(frozen=True, slots=True)
class Latent:
    """The model, ending where the host takes over, and where each layer's weights are in it."""

    drawing: KerasTensors
    model: Any
    ends: dict[str, str]  # output -> the tensor that the model yields for it

    @staticmethod
    def of(graph: g.Graph, recipe: Recipe) -> Latent:
        """A model that computes with a graph's float weights under a recipe for all of them."""
        hosts = host_functions(graph)
        ends = {name: hosts[name][0] if name in hosts else name for name in graph.outputs}
        drawing = draw(graph, roomy(graph, recipe))
        model = drawing.model(tuple(dict.fromkeys(ends.values())))
        latent = Latent(drawing, model, ends)
        latent.take(graph)
        kept = {id(variable) for _, layer in latent._layers() for variable in layer.weights}
        for layer in model.layers:
            layer.trainable = any(id(variable) in kept for variable in layer.weights)
        return latent

    def take(self, graph: g.Graph) -> None:
        """Put a graph's kernels and biases, as floats, into the model."""
        weights_by_name = dict(graph.weights())
        for name, layer in self._layers():
            kernel = weights_by_name[f"{name}/kernel"] / self._alpha(
                f"{name}/kernel", weights_by_name
            )
            weights = [kernel.reshape(layer.weights[0].shape)]
            if f"{name}/bias" in weights_by_name:
                weights.append(weights_by_name[f"{name}/bias"])
            layer.set_weights([np.asarray(values, np.float32) for values in weights])

    def graph(self) -> g.Graph:
        """The network with the weights that the model holds now, still as floats."""
        weights = dict(self.drawing.graph.weights())
        kernels: dict[str, g.Floats] = {}
        for name, layers in self.drawing.linear.items():
            kernel, *bias = layers[0].get_weights()
            shape = weights[f"{name}/kernel"].shape
            alpha = self._alpha(f"{name}/kernel", weights)
            kernels[f"{name}/kernel"] = kernel.astype(np.float64).reshape(shape) * alpha
            if bias:
                kernels[f"{name}/bias"] = bias[0].astype(np.float64)
        return replace_weights(self.drawing.graph, kernels)

    def kernels(self) -> dict[str, Any]:
        """The kernels' variables by layer."""
        return {name: layer.weights[0] for name, layer in self._layers()}

    def _layers(self) -> list[tuple[str, Any]]:
        return [(name, layer) for name, ls in self.drawing.linear.items() for layer in ls]

    def _alpha(self, key: str, weights: dict[str, g.Floats]) -> NDArray[np.float64]:
        fmt = self.drawing.recipe.weight(key)
        assert fmt is not None, "drawing completes the recipe for every weight"
        alpha = prepare_weights(weights[key], fmt).alpha
        return np.asarray(1.0 if alpha is None else alpha, dtype=np.float64)


def roomy(graph: g.Graph, recipe: Recipe) -> Recipe:
    """The recipe with biases that may grow."""
    weights = dict(graph.weights())
    formats: dict[str, WeightFormat] = {}
    for node in graph.nodes:
        key = f"{node.layer}/bias" if isinstance(node, g.ConvNode | g.DenseNode) else ""
        if key not in weights:
            continue
        narrow = recipe.weight(key)
        quantizer = narrow.quantizers[0] if narrow else bias_format(weights[key], _finest(recipe))
        formats[key] = WeightFormat.of(_wider(quantizer))
    return recipe.updated(Recipe.of({}, formats))


def settle_biases(graph: g.Graph, recipe: Recipe) -> Recipe:
    """The recipe with the narrowest formats, on the same grids, that hold a graph's biases."""
    formats: dict[str, WeightFormat] = {}
    for key, values in graph.weights():
        fmt = recipe.weight(key)
        if key.endswith("/bias") and fmt is not None:
            formats[key] = WeightFormat.of(bias_format(values, fmt.frac))
    return recipe.updated(Recipe.of({}, formats))


def _wider(quantizer: Quantizer) -> Quantizer:
    type_ = quantizer.type
    bits = min(type_.bits + HEADROOM, WIDEST)
    return Quantizer(Fixed(type_.signed, bits, bits - type_.frac))


def _finest(recipe: Recipe) -> int:
    """Fractional bits for a bias of which a recipe says nothing: as fine as any tensor times any
    kernel."""
    tensors = [quantizer.type.frac for _, quantizer in recipe.activations]
    kernels = [fmt.frac for _, fmt in recipe.weights]
    return max(tensors, default=0) + max(kernels, default=0)
