# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The arguments of a called function: tensors, constants, slices, in the forms of any version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import Floats, Shape
from edgeinfer.readers.keras.builder import Site, UnknownInput
from edgeinfer.readers.keras.config import TensorReference, references
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, whole

NEUTRAL_ATTRIBUTES: tuple[dict[str, Any], ...] = (
    {"s": "TkhXQw=="},
    {"b": False},
    {},
)  # "NHWC" in base64, and defaults
CONSTANT = "_CONSTANT_VALUE"  # stands before a first argument that is no tensor, in Keras 2


@dataclass(frozen=True, slots=True)
class CallTensor:
    """A tensor of the network among the arguments."""

    name: str


@dataclass(slots=True)
class Arguments:
    """What a function is called with. What nothing asks for must be a default, or is refused."""

    positional: tuple[Any, ...]
    named: Mapping[str, Any]
    uses: set[int | str] = field(default_factory=set)

    def take(self, position: int, *names: str, default: Any = None) -> Any:
        """An argument by its place or by any of its names; the default for none."""
        if 0 <= position < len(self.positional):
            self.uses.add(position)
            return self.positional[position]
        for name in names:
            if name in self.named:
                self.uses.add(name)
                return default if self.named[name] is None else self.named[name]
        return default

    def option(self, *names: str, default: Any = None) -> Any:
        """An argument that has names only."""
        return self.take(-1, *names, default=default)

    def tensor(self) -> str:
        """The one tensor that most functions read first."""
        value = self.take(0, "x", "inputs", "input", "features", "logits", "tensor", "input_tensor")
        if not isinstance(value, CallTensor):
            raise UnsupportedLayerError("it reads a constant where a tensor is expected")
        return value.name

    def check_rest(self) -> None:
        """Refuse what has not been asked for, unless it changes nothing."""
        for position, value in enumerate(self.positional):
            if position not in self.uses and value is not None:
                raise UnsupportedLayerError(f"its argument {position + 1} is not known")
        for name, value in self.named.items():
            if name not in self.uses and value is not None and value is not False:
                raise UnsupportedLayerError(f"its {name} is {value!r}, which is not known")


def parse_arguments(site: Site) -> Arguments:
    """What an operation is called with; Keras 3 keeps some of it in the configuration."""
    call = site.call
    if site.layer.kind == "TensorFlowOpLayer":
        return _arguments_of_node(site)
    if not call:
        return Arguments(tuple(CallTensor(x) for x in site.inputs), {})
    read = _Decoder(site, dict(zip(references(call), site.xs, strict=False)))
    if isinstance(call, Mapping):
        config, kwargs, args = site.layer.entry.get("config"), call.get("kwargs"), call.get("args")
        arguments = dict(config) if isinstance(config, Mapping) else {}
        arguments |= kwargs if isinstance(kwargs, Mapping) else {}
        first = list(args) if isinstance(args, (list, tuple)) else []
    else:
        single = isinstance(call[0], str)
        parts = [call] if single else [part for part in call if isinstance(part, (list, tuple))]
        arguments = {}
        for part in parts:
            arguments |= part[3] if len(part) > 3 and isinstance(part[3], Mapping) else {}
        tensors = [list(part[:3]) for part in parts]
        first = tensors if single else [tensors]
    named = {name: read.decode(value) for name, value in arguments.items() if name != "name"}
    return Arguments(tuple(read.decode(value) for value in first), named)


