# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Graph + Recipe -> a QKeras model whose quantizers are the recipe's formats.

The model holds what is lowered: batch norms folded as `lower` folds them, weights already on their
grids (so that saving and reading back changes none), slopes as they are held in integers. A node's
tensor comes from the Keras layer of the same name; where a node's result is rounded as well, the
layer before the rounding is called ``<name>_exact``. Slashes, which Keras forbids, become dots.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.plan import stage_file
from edgeinfer.export.qkeras_checks import refuse_inexpressible
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import lower
from quantization.recipe import Recipe


@dataclass(frozen=True, slots=True)
class KerasTensors:
    """A network as Keras tensors: its inputs, and each node's tensor by the node's name."""

    graph: Graph  # as lowered
    recipe: Recipe  # complete
    inputs: tuple[Any, ...]
    tensors: dict[str, Any]
    linear: dict[str, list[Any]]  # Keras layers by the name of the graph's layer

    def model(self, outputs: tuple[str, ...]) -> Any:
        """The Keras model that computes some of the tensors."""
        import keras

        from edgeinfer.export.qkeras_layers import keras_name

        output_tensors = [self.tensors[name] for name in outputs]
        return keras.Model(list(self.inputs), output_tensors, name=keras_name(self.graph.name))


def draw(graph: Graph, recipe: Recipe) -> KerasTensors:
    """Every tensor of the network in QKeras; one error that lists all for which it has no equal."""
    lowered = lower(graph, recipe)
    refuse_inexpressible(lowered.graph, lowered.recipe)
    require_extra("train", "A QKeras model")
    from edgeinfer.export.qkeras_layers import Layers

    layers = Layers(lowered.graph, lowered.recipe)
    for node in lowered.graph.nodes:
        layers.add(node)
    inputs = tuple(layers.inputs[node.name] for node in lowered.graph.inputs)
    return KerasTensors(lowered.graph, lowered.recipe, inputs, layers.tensors, layers.linear)


def build(graph: Graph, recipe: Recipe) -> Any:
    """The network as a `keras.Model`, its outputs in order and by name."""
    return draw(graph, recipe).model(graph.outputs)


def write(graph: Graph, recipe: Recipe, path: Path) -> None:
    """Write the network as a `.keras` file; a file that is there is replaced, or left whole."""
    if path.suffix != ".keras":
        raise InputError(f"{path}: QKeras models are written as .keras files.")
    model = build(graph, recipe)
    with stage_file(path) as temporary:
        model.save(temporary)
