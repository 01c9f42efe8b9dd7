# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Keras architecture and its weights -> a Graph, model inside model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import h5py

from edgeinfer.base.errors import ModelError, Offence, UnsupportedModelError
from edgeinfer.graph.nodes import InputNode
from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.keras import stored
from edgeinfer.readers.keras.builder import GraphBuilder, Site, UnknownInput
from edgeinfer.readers.keras.config import (
    LayerConfig,
    ModelConfig,
    TensorReference,
    class_name,
    keys_of,
    parse_model,
    references,
)
from edgeinfer.readers.keras.element_formats import widen_shared_inputs
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, whole
from edgeinfer.readers.keras.fresh import FreshParameter, FreshWeights
from edgeinfer.readers.keras.layers import AUGMENTATIONS, nearest_layer, read_layer
from edgeinfer.readers.keras.masks import pass_masks, refuse_masks
from edgeinfer.readers.keras.parameters import layer_inside, unwrap_layer
from edgeinfer.readers.keras.shaping import (
    ALIKE_AT_EACH_STEP,
    MOST_STEPS,
    cut_into_steps,
    join_steps,
    repeat_for_steps,
)
from edgeinfer.readers.keras.stored import Weights
from edgeinfer.readers.keras.tfmot_variables import LAYER, WRAPPERS
from edgeinfer.readers.loaded import LoadedModel

Tensors = tuple[str | None, ...]  # None: made by a layer that cannot be read


def build(
    source: str, name: str, model: ModelConfig, file: h5py.File | None, where: str, major: int
) -> LoadedModel:
    """Read every layer; one UnsupportedModelError lists all that cannot be read.

    file: the weights, which lie at `where`; None: there are none, so they are drawn. major: the
    version of Keras that wrote the model.
    """
    builder = GraphBuilder(source, major)
    outputs: Tensors = ()
    try:
        _reserve(builder, model)
        weights = FreshWeights() if file is None else stored.find(where, file, model)
        outputs = _Reader(builder, model, weights, "").run(None)
        widen_shared_inputs(builder)
    except UnsupportedLayerError as reason:
        offence = Offence(model.name, "Model", str(reason), forms_of("keras-layers")["Model"])
        builder.offences.append(offence)
    if builder.offences:
        raise UnsupportedModelError(source, builder.offences, trouble="cannot be read")
    return builder.finish(name, [x for x in outputs if x is not None])


def _reserve(builder: GraphBuilder, model: ModelConfig) -> None:
    """Keep the layers' own names for the layers, and tell whether the model is quantized."""
    for layer in model.layers:
        if layer.is_model:
            _reserve(builder, parse_model(layer.entry, f"{layer.path}/"))
            continue
        inner = _unwrap_layer(layer)
        builder.reserved.add(inner.path)
        builder.quantized |= bool(
            re.match(r"hgq>|sparsepixels>Q|edgeinfer>|Q[A-Z]|FixedPointQuantizer$", inner.kind)
        )
        builder.quantized |= layer.kind in WRAPPERS or layer.kind == LAYER


def _unwrap_layer(layer: LayerConfig) -> LayerConfig:
    try:
        if layer.kind in ("PruneLowMagnitude", *WRAPPERS):
            return unwrap_layer(layer)
        if layer.kind in ("TimeDistributed", "SpectralNormalization"):
            return layer_inside(layer)
    except UnsupportedLayerError:
        pass
    return layer


