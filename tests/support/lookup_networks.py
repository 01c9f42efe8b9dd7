# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random networks whose edges are tables, as the files that Keras would write of them."""

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


def save_lookups(path: Path, inputs: int, configs: list[dict[str, Any]], tables: list[Any]) -> Path:
    """A file of Keras with an input and a layer of tables for each configuration."""
    layers: list[dict[str, Any]] = [
        _layer("InputLayer", "keras.layers", {"name": "x", "batch_shape": [None, inputs]}, [])
    ]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for number, (config, held) in enumerate(zip(configs, tables, strict=True)):
            name = f"lookup_{number}"
            layers.append(
                _layer("LookupDense", "edgeinfer", config | {"name": name}, [layers[-1]["name"]])
            )
            group = "layers/lookup_dense" + (f"_{number}" if number else "")
            file[f"{group}/vars/0"] = held
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
