# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random networks of tables, as the files that Keras would write of them."""

from __future__ import annotations

import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

SavedLayer = tuple[str, dict[str, Any], list[Any]]  # class, arguments, arrays in Keras's order


def save_random_lookups(path: Path, seed: int) -> Path:
    """One to three layers of few inputs, of formats and fan-ins that are drawn."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, rng.integers(2, 5)).tolist()
    configs: list[dict[str, Any]] = []
    tables = []
    for inputs, units in pairwise(sizes):
        bits = int(rng.integers(1, 10 if inputs < 3 else 7))
        signed = bool(rng.integers(2)) and bits > 1
        overflow = Overflow.WRAP if rng.integers(4) == 0 else Overflow.SAT
        integer = int(rng.integers(0, bits + 3))
        format_ = Quantizer(Fixed(signed, bits, integer), Rounding.TRN, overflow)
        fan_in = None if rng.integers(2) else int(rng.integers(1, inputs + 1))
        frac = int(rng.integers(-1, 4))
        configs.append({"units": units, "format": str(format_), "frac": frac, "fan_in": fan_in})
        held = rng.normal(scale=2.0 ** float(rng.uniform(-3, 4)), size=(inputs, 1 << bits, units))
        held *= rng.integers(0, 2, (inputs, 1, units))
        if rng.integers(3) == 0:  # which the lowest bit does not change
            held = np.repeat(held[:, ::2], 2, axis=1) if bits > 1 else held
        tables.append(held.astype(np.float32))
    return save_lookups(path, sizes[0], configs, tables)


def save_random_neurons(path: Path, seed: int) -> Path:
    """One to three layers whose neurons are tables, and behind them some sums of tables."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, rng.integers(2, 5)).tolist()
    layers: list[SavedLayer] = []
    for inputs, units in pairwise(sizes):
        bits = int(rng.integers(1, 5))
        fan_in = int(rng.integers(1, 1 + min(12 // bits, 4)))
        reads = min(fan_in, inputs)
        signed = bool(rng.integers(2)) and bits > 1
        overflow = Overflow.WRAP if rng.integers(4) == 0 else Overflow.SAT
        integer = int(rng.integers(bits - 1, bits + 2))
        format_ = Quantizer(Fixed(signed, bits, integer), Rounding.TRN, overflow)
        output_bits = int(rng.integers(1, 5))
        config = neurons_config(units, str(format_), output_bits, fan_in)
        connected = np.argsort(rng.random((inputs, units)), axis=0) < reads
        size = 1 << bits * reads
        held = rng.integers(0, 1 << output_bits, (units, size))
        if rng.integers(3) == 0:  # from one on, so that sums behind it begin elsewhere
            held = np.maximum(held, 1)
        layers.append(saved_neurons(config, connected, held))
    if rng.integers(2):
        format_ = Quantizer(Fixed(False, output_bits, output_bits), Rounding.TRN, Overflow.SAT)
        config = {"units": 2, "format": str(format_), "frac": 1, "fan_in": None}
        held = rng.normal(scale=3.0, size=(sizes[-1], 1 << output_bits, 2))
        layers.append(("LookupDense", config, [held.astype(np.float32)]))
    return save_layers(path, sizes[0], layers)


def neurons_config(units: int, format_: str, bits: int, fan_in: int) -> dict[str, Any]:
    """The arguments of a layer whose neurons are tables."""
    return {"units": units, "format": format_, "bits": bits, "fan_in": fan_in, "width": 1}


def saved_neurons(config: dict[str, Any], connected: Any, held: Any) -> SavedLayer:
    """The layer with its connections and entries; its small networks are not looked at."""
    inputs, units = connected.shape
    shapes = ((inputs, 1, units), (1, units), (1, units), (inputs, units), (units,))
    arrays = [*(np.zeros(shape) for shape in shapes), connected, held]
    return "TableNeurons", config, [array.astype(np.float32) for array in arrays]


def save_lookups(path: Path, inputs: int, configs: list[dict[str, Any]], tables: list[Any]) -> Path:
    """A file of Keras with an input and a layer of edges for each configuration."""
    layers = [("LookupDense", config, [held]) for config, held in zip(configs, tables, strict=True)]
    return save_layers(path, inputs, layers)


def save_layers(path: Path, inputs: int, saved: list[SavedLayer]) -> Path:
    """A file of Keras with an input and layers of ours."""
    layers: list[dict[str, Any]] = [
        _layer("InputLayer", "keras.layers", {"name": "x", "batch_shape": [None, inputs]}, [])
    ]
    weights = io.BytesIO()
    groups = {"LookupDense": "lookup_dense", "TableNeurons": "table_neurons"}
    counts = dict.fromkeys(groups, 0)
    with h5py.File(weights, "w") as file:
        for number, (kind, config, arrays) in enumerate(saved):
            name = f"lookup_{number}"
            layers.append(_layer(kind, "edgeinfer", config | {"name": name}, [layers[-1]["name"]]))
            group = f"layers/{groups[kind]}" + (f"_{counts[kind]}" if counts[kind] else "")
            counts[kind] += 1
            for place, array in enumerate(arrays):
                file[f"{group}/vars/{place}"] = array
            file[f"{group}/vars"].attrs["name"] = name
    model = {
        "class_name": "Functional",
        "config": {
            "name": "lookups",
            "layers": layers,
            "input_layers": ["x", 0, 0],
            "output_layers": [layers[-1]["name"], 0, 0],
        },
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.8.0"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def _layer(kind: str, module: str, config: dict[str, Any], reads: list[str]) -> dict[str, Any]:
    args = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}
        for name in reads
    ]
    return {
        "module": module,
        "class_name": kind,
        "registered_name": None if module.startswith("keras") else f"edgeinfer>{kind}",
        "config": config,
        "name": config["name"],
        "inbound_nodes": [{"args": args, "kwargs": {}}] if reads else [],
    }