@dataclass(slots=True)
class _Reader:
    """One call of one model."""

    builder: GraphBuilder
    model: ModelConfig
    weights: Weights | FreshWeights
    stem: str  # what stands before its nodes' names: '' or 'encoder/' or 'encoder_call2/'
    results: dict[tuple[str, int], Tensors] = field(default_factory=dict)
    entries: dict[str, str | None] = field(default_factory=dict)
    first_calls: dict[str, int] = field(default_factory=dict)

    def run(self, inputs: Tensors | None, keys: tuple[str, ...] | None = None) -> Tensors:
        """Its output tensors; inputs are None for the outermost model, which makes its own. `keys`:
        those of the inputs, where they are given as a table."""
        if self.model.sequential:
            return self._run_sequence(inputs)
        if inputs is not None:
            self.entries = self._entries_of(inputs, keys)
        layers = {layer.name: layer for layer in self.model.layers}
        if len(layers) != len(self.model.layers):
            raise UnsupportedLayerError("two of its layers have the same name")
        if not self.model.outputs:
            raise UnsupportedLayerError("its output_layers are not named")
        self.first_calls, first_outputs = _first_calls(self.model)
        self._order_inputs(layers)
        for layer in self.model.layers:
            for call in range(max(len(layer.calls), 1)):
                self._make(layers, layer.name, call + self.first_calls.get(layer.name, 0))
        shift = {
            name: self.first_calls.get(name, 0) - first for name, first in first_outputs.items()
        }
        return tuple(
            self._tensor(replace(reference, call=reference.call + shift.get(reference.layer, 0)))
            for reference in self.model.outputs
        )

    def _entries_of(self, inputs: Tensors, keys: tuple[str, ...] | None) -> dict[str, str | None]:
        """What each input layer is given: by key where both sides have keys, or by the layer's
        name; else in order."""
        names, own = [reference.layer for reference in self.model.inputs], self.model.input_keys
        if len(names) != len(inputs):
            raise UnsupportedLayerError(
                f"it has {len(names)} inputs but reads {len(inputs)} tensors"
            )
        if keys is None:
            return dict(zip(names, inputs, strict=True))
        input_names = names if own is None else list(own)
        by_key = dict(zip(keys, inputs, strict=True))
        if len(by_key) != len(keys) or set(by_key) != set(input_names):
            raise UnsupportedLayerError(
                f"its inputs are {', '.join(input_names)}, but it is called with {', '.join(keys)}"
            )
        return {name: by_key[key] for name, key in zip(names, input_names, strict=True)}

    def _run_sequence(self, inputs: Tensors | None) -> Tensors:
        layers = list(self.model.layers)
        tensors = inputs
        if layers and layers[0].kind == "InputLayer":
            first = layers.pop(0)
            if tensors is None:
                tensors = (self._input(first, first.fields),)
        elif tensors is None:
            tensors = (self._implied_input(layers),)
        for layer in layers:
            tensors = self._call(layer, 0, tensors, ())
        return tensors

    def _implied_input(self, layers: Sequence[LayerConfig]) -> str | None:
        """The input of a Sequential model whose first layer states its shape."""
        entry = layers[0] if layers else None
        while entry is not None and entry.is_model:
            inner = parse_model(entry.entry)
            entry = inner.layers[0] if inner.layers else None
        config = entry.entry.get("config") if entry is not None else None
        config = dict(config) if isinstance(config, Mapping) else {}
        if "batch_input_shape" not in config and "batch_shape" not in config:
            built = self.model.built_shape
            if entry is not None and not built:
                built = Fields(entry.entry.get("build_config") or {}).get("input_shape")
            config["batch_shape"] = built
        name = self.builder.fresh("input")
        layer = LayerConfig("InputLayer", name, name, {"class_name": "InputLayer"})
        return self._input(layer, Fields(config))

    def _order_inputs(self, layers: Mapping[str, LayerConfig]) -> None:
        """Make the inputs in the order in which the model takes them."""
        for reference in self.model.inputs:
            if reference.layer in layers:
                self._make(layers, reference.layer, 0)

    def _make(self, layers: Mapping[str, LayerConfig], name: str, call: int) -> None:
        """Make a call's tensors, and before them what they are made from; no recursion."""
        todo = [(name, call)]
        pending: set[tuple[str, int]] = set()
        while todo:
            key = todo[-1]
            if key in self.results:
                todo.pop()
                continue
            layer = layers.get(key[0])
            if layer is None:
                raise UnsupportedLayerError(f"a layer reads {key[0]!r}, which is not in the model")
            call = key[1] - self.first_calls.get(layer.name, 0)
            reads = references(_call_of(layer, call))
            missing = [(r.layer, r.call) for r in reads if (r.layer, r.call) not in self.results]
            if missing and key not in pending:
                pending.add(key)
                todo += missing
                continue
            if missing:
                raise UnsupportedLayerError(f"its layer {key[0]!r} reads what it makes itself")
            todo.pop()
            self.results[key] = self._make_one(layer, call, reads)

    def _make_one(self, layer: LayerConfig, call: int, reads: Sequence[TensorReference]) -> Tensors:
        if layer.kind == "InputLayer":
            if layer.name in self.entries:
                return (self.entries[layer.name],)
            return (self._input(layer, layer.fields),)
        arguments = _call_of(layer, call)
        return self._call(layer, call, tuple(self._tensor(r) for r in reads), arguments)

    def _tensor(self, reference: TensorReference) -> str | None:
        tensors = self.results.get((reference.layer, reference.call))
        if tensors == (None,):
            return None
        if tensors is None or reference.tensor >= len(tensors):
            raise UnsupportedLayerError(
                f"output {reference.tensor} of {reference.layer!r} does not exist"
            )
        return tensors[reference.tensor]

    def _input(self, layer: LayerConfig, fields: Fields) -> str | None:
        shape = fields.get("batch_shape") or fields.get("batch_input_shape")
        try:
            if not isinstance(shape, (list, tuple)) or len(shape) < 2:
                raise UnsupportedLayerError(
                    f"its shape is {shape!r}; name the input's shape in the model"
                )
            if any(size is None for size in shape[1:]):
                raise UnsupportedLayerError(
                    f"its shape {tuple(shape)} is open in more than the batch; hardware needs "
                    "fixed sizes"
                )
            sizes = tuple(whole(size, "shape") for size in shape[1:])
            return self.builder.add(InputNode(self.stem + layer.name, sizes))
        except UnsupportedLayerError as reason:
            self._offend(layer, reason)
            return None

    def _offend(self, layer: LayerConfig, reason: UnsupportedLayerError) -> None:
        offence = Offence(layer.path, layer.kind, str(reason), nearest_layer(layer))
        if offence not in self.builder.offences:
            self.builder.offences.append(offence)

    def _call(self, layer: LayerConfig, call: int, xs: Tensors, arguments: Any) -> Tensors:
        """One call of a layer or of a nested model."""
        stem = self.stem + layer.name if call == 0 else f"{self.stem}{layer.name}_call{call + 1}"
        try:
            if layer.is_model:
                inner = parse_model(layer.entry, f"{layer.path}/")
                weights = self.weights.inside(layer, inner)
                reader = _Reader(self.builder, inner, weights, f"{stem}/")
                return reader.run(xs, keys_of(_first_argument(arguments)))
            _refuse_quantized(layer)
            datasets, unread = self.weights.of(layer), self.weights.unread(layer)
            if layer.kind == "PruneLowMagnitude":
                inner_layer = unwrap_layer(layer)
                stem = stem.removesuffix(layer.name) + inner_layer.name if call == 0 else stem
                layer = inner_layer
            if layer.kind not in AUGMENTATIONS:
                _refuse_training(arguments)
            refuse_masks(self.builder, layer, xs)
            outputs: Tensors
            if layer.kind == "TimeDistributed":
                outputs = (self._call_at_each_step(layer, stem, xs, datasets),)
                if layer_inside(layer).is_model:
                    unread = ()  # its layers tell theirs
            else:
                outputs = read_layer(Site(self.builder, layer, stem, xs, datasets, arguments))
            pass_masks(self.builder, layer, xs, outputs)
            if unread:
                raise UnsupportedLayerError(
                    f"its file holds variables that are not known: {', '.join(unread)}"
                )
            return outputs
        except UnsupportedLayerError as reason:
            self._offend(layer, reason)
        except UnknownInput:
            pass
        return (None,)

    def _call_at_each_step(
        self,
        layer: LayerConfig,
        stem: str,
        xs: Tensors,
        datasets: Mapping[str, h5py.Dataset | FreshParameter],
    ) -> str | None:
        """TimeDistributed: the layer or model inside, called on every step."""
        inside = layer_inside(layer)
        site = Site(self.builder, inside, stem, xs, datasets)
        if inside.kind in ALIKE_AT_EACH_STEP:
            return read_layer(site)[0]

        def call(builder: GraphBuilder, x: str, name: str) -> str | None:
            if inside.is_model:
                inner = parse_model(inside.entry, f"{layer.path}/")
                weights = self.weights.inside(layer, inner)
                ends = _Reader(builder, inner, weights, f"{name}/").run((x,))
            else:
                ends = read_layer(Site(builder, inside, name, (x,), datasets))
            if len(ends) != 1:
                raise UnsupportedLayerError(f"what it calls makes {len(ends)} tensors")
            return ends[0]

        if site.shape(site.x)[0] > MOST_STEPS:
            return repeat_for_steps(site, call)
        outputs: list[str] = []
        for number, x in enumerate(cut_into_steps(site), start=1):
            output = call(self.builder, x, f"{stem}_step{number}")
            if output is None:
                return None
            outputs.append(output)
        return join_steps(site, outputs)