def _arguments_of_node(site: Site) -> Arguments:
    """Those of a node of TensorFlow's graph, as Keras 2 kept one until TensorFlow 2.3: constants
    are stored by their place among the inputs."""
    fields = site.fields
    inputs: list[Any] = [CallTensor(x) for x in site.inputs]
    constants, attributes = fields.get("constants"), Fields(fields.get("node_def")).get("attr")
    if isinstance(constants, Mapping):
        for place, value in sorted((whole(int(key), "place"), v) for key, v in constants.items()):
            inputs.insert(place, as_constant(value))
    named: dict[str, Any] = {}
    for name, value in attributes.items() if isinstance(attributes, Mapping) else ():
        if not name.startswith(("_", "T")) and value not in NEUTRAL_ATTRIBUTES:
            mapping = value if isinstance(value, Mapping) else {}
            named[name] = mapping.get("b", mapping.get("f", value))
    return Arguments(tuple(inputs), named)


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Arguments as a file has them -> tensors, arrays, slices, lists and plain values."""

    site: Site
    tensors: Mapping[TensorReference, str | None]

    def decode(self, value: Any) -> Any:
        """One argument."""
        if isinstance(value, Mapping):
            return self._decode_table(value)
        if not isinstance(value, (list, tuple)):
            return value
        if len(value) == 3 and value[0] == CONSTANT:
            return self.decode(value[2])
        if len(value) == 3 and isinstance(value[0], str) and len(references(value)) == 1:
            return self._find(references(value)[0])
        return [self.decode(each) for each in value]

    def _find(self, reference: TensorReference) -> Any:
        name = self.tensors.get(reference)
        if name is None:
            raise UnknownInput
        sizes = self.site.builder.sizes
        return sizes[name] if name in sizes else CallTensor(name)

    def _decode_table(self, value: Mapping[str, Any]) -> Any:
        config = value.get("config")
        parts = config if isinstance(config, Mapping) else value
        match value.get("class_name"):
            case "__keras_tensor__":
                return self._find(references(value)[0])
            case "__numpy__" | "__tensor__":
                return as_constant(parts.get("value"))
            case "__ellipsis__":
                return Ellipsis
            case "__slice__" | None if {"start", "stop", "step"} <= set(parts):
                return slice(*(self.decode(parts[key]) for key in ("start", "stop", "step")))
            case _:  # a kind of argument that no operation here takes
                raise UnsupportedLayerError("one of its arguments is of a kind that is not known")


def constant_value(value: Any) -> Any:
    """Numbers as a file has them: in lists, or in one of Keras 3's objects around them."""
    if isinstance(value, Mapping) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        return config.get("value") if isinstance(config, Mapping) else None
    return value


def as_constant(value: Any) -> Floats:
    """Numbers in lists as an array; Unsupported where there is anything else."""
    try:
        values = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise UnsupportedLayerError("one of its arguments is neither tensor nor number") from None
    if not np.isfinite(values).all():
        raise UnsupportedLayerError("one of its arguments holds numbers that are not finite")
    return values


def per_sample(values: Floats, rank: int) -> Floats:
    """A constant as it meets a tensor of `rank` axes without the batch. It has an axis, unless the
    tensor has none."""
    if values.ndim == rank + 1 and values.shape[0] == 1:
        values = values[0]
    if values.ndim > rank:
        raise UnsupportedLayerError(
            f"it combines a constant of {values.shape} with a tensor of {rank} axes and the batch"
        )
    return np.atleast_1d(values) if rank else np.asarray(values)


def check_axis_of_bias(shape: Shape, constant: Floats) -> None:
    """Refuse a sum for which Keras 3 has two answers. On TensorFlow it takes a second operand with
    one long axis for a bias of the last axis, or else of the first, wherever that axis stands."""
    values = per_sample(constant, len(shape))
    long = [axis for axis, size in enumerate(values.shape) if size > 1]
    if len(long) != 1:
        return
    axis, size = len(shape) - values.ndim + long[0], values.shape[long[0]]
    bias_axis = len(shape) - 1 if shape[-1] == size else 0 if shape[0] == size else axis
    if bias_axis != axis:
        raise UnsupportedLayerError(
            f"it adds a constant along axis {axis + 1}, which Keras on TensorFlow adds along axis "
            f"{bias_axis + 1}, and on others not; put the constant first"
        )


def axis_of(value: Any, rank: int) -> int:
    """An axis without the batch, from one that counts the batch."""
    axis = whole(value, "axis")
    if not -rank - 1 <= axis <= rank:
        raise UnsupportedLayerError(f"its axis is {axis} for {rank} axes and the batch")
    if axis % (rank + 1) == 0:
        raise UnsupportedLayerError("it works along the batch")
    return axis % (rank + 1) - 1


def axes_of(value: Any, rank: int) -> tuple[int, ...]:
    """Axes without the batch, in order; Unsupported where the batch is among them."""
    if value is None:
        raise UnsupportedLayerError("it works along the batch too")
    listed = np.atleast_1d(as_constant(value)).tolist()
    return tuple(sorted({axis_of(axis, rank) for axis in listed}))
