# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small Keras files written without Keras: good ones, and the parts to make bad ones of."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

INPUTS, HIDDEN, CLASSES = 6, 5, 3


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """A layer of a Sequential model."""
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def dense(name: str, units: int, activation: str = "linear") -> dict[str, Any]:
    """A Dense layer."""
    return layer("Dense", units=units, activation=activation) | {
        "config": {"name": name, "units": units, "activation": activation}
    }


def sequential(*layers: dict[str, Any], shape: Any = (None, INPUTS)) -> dict[str, Any]:
    """A Sequential model with the input `x`."""
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape}}
    return {"class_name": "Sequential", "config": {"name": "net", "layers": [first, *layers]}}


CLASSIFIER = sequential(dense("hidden", HIDDEN, "relu"), dense("out", CLASSES, "softmax"))


def weights(seed: int = 7) -> dict[str, NDArray[np.float32]]:
    """Kernels and biases of `CLASSIFIER`, by ``<layer>/<number>``."""
    rng = np.random.default_rng(seed)
    shapes = {"hidden/0": (INPUTS, HIDDEN), "hidden/1": (HIDDEN,)}
    shapes |= {"out/0": (HIDDEN, CLASSES), "out/1": (CLASSES,)}
    return {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}


def stored(held: Mapping[str, NDArray[Any]]) -> bytes:
    """Weights in the layout of Keras 3."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        names = list(dict.fromkeys(key.split("/")[0] for key in held))
        for number, name in enumerate(names):
            group = file.create_group(f"layers/dense{f'_{number}' if number else ''}/vars")
            group.attrs["name"] = name
            for key, values in held.items():
                if key.startswith(f"{name}/"):
                    group[key.split("/")[1]] = values
    return content.getvalue()


def archive(model: Any = CLASSIFIER, held: Mapping[str, NDArray[Any]] | None = None) -> bytes:
    """A .keras file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", json.dumps(model))
        file.writestr("model.weights.h5", stored(weights() if held is None else held))
    return content.getvalue()


def classifier(folder: Path, name: str = "net.keras") -> Path:
    """A model of 6 inputs and 3 classes."""
    path = folder / name
    path.write_bytes(archive())
    return path


def legacy_h5(folder: Path, name: str = "net.h5") -> Path:
    """The same model as Keras 2 saved it."""
    config = json.loads(json.dumps(CLASSIFIER).replace("batch_shape", "batch_input_shape"))
    path = folder / name
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = b"2.9.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"hidden", b"out"]
        for key, values in weights().items():
            layer, number = key.split("/")
            inside = group.require_group(layer)
            inside.attrs["weight_names"] = [f"{layer}/{n}:0".encode() for n in ("kernel", "bias")]
            inside[f"{layer}/{('kernel', 'bias')[int(number)]}:0"] = values
    return path


def data(folder: Path, name: str = "data.npz", count: int = 60, **more: Any) -> Path:
    """Inputs for `classifier`, and labels that it mostly gets right."""
    x = np.random.default_rng(3).normal(size=(count, INPUTS))
    held = weights()
    hidden = np.maximum(x @ held["hidden/0"] + held["hidden/1"], 0)
    labels = (hidden @ held["out/0"] + held["out/1"]).argmax(axis=1)
    labels[: min(count, 6)] = 0
    path = folder / name
    np.savez(path, **({"x": x, "y": labels} | more))
    return path
