# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network whose tensors have a format for each element, as a `.keras` file of HGQ2's layers.

Kernels and biases lie on their grids already. What rounds a tensor is a `Quantizer` of HGQ2 behind
the layer that makes it. The reader of HGQ2's files gives the Graph and the Recipe of it.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, ModelError, Offence
from edgeinfer.export.hgq_layers import LayerText, describe_layers
from edgeinfer.graph import nodes as g
from quantization.fixed import Ints, Overflow

KERAS = "3.15.0"  # whose layout of files this is
ENTRY_DATE = (1980, 1, 1, 0, 0, 0)  # so that equal networks give equal bytes


@dataclass(frozen=True, slots=True, eq=False)
class ElementRounding:
    """How each element of a tensor is cut off: bits before the point (a sign not counted) and
    behind it, in arrays that broadcast against the tensor. No bits at all: always zero."""

    signed: bool
    integer: Ints
    frac: Ints
    overflow: Overflow = Overflow.WRAP

    @property
    def bits(self) -> Ints:
        """The width of each element, a sign included; 0 for one that is always zero."""
        own = self.integer + self.frac
        return np.where(own > 0, own + int(self.signed), 0)


@dataclass(frozen=True, slots=True, eq=False)
class ElementNetwork:
    """A network and what rounds its tensors, one after the other, by the name of the node."""

    graph: g.Graph
    roundings: Mapping[str, tuple[ElementRounding, ...]]


def write_model(network: ElementNetwork) -> bytes:
    """The content of the file."""
    offences = [
        Offence(node.name, type(node).__name__.removesuffix("Node"), "HGQ2 has no layer for it")
        for node in network.graph.nodes
        if not describe_layers(node, network.graph)
    ]
    if offences:
        raise ModelError(
            f"{network.graph.name} cannot be written with HGQ2's layers: "
            f"{'; '.join(map(str, offences))}."
        )
    writer = _Writer(network)
    for node in network.graph.nodes:
        writer.add(node)
    return writer.file()


