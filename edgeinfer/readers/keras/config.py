# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The architecture in a Keras file, brought to one form whichever version of Keras wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

MODELS = frozenset({"Sequential", "Functional", "Model"})
OURS = frozenset(  # packages whose classes are read, and "builtins", of which plain functions are
    {"keras", "tf_keras", "tensorflow", "qkeras", "builtins", "tensorflow_model_optimization"}
)
HGQ, PROXY = frozenset({"HGQ", "hgq", "hls4ml"}), "FixedPointQuantizer"  # hls4ml's stand-in for HGQ
UNREGISTERED = "unregistered"  # stands for the package of a class that has none


@dataclass(frozen=True, slots=True)
class TensorReference:
    """One output tensor of one call of a layer."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True, slots=True)
class LayerConfig:
    """A layer's entry: what it is, and where in the model it stands."""

    kind: str  # class name, without its package if that is known
    name: str
    path: str  # the name, behind the names of the models around it
    entry: Mapping[str, Any]
    calls: tuple[Any, ...] = ()  # what each call of it reads, as the file has it

    @property
    def fields(self) -> Fields:
        """The layer's configuration."""
        return Fields(self.entry.get("config", {}))

    @property
    def operation(self) -> str | None:
        """The function that the entry calls, where it is no layer: 'tf.math.add', 'keras.ops.Add'.

        Layers and operations of Keras 3 share names; their modules tell them apart, and in HDF5
        files, which have none, that only layers can be trained.
        """
        if self.kind in ("TFOpLambda", "SlicingOpLambda"):
            return f"tf.{self.fields.text('function')}"
        if self.kind == "TensorFlowOpLayer":
            return f"tf.raw_ops.{Fields(self.fields.get('node_def')).text('op')}"
        module = self.entry.get("module")
        if isinstance(module, str) and re.match(r"keras\.(src\.)?ops(\.|$)", module):
            return f"keras.ops.{self.kind}"
        called = any(isinstance(call, Mapping) and "args" in call for call in self.calls)
        if module is None and called and not {"trainable", "dtype", "layers"} & set(self._config):
            return f"keras.ops.{self.kind}"
        return None

    @property
    def _config(self) -> Mapping[str, Any]:
        config = self.entry.get("config")
        return config if isinstance(config, Mapping) else {}

    @property
    def is_model(self) -> bool:
        """Whether the layer is a model of its own."""
        config = self.entry.get("config")
        return self.kind in MODELS and (
            isinstance(config, list) or (isinstance(config, Mapping) and "layers" in config)
        )


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model's layers and, unless they simply follow each other, its inputs and outputs."""

    name: str
    layers: tuple[LayerConfig, ...]
    sequential: bool
    inputs: tuple[TensorReference, ...] = ()
    input_keys: tuple[str, ...] | None = None  # of those, where they are a table
    outputs: tuple[TensorReference, ...] = ()
    built_shape: Any = None  # what a Sequential model without an input layer was built for


def class_name(entry: Mapping[str, Any]) -> str:
    """The class without its package ('qkeras>QDense' -> 'QDense') where that is one of ours to
    read; with it ('mine>Dense') where the class only bears the name of one that is known."""
    class_text = entry.get("class_name")
    if not isinstance(class_text, str) or not class_text:
        raise UnsupportedLayerError("it has no class_name")
    name = class_text.rpartition(">")[2].rpartition(".")[2]
    package = _package(entry, class_text)
    if package is None or package in OURS or (package in HGQ and name == PROXY):
        return name
    return f"{package}>{name}"


def _package(entry: Mapping[str, Any], name: str) -> str | None:
    """The package that a class was registered under, or comes from; None where the file, as those
    of Keras 2 do for Keras's own, does not say."""
    registered, module = entry.get("registered_name"), entry.get("module")
    for text in (name, registered):
        if isinstance(text, str) and ">" in text:
            return text.rpartition(">")[0]
    if isinstance(module, str) and module:
        return module.partition(".")[0]
    return UNREGISTERED if isinstance(registered, str) else None


def own_function(name: str) -> str:
    """A function's name without its package; Unsupported where the package is not ours to read."""
    package, _, plain = name.rpartition(">")
    if package and package not in OURS:
        raise UnsupportedLayerError(
            f"{name!r} is a function of the package {package!r}, which is not known"
        )
    return plain


def parse_layer(entry: Any, parent: str, position: int) -> LayerConfig:
    """One entry of a model's list of layers."""
    if not isinstance(entry, Mapping):
        raise UnsupportedLayerError(f"entry {position} of its layers is not a table")
    kind = class_name(entry)
    config = entry.get("config")
    name = entry.get("name")
    if not isinstance(name, str) and isinstance(config, Mapping):
        name = config.get("name")
    if not isinstance(name, str) or not name:
        name = f"{kind.lower()}_{position}"
    calls = entry.get("inbound_nodes")
    return LayerConfig(
        kind, name, f"{parent}{name}", entry, tuple(calls) if isinstance(calls, list) else ()
    )


def parse_model(entry: Mapping[str, Any], parent: str = "") -> ModelConfig:
    """A model's entry -> its parts. `parent` ends in '/' inside another model."""
    config = entry.get("config")
    if isinstance(config, list):  # Sequential before Keras 2.2.3
        config = {"layers": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        raise UnsupportedLayerError(
            "it is not a Sequential or Functional model: its file lists no layers"
        )
    layers = tuple(parse_layer(e, parent, i) for i, e in enumerate(config["layers"]))
    name = config.get("name")
    name = name if isinstance(name, str) and name else "model"
    if class_name(entry) == "Sequential" or "output_layers" not in config:
        built = config.get("build_input_shape")
        built = built or Fields(entry.get("build_config") or {}).get("input_shape")
        return ModelConfig(name, layers, True, built_shape=built)
    input_layers = config.get("input_layers")
    output_layers = references(config.get("output_layers"))
    return ModelConfig(
        name, layers, False, references(input_layers), keys_of(input_layers), output_layers
    )


def references(value: Any) -> tuple[TensorReference, ...]:
    """Every [layer, call, tensor] in a list or table of them, or in Keras 3's tensor objects.

    Tables go by their keys in alphabetical order, as Keras flattens them, not as they were written.
    """
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, Mapping) else None
            return references(history)
        return tuple(r for key in sorted(value, key=str) for r in references(value[key]))
    if not isinstance(value, (list, tuple)):
        return ()
    if len(value) >= 3 and isinstance(value[0], str) and all(_is_index(v) for v in value[1:3]):
        return (TensorReference(value[0], value[1], value[2]), *references(list(value[3:])))
    return tuple(r for v in value for r in references(v))


def keys_of(value: Any) -> tuple[str, ...] | None:
    """The keys of a table of tensors, in the order in which `references` goes; None for a list."""
    if not isinstance(value, Mapping) or value.get("class_name") == "__keras_tensor__":
        return None
    return tuple(str(key) for key in sorted(value, key=str) for _ in references(value[key]))


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
