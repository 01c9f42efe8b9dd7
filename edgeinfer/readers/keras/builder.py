# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The growing Graph: nodes, names, formats, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ModelError, Offence, UnsupportedModelError
from edgeinfer.base.names import free_name
from edgeinfer.graph.nodes import (
    AffineNode,
    Floats,
    Graph,
    InputNode,
    Node,
    Shape,
    inputs_of,
    shape_of,
)
from edgeinfer.readers.keras import formats, stored
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from edgeinfer.readers.keras.fresh import FreshParameter
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.multipliers import move_scales_up, on_grids
from edgeinfer.readers.scales import carry_scales
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

MAX_ELEMENTS = 1 << 28
FILLED = "it fills in a number so low that no format holds others beside it, not for a softmax"
ONLY_SOFTMAX = "a choice that a softmax alone reads, or one of numbers that a format holds"


class UnknownInput(Exception):
    """A layer reads what a layer that cannot be read would have made; that one is reported."""


@dataclass(slots=True)
class GraphBuilder:
    """What is known of a model while its layers are read one after the other."""

    source: str
    keras_major: int
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    activations: dict[str, Quantizer] = field(default_factory=dict)
    weights: dict[str, WeightFormat] = field(default_factory=dict)
    offences: list[Offence] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    reserved: set[str] = field(default_factory=set)  # names that layers bear
    sizes: dict[str, Any] = field(default_factory=dict)  # of tensors, by what stands for them
    # Tensors that have a mask: those of whose steps the mask tells which are zero; None if unknown.
    masked: dict[str, str | None] = field(default_factory=dict)
    # What a softmax alone may read, because a choice fills it with a very low number: the tensor
    # without that choice, and the mask that says where it is chosen.
    hidden: dict[str, tuple[str, str]] = field(default_factory=dict)
    quantized: bool = False  # whether any layer is one of QKeras
    kept: dict[str, list[str]] = field(default_factory=dict)  # what layers leave for a next sample
    repeated: bool = False  # whether this is the body of a recurrence
    scaled: bool = False  # whether a layer rounds to steps that are no power of two

    def fresh(self, name: str) -> str:
        """The name, or one like it that no layer and no tensor has."""
        return free_name(name, self.shapes, self.reserved)

    def free_name(self, name: str) -> str:
        """The name, or one like it that no layer has: the same for each call of a shared layer."""
        return free_name(name, self.reserved)

    def add(self, node: Node) -> str:
        """Append a node; Unsupported where it does not fit its inputs."""
        try:
            shape = shape_of(node, self.shapes)
        except ValueError as error:
            raise UnsupportedLayerError(str(error)) from None
        if int(np.prod(shape, dtype=object)) > MAX_ELEMENTS:
            raise UnsupportedLayerError(
                f"its output {shape} has more than {MAX_ELEMENTS:,} elements"
            )
        self.nodes.append(node)
        self.shapes[node.name] = shape
        return node.name

    def body(self) -> GraphBuilder:
        """A builder for the body of a recurrence: nodes of its own, with this one's formats."""
        return replace(self, nodes=[], shapes={}, masked={}, sizes={}, repeated=True)

    def find(self, sentence: str) -> None:
        """Note a finding once."""
        if sentence not in self.findings:
            self.findings.append(sentence)

    def finish(self, name: str, outputs: Sequence[str]) -> LoadedModel:
        """The graph, the recipe that the file states, and the findings."""
        ends = (*outputs, *(tensor for tensors in self.kept.values() for tensor in tensors))
        nodes = _needed_nodes(self.nodes, ends)
        shown = [node.name for node in nodes if node.name in self.hidden]
        if shown:
            raise UnsupportedModelError(
                self.source, [Offence(name, "Where", FILLED, ONLY_SOFTMAX) for name in shown]
            )
        if self.scaled:
            nodes = self._carry_scales(nodes, ends)
        graph = Graph(name, nodes, ends)
        if not self.quantized:
            return LoadedModel(graph, Recipe(), tuple(self.findings))
        weights = dict(graph.weights())
        for key, values in weights.items():
            if key not in self.weights:
                self.weights[key] = self._format_of_float(key, values)
            elif not formats.is_identity(self.weights[key], values):
                raise ModelError(
                    f"{self.source}: {key} is not on the grid of its quantizer.",
                    hint="This is a fault of the reader; please report it with the model.",
                )
        used = {key: f for key, f in self.weights.items() if key in weights}
        node_names = {node.name for node in graph.all_nodes()}
        tensors = {n: q for n, q in self.activations.items() if n in node_names}
        return LoadedModel(graph, Recipe.of(tensors, used), tuple(self.findings))

    def _carry_scales(self, nodes: Sequence[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes with real scales brought together, each in a multiplier of its own."""
        carried = carry_scales(list(nodes), outputs, self.activations)
        carried = move_scales_up(carried, {*outputs, *self.activations})
        carried, weights, findings = on_grids(carried, exact=False)
        self.weights |= weights
        self.findings += findings
        return tuple(carried)

    def _format_of_float(self, key: str, values: Floats) -> WeightFormat:
        per_channel = key.endswith("_scale/scale")
        exact = formats.narrowest(values) or (
            formats.narrowest(values, per_channel=True) if per_channel else None
        )
        if exact is not None:
            return exact
        chosen = formats.format_for_bits(values)
        self.find(
            f"{key} has no quantizer: its float32 values are rounded to {chosen.bits} bits, "
            f"which changes them by at most {formats.error_of(chosen, values):.2g}."
        )
        return chosen


def _needed_nodes(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Nodes on the way to the outputs, and all inputs."""
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if node.name in needed or isinstance(node, InputNode):
            kept.append(node)
            needed.update(inputs_of(node))
    return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class Site:
    """One call of one layer: where its nodes go and what they read."""

    builder: GraphBuilder
    layer: LayerConfig
    stem: str  # name of its first node
    xs: tuple[str | None, ...]  # None: made by a layer that cannot be read
    datasets: Mapping[str, h5py.Dataset | FreshParameter]
    call: Any = ()  # the call's arguments, as the file has them
    values: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)  # instead of stored

    @property
    def fields(self) -> Fields:
        """The layer's configuration."""
        return self.layer.fields

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that the layer reads."""
        if any(x is None for x in self.xs):
            raise UnknownInput
        if not self.xs:
            raise UnsupportedLayerError("it reads nothing")
        if any(x in self.builder.sizes for x in self.xs):
            raise UnsupportedLayerError("it computes with the size of a tensor")
        return tuple(x for x in self.xs if x is not None)

    @property
    def x(self) -> str:
        """The one tensor that the layer reads."""
        names = self.inputs
        if len(names) != 1:
            raise UnsupportedLayerError(f"it reads {len(names)} tensors instead of one")
        return names[0]

    def shape(self, tensor: str) -> Shape:
        """A tensor's shape without the batch."""
        return self.builder.shapes[tensor]

    def add(self, node: Node) -> str:
        """Append a node. What is a number for each sample remains one: a constant with an axis
        would give it that axis."""
        if isinstance(node, AffineNode) and not self.shape(node.x):
            numbers = node.scale, node.shift
            if all(values.size == 1 for values in numbers):
                scale, shift = (values.reshape(()) for values in numbers)
                node = replace(node, scale=scale, shift=shift)
        return self.builder.add(node)

    def name(self, suffix: str = "") -> str:
        """The layer's own name, or a name for a further node of it."""
        return self.builder.fresh(f"{self.stem}_{suffix}") if suffix else self.stem

    def integers(self, name: str) -> NDArray[np.int64]:
        """Whole numbers that a layer holds."""
        return stored.read_integers(self.builder.source, self.layer, name, self._stored(name))

    def weight(self, name: str) -> NDArray[np.float32]:
        """A parameter; a ModelError names it where the file has none."""
        if name in self.values:
            return self.values[name]
        return stored.read(self.builder.source, self.layer, name, self._stored(name))

    def _stored(self, name: str) -> h5py.Dataset:
        if name not in self.datasets:
            raise ModelError(
                f"{self.builder.source} has no weight {self.layer.path}/{name}.",
                hint="The weights belong to another model, or the layer was not built when they "
                "were saved; save the model again as one .keras file.",
            )
        stored_array = self.datasets[name]
        if isinstance(stored_array, FreshParameter):
            raise UnsupportedLayerError(f"its {name} cannot be drawn; give the model's weights")
        return stored_array

    def shaped(self, name: str, shape: Shape) -> NDArray[np.float32]:
        """A parameter whose shape is known from the architecture."""
        parameter = None if name in self.values else self.datasets.get(name)
        if isinstance(parameter, FreshParameter):
            return parameter.draw(shape)
        weight = self.weight(name)
        if weight.shape != shape:
            raise ModelError(
                f"{self.builder.source}: the weight {self.layer.path}/{name} has the shape "
                f"{weight.shape}, but the architecture asks for {shape}.",
                hint="Architecture and weights are from two models; give those saved together.",
            )
        return weight