@dataclass(slots=True)
class _Writer:
    """Layers in the making, and their variables."""

    network: ElementNetwork
    layers: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, NDArray[Any]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)  # of variables: the layer's name
    tensors: dict[str, str] = field(default_factory=dict)  # of the Graph: the layer of it
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, node: g.Node) -> None:
        """A node's layer, and the quantizers behind it."""
        graph = self.network.graph
        name = node.name.replace("/", ".")
        xs = [self.tensors[x] for x in g.inputs_of(node)]
        shapes = [graph.shapes[x] for x in g.inputs_of(node)]
        *before, last = describe_layers(node, graph)
        for layer in before:
            self._append(layer, f"{name}_pad", xs, shapes)
            xs, shapes = [f"{name}_pad"], [layer.shape]
        if isinstance(node, g.ConvNode | g.DenseNode):
            last.config.update(self._store_weights(last.kind, name, node))
        self._append(last, name, xs, shapes)
        xs = [name]
        for number, rounding in enumerate(self.network.roundings.get(node.name, ())):
            own = f"{name}_bits" if not number else f"{name}_bits_{number + 1}"
            self._round(own, rounding, xs[0], graph.shapes[node.name])
            xs = [own]
        self.tensors[node.name] = xs[0]

    def _append(
        self, layer: LayerText, name: str, xs: Sequence[str], shapes: Sequence[g.Shape]
    ) -> None:
        ours = layer.module.startswith("hgq")
        entry: dict[str, Any] = {
            "module": layer.module,
            "class_name": layer.kind,
            "config": {"name": name, "trainable": True, **layer.config},
            "registered_name": f"hgq>{layer.kind}" if ours else None,
            "name": name,
            "inbound_nodes": [],
        }
        tensors = [
            {
                "class_name": "__keras_tensor__",
                "config": {"shape": [None, *shape], "dtype": "float32", "keras_history": [x, 0, 0]},
            }
            for x, shape in zip(xs, shapes, strict=True)
        ]
        if tensors:
            arguments = tensors if len(tensors) == 1 else [tensors]
            entry["build_config"] = {"input_shape": [None, *shapes[0]]}
            entry["inbound_nodes"] = [{"args": arguments, "kwargs": {}}]
        self.layers.append(entry)

    def _group(self, kind: str, name: str) -> str:
        """Where Keras keeps the variables of the next layer of a kind."""
        stem = {"QDense": "q_dense", "QConv1D": "q_conv1d", "QConv2D": "q_conv2d"}.get(kind, kind)
        count, self.kinds[stem] = self.kinds[stem], self.kinds[stem] + 1
        group = f"layers/{stem}_{count}" if count else f"layers/{stem}"
        self.groups[f"{group}/vars"] = name
        return group

    def _store_weights(
        self, kind: str, name: str, node: g.ConvNode | g.DenseNode
    ) -> dict[str, Any]:
        """The layer's variables; the options that say so."""
        group = self._group(kind, name)
        stored = {"kq": node.kernel} if node.bias is None else {"kq": node.kernel, "bq": node.bias}
        for number, (place, values) in enumerate(stored.items()):
            self.variables[f"{group}/vars/{number}"] = _exact_float32(name, values)
            integer, frac = widths_of_values(values)
            self._store_widths(f"{group}/{place}", integer, frac, np.ones_like(integer))
        config: dict[str, Any] = {"enable_iq": False, "enable_oq": False, "enable_ebops": False}
        config["kq_conf"] = _config("weight", Overflow.SAT, [], of_weights=True)
        if node.bias is not None:
            config["bq_conf"] = _config("bias", Overflow.SAT, [])
        return config

    def _store_widths(self, place: str, integer: Ints, frac: Ints, signed: Ints) -> None:
        """The variables of a quantizer that saturates, or does not train its integer bits."""
        rows: list[NDArray[Any]] = [integer.astype(np.float32), frac.astype(np.float32)]
        rows.append(signed.astype(np.uint8))
        for number, row in enumerate(rows):
            self.variables[f"{place}/quantizer/vars/{number}"] = row

    def _round(self, name: str, rounding: ElementRounding, x: str, shape: g.Shape) -> None:
        rank = len(shape)
        spread = [
            np.broadcast_to(values, np.broadcast_shapes((1,) * rank, values.shape))[None]
            for values in (rounding.integer, rounding.frac)
        ]
        live = rounding.bits.reshape(spread[0].shape) > 0
        signed = np.full(spread[0].shape, int(rounding.signed))
        integer = np.where(live, spread[0], 0)
        frac = np.where(live, spread[1], -int(rounding.signed))  # no bits in all
        along = [axis for axis, size in enumerate(integer.shape) if size == 1]
        conf = _config("datalane", rounding.overflow, along)
        group = self._group("quantizer", name)
        if rounding.overflow is Overflow.WRAP:
            rows: list[NDArray[Any]] = [frac.astype(np.float32), signed.astype(np.uint8)]
            rows += [integer.astype(np.float32), np.zeros((), np.float32)]  # and no decay
            for number, row in enumerate(rows):
                self.variables[f"{group}/quantizer/vars/{number}"] = row
        else:
            self._store_widths(group, integer, frac, signed)
        layer = LayerText("Quantizer", "hgq.quantizer.quantizer", {"config": conf}, shape)
        self._append(layer, name, [x], [shape])

    def file(self) -> bytes:
        """The archive."""
        graph = self.network.graph
        outputs = [[self.tensors[name], 0, 0] for name in graph.outputs]
        inputs = [[node.name.replace("/", "."), 0, 0] for node in graph.inputs]
        config = {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": {
                "name": graph.name,
                "trainable": True,
                "layers": self.layers,
                "input_layers": inputs if len(inputs) > 1 else inputs[0],
                "output_layers": outputs if len(outputs) > 1 else outputs[0],
            },
            "registered_name": "Functional",
        }
        weights = io.BytesIO()
        with h5py.File(weights, "w") as file:
            for path, values in self.variables.items():
                file.create_dataset(path, data=values, track_times=False)
            for path, name in self.groups.items():
                file.require_group(path).attrs["name"] = name
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in (
                ("metadata.json", json.dumps({"keras_version": KERAS}).encode()),
                ("config.json", json.dumps(config).encode()),
                ("model.weights.h5", weights.getvalue()),
            ):
                archive.writestr(zipfile.ZipInfo(name, ENTRY_DATE), content)
        return stream.getvalue()


def _config(
    place: str, overflow: Overflow, along: list[int], *, of_weights: bool = False
) -> dict[str, Any]:
    """A quantizer as the architecture describes it; `along`: axes whose elements share a format."""
    return {
        "module": "hgq.quantizer.config",
        "class_name": "QuantizerConfig",
        "config": {
            "q_type": "kif", "place": place, "k0": True, "i0": 2, "f0": 6, "round_mode": "TRN",
            "overflow_mode": str(overflow), "homogeneous_axis": along, "trainable": True,
            "is_weight": of_weights,
        },
        "registered_name": "hgq>QuantizerConfig",
    }  # fmt: skip


def widths_of_values(values: g.Floats) -> tuple[Ints, Ints]:
    """For each number the bits before its point and behind it that it needs, a sign not counted."""
    mantissa, exponent = np.frexp(np.abs(values))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.where(whole == 0, 1, whole & -whole)
    trailing = np.log2(lowest.astype(np.float64)).astype(np.int64)
    zero = values == 0
    integer = np.where(zero, 0, exponent)
    return integer.astype(np.int64), np.where(zero, 0, 53 - exponent - trailing).astype(np.int64)


def _exact_float32(name: str, values: g.Floats) -> NDArray[np.float32]:
    rounded = values.astype(np.float32)
    if (rounded.astype(np.float64) != values).any():
        raise InputError(
            f"{name} has weights of more bits than a float32 holds.",
            hint="Give its formats fewer bits.",
        )
    return rounded
