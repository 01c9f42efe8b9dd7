# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where each layer's weights lie in a file, in the layouts that Keras 2 and Keras 3 wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ModelError
from edgeinfer.readers import hdf5
from edgeinfer.readers.keras.config import LayerConfig, ModelConfig
from edgeinfer.readers.keras.parameters import Parameters, parameters_of

# What training keeps beside the weights and no inference reads: of pruning, and of folded norms.
BOOKKEEPING = frozenset(
    {"mask", "threshold", "pruning_step", "step", "iteration", "seed_generator_state"}
)


class Weights(Protocol):
    """The weights of one model, nested ones included."""

    def of(self, layer: LayerConfig) -> dict[str, h5py.Dataset]:
        """A layer's parameters by name."""
        ...

    def unread(self, layer: LayerConfig) -> tuple[str, ...]:
        """Variables of a layer that are none of its parameters."""
        ...

    def inside(self, layer: LayerConfig, model: ModelConfig) -> Weights:
        """The weights of a model that is a layer of this one."""
        ...


def find(source: str, file: h5py.File, model: ModelConfig) -> Weights:
    """Tell the layout of a file of weights."""
    root = file["model_weights"] if isinstance(file.get("model_weights"), h5py.Group) else file
    if hdf5.names_attribute(root, "layer_names") is not None:
        return NamedWeights(source, _groups_in_order(source, root, model))
    for name in ("layers", "_layer_checkpoint_dependencies"):
        if isinstance(root.get(name), h5py.Group):
            return NumberedWeights(source, root[name], model)
    raise ModelError(
        f"{source} holds no weights in a layout that Keras writes.",
        hint="Save the model again with model.save('model.keras').",
    )


def read(source: str, layer: LayerConfig, name: str, dataset: h5py.Dataset) -> NDArray[np.float32]:
    """A layer's parameter as numbers."""
    return hdf5.values(source, f"{layer.path}/{name}", dataset)