def _first_calls(model: ModelConfig) -> tuple[dict[str, int], dict[str, int]]:
    """The number of each nested model's first call, where layers read it and where it is an output.

    tf.keras counts from 1 in both places, older files from 0. Keras 3 counts from 0 where a layer
    reads, and the outputs of a Functional model from 1.
    """
    read = [reference for layer in model.layers for reference in references(list(layer.calls))]
    reads, outputs = _highest(read), _highest(model.outputs)
    first: dict[str, int] = {}
    first_outputs: dict[str, int] = {}
    for layer in model.layers:
        if not layer.is_model:
            continue
        count, name = max(len(layer.calls), 1), layer.name
        if any(isinstance(call, Mapping) and "args" in call for call in layer.calls):
            first[name] = int(reads.get(name, 0) >= count)
            functional = layer.kind != "Sequential"
            first_outputs[name] = int(functional and outputs.get(name, 0) >= 1)
        else:
            first[name] = int(max(reads.get(name, 0), outputs.get(name, 0)) >= count)
            first_outputs[name] = first[name]
    return first, first_outputs


def _highest(read: Iterable[TensorReference]) -> dict[str, int]:
    """The highest call of each layer that is read."""
    highest: dict[str, int] = {}
    for reference in read:
        highest[reference.layer] = max(highest.get(reference.layer, 0), reference.call)
    return highest