def read_integers(
    source: str, layer: LayerConfig, name: str, dataset: h5py.Dataset
) -> NDArray[np.int64]:
    """What a layer holds as whole numbers."""
    what = f"{layer.path}/{name}"
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "iub" or not dataset.size:
        raise ModelError(f"{source}: {what} holds no whole numbers.", hint="Save the model again.")
    return np.asarray(dataset[()]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """Keras 2's layout: each layer is a group with an ordered list of weight names."""

    source: str
    groups: dict[str, h5py.Group]

    def of(self, layer: LayerConfig) -> dict[str, h5py.Dataset]:
        """A layer's parameters by name."""
        group = self.groups.get(layer.name)
        return (
            {}
            if group is None
            else _match_by_name(parameters_of(layer), _list_datasets(self.source, group))
        )

    def unread(self, layer: LayerConfig) -> tuple[str, ...]:
        """Variables of a layer that are none of its parameters."""
        group = self.groups.get(layer.name)
        return (
            ()
            if group is None
            else _unread(parameters_of(layer), _list_datasets(self.source, group))
        )

    def inside(self, layer: LayerConfig, model: ModelConfig) -> Weights:
        """The weights of a model that is a layer of this one: one flat list."""
        group = self.groups.get(layer.name)
        return FlatWeights.split([] if group is None else _list_datasets(self.source, group), model)


def _groups_in_order(source: str, root: h5py.Group, model: ModelConfig) -> dict[str, h5py.Group]:
    """Each layer's group: under its name, which may hold slashes, else, as Keras itself loads
    them, by their order."""
    names = {*root, *(hdf5.names_attribute(root, "layer_names") or [])}
    named = {name: root[name] for name in names if isinstance(root.get(name), h5py.Group)}
    layer_names = _names_with_weights(model)
    if all(name in named for name in layer_names):
        return named
    listed = [named[n] for n in hdf5.names_attribute(root, "layer_names") or [] if n in named]
    filled = [group for group in listed if _list_datasets(source, group)]
    return dict(zip(layer_names, filled, strict=True)) if len(filled) == len(layer_names) else named


def _names_with_weights(model: ModelConfig) -> list[str]:
    return [layer.name for layer in model.layers if layer.is_model or parameters_of(layer).names]


def _list_datasets(source: str, group: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    names = hdf5.names_attribute(group, "weight_names") or []
    for name in names:
        if not isinstance(group.get(name), h5py.Dataset):
            raise ModelError(
                f"{source}: the weight {name!r} is listed but not there.",
                hint="The file is damaged; save the model again.",
            )
    return [(name, group[name]) for name in names]


def _base(name: str) -> str:
    """The parameter's own name: 'model/dense_1/kernel:0' -> 'kernel'."""
    return re.sub(r":\d+$", "", name).rpartition("/")[2]


def _unread(parameters: Parameters, listed: Iterable[tuple[str, h5py.Dataset]]) -> tuple[str, ...]:
    """Stored weights that are no parameters, unless there are as many as those, in their order."""
    names = [name for name, _ in listed]
    if len(names) <= len(parameters.names):
        return ()
    known_names = {*parameters.names, *BOOKKEEPING}
    return tuple(name for name in names if re.sub(r"_\d+$", "", _base(name)) not in known_names)


def _match_by_name(
    parameters: Parameters, listed: Iterable[tuple[str, h5py.Dataset]]
) -> dict[str, h5py.Dataset]:
    """Match stored weights with parameters, by name if they bear it, else by their order."""
    pairs = list(listed)
    datasets: dict[str, h5py.Dataset] = {}
    for stored, dataset in pairs:
        base = _base(stored)
        plain = re.sub(r"_\d+$", "", base)
        for name in (base, plain):
            if name in parameters.names and name not in datasets:
                datasets[name] = dataset
                break
    if len(datasets) == len(parameters.names) or len(pairs) != len(parameters.names):
        return datasets
    order = (*parameters.trained, *parameters.tracked)
    return dict(zip(order, (dataset for _, dataset in pairs), strict=True))


GROUP_STEMS = {"GroupQueryAttention": "grouped_query_attention"}  # its class bears another name


@dataclass(frozen=True, slots=True)
class FlatWeights:
    """A nested model in Keras 2's layout: the weights of all its layers in one list."""

    by_layer: dict[str, list[tuple[str, h5py.Dataset]]]

    @staticmethod
    def split(listed: list[tuple[str, h5py.Dataset]], model: ModelConfig) -> FlatWeights:
        """Give each layer its share: by the layer's name in the weight's, else by order."""
        leaves = list(_leaves(model))
        by_name: dict[str, list[tuple[str, h5py.Dataset]]] = {}
        for stored, dataset in listed:
            parts = re.sub(r":\d+$", "", stored).split("/")[:-1]
            for layer in leaves:
                if layer.name in parts:
                    by_name.setdefault(layer.path, []).append((stored, dataset))
        parameters_by_path = {layer.path: parameters_of(layer) for layer in leaves}
        if all(
            len(by_name.get(path, [])) == len(parameters.names)
            for path, parameters in parameters_by_path.items()
        ) and len({layer.name for layer in leaves}) == len(leaves):
            return FlatWeights(by_name)
        order = [(path, n) for path, p in parameters_by_path.items() for n in p.trained]
        order += [(path, n) for path, p in parameters_by_path.items() for n in p.tracked]
        if len(order) != len(listed):
            return FlatWeights(by_name)
        by_order: dict[str, list[tuple[str, h5py.Dataset]]] = {}
        for (path, name), (_, dataset) in zip(order, listed, strict=True):
            by_order.setdefault(path, []).append((name, dataset))
        return FlatWeights(by_order)

    def of(self, layer: LayerConfig) -> dict[str, h5py.Dataset]:
        """A layer's parameters by name."""
        return _match_by_name(parameters_of(layer), self.by_layer.get(layer.path, []))

    def unread(self, layer: LayerConfig) -> tuple[str, ...]:
        """Variables of a layer that are none of its parameters."""
        return _unread(parameters_of(layer), self.by_layer.get(layer.path, []))

    def inside(self, layer: LayerConfig, model: ModelConfig) -> Weights:
        """Models deeper inside share the one list."""
        return self


def _leaves(model: ModelConfig) -> Iterable[LayerConfig]:
    from edgeinfer.readers.keras.config import parse_model

    for layer in model.layers:
        if layer.is_model:
            yield from _leaves(parse_model(layer.entry, f"{layer.path}/"))
        else:
            yield layer


class NumberedWeights:
    """Keras 3's layout: groups named after classes, variables numbered in order of creation."""

    def __init__(self, source: str, container: h5py.Group, model: ModelConfig) -> None:
        self.source = source
        self.groups = _groups_by_layer(container, model)

    def of(self, layer: LayerConfig) -> dict[str, h5py.Dataset]:
        """A layer's parameters by name."""
        group = self.groups.get(layer.name)
        if group is None:
            return {}
        parameters = parameters_of(layer)
        datasets = dict(zip(parameters.own, _numbered_datasets(group), strict=False))
        for child, names in parameters.children:
            if isinstance(group.get(child), h5py.Group):
                datasets |= dict(zip(names, _numbered_datasets(group[child]), strict=False))
        return datasets

    def unread(self, layer: LayerConfig) -> tuple[str, ...]:
        """Variables of a layer that are none of its parameters."""
        group = self.groups.get(layer.name)
        more = [] if group is None else _numbered_datasets(group)[len(parameters_of(layer).own) :]
        return tuple(item.name for item in more if item.shape or item.dtype.kind == "f")

    def inside(self, layer: LayerConfig, model: ModelConfig) -> Weights:
        """The weights of a model that is a layer of this one."""
        group = self.groups.get(layer.name)
        wrapped = None if group is None else group.get("layer")
        for container in (group, wrapped):
            for name in ("layers", "_layer_checkpoint_dependencies"):
                if container is not None and isinstance(container.get(name), h5py.Group):
                    return NumberedWeights(self.source, container[name], model)
        return FlatWeights({})


def _numbered_datasets(group: h5py.Group) -> list[h5py.Dataset]:
    variables = group.get("vars")
    if not isinstance(variables, h5py.Group):
        return []
    return [variables[name] for name in sorted((n for n in variables if n.isdigit()), key=int)]


def _groups_by_layer(container: h5py.Group, model: ModelConfig) -> dict[str, h5py.Group]:
    """Layer names -> groups: by the name Keras noted, else by class and order."""
    children = {name: g for name, g in container.items() if isinstance(g, h5py.Group)}
    noted: dict[str, h5py.Group] = {}
    for group in children.values():
        variables = group.get("vars")
        name = hdf5.text_attribute(variables, "name") if isinstance(variables, h5py.Group) else None
        if name is not None:
            noted[name] = group
    if all(name in noted for name in _names_with_weights(model)):
        return noted
    by_class: dict[str, list[LayerConfig]] = {}
    for layer in model.layers:
        kind = layer.kind.rpartition(">")[2]
        by_class.setdefault(GROUP_STEMS.get(kind) or _snake_case(kind), []).append(layer)
    groups_read: dict[str, h5py.Group] = {}
    for stem, layers in by_class.items():
        groups = _series(children, stem)
        if len(groups) != len(layers):  # layers without weights may have no group, or empty ones
            groups = [group for group in groups if _has_values(group)]
            layers = [layer for layer in layers if layer.is_model or parameters_of(layer).names]
        groups_read |= {layer.name: group for layer, group in zip(layers, groups, strict=False)}
    return groups_read


def _series(children: dict[str, h5py.Group], stem: str) -> list[h5py.Group]:
    """The groups `stem`, `stem_1`, `stem_2`, ... in their order."""
    numbered = {
        int(match[1] or 0): group
        for name, group in children.items()
        if (match := re.fullmatch(re.escape(stem) + r"(?:_(\d+))?", name))
    }
    return [numbered[number] for number in sorted(numbered)]


def _has_values(group: h5py.Group) -> bool:
    datasets: list[str] = []
    group.visititems(
        lambda name, item: datasets.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return bool(datasets)


def _snake_case(name: str) -> str:
    plain = re.sub(r"\W+", "", name)
    split = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", plain)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", split).lower()