def _call_of(layer: LayerConfig, call: int) -> Any:
    if 0 <= call < len(layer.calls):
        return layer.calls[call]
    if call == 0 and not layer.calls:
        return ()
    raise UnsupportedLayerError(f"call {call} of its layer {layer.name!r} is not described")


def _args(arguments: Any) -> list[Any]:
    args = arguments.get("args") if isinstance(arguments, Mapping) else None
    return args if isinstance(args, list) else []


def _first_argument(arguments: Any) -> Any:
    """What a model is called on: Keras 3 names it or has it first, Keras 2 has nothing else."""
    if isinstance(arguments, Mapping) and "args" in arguments:
        args, kwargs = _args(arguments), arguments.get("kwargs")
        if args:
            return args[0]
        return kwargs.get("inputs") if isinstance(kwargs, Mapping) else None
    return arguments


def _refuse_training(arguments: Any) -> None:
    """A layer called with training=True stays random, or keeps batch statistics, for ever."""
    if isinstance(arguments, Mapping):
        kwargs = arguments.get("kwargs")
        if isinstance(kwargs, Mapping) and kwargs.get("training") is True:
            raise UnsupportedLayerError("it is called with training=True")
        return
    if isinstance(arguments, (list, tuple)):
        for part in arguments:
            options = part[3] if isinstance(part, (list, tuple)) and len(part) > 3 else None
            if isinstance(options, Mapping) and options.get("training") is True:
                raise UnsupportedLayerError("it is called with training=True")


def _refuse_quantized(layer: LayerConfig) -> None:
    """Keras's own int8, int4 and float8 round a layer's inputs by what each sample holds."""
    config = layer.entry.get("config")
    policy = config.get("dtype") if isinstance(config, Mapping) else None
    options = policy.get("config") if isinstance(policy, Mapping) else None
    mode = options.get("mode") if isinstance(options, Mapping) else None
    if mode is not None:
        raise UnsupportedLayerError(
            f"Keras quantized it ({mode}): what it rounds its inputs to depends on each sample, "
            f"which no number format can state. Save the float model and give that"
        )


def root(source: str, entry: Any) -> ModelConfig:
    """The outermost model, parsed."""
    if not isinstance(entry, Mapping):
        raise ModelError(f"{source} holds no architecture.", hint="Save the model again.")
    try:
        if ">" in class_name(entry):
            raise UnsupportedLayerError(
                f"it is a model of a class of one's own ({class_name(entry)}), whose code may do "
                f"other things than its layers"
            )
        return parse_model(entry)
    except UnsupportedLayerError as reason:
        raise ModelError(
            f"{source}: {reason}.",
            hint="Only Sequential and Functional models can be read; a subclassed model keeps its "
            "structure in code: rebuild it with keras.Model(inputs, outputs) and save that.",
        ) from None
