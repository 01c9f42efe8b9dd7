# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files of TensorFlow's Model Optimization Toolkit, from the recorded models of
`tfmot_record.py`."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

RECORDED = Path(__file__).with_name("tfmot_models.json")
GROUPS = {"QuantizeLayer": "quantize_layer", "QuantizeWrapperV2": "quantize_wrapper_v2"}


@dataclass(frozen=True, slots=True, eq=False)
class QuantizationAwareModel:
    """What a file of the toolkit holds, some inputs, and the toolkit's own outputs."""

    config: dict[str, Any]
    weights: dict[str, list[tuple[str, NDArray[Any]]]]  # of each layer, in the file's order
    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def layer(self, name: str) -> dict[str, Any]:
        """The configuration of a layer."""
        layers = self.config["config"]["layers"]
        return next(e["config"] for e in layers if e["config"]["name"] == name)

    def write(self, folder: Path) -> Path:
        """The model as a file."""
        path = folder / "model.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(self.config)
            file.attrs["keras_version"] = "2.15.0"
            group = file.create_group("model_weights")
            group.attrs["layer_names"] = [name.encode() for name in self.weights]
            for layer, entries in self.weights.items():
                inside = group.create_group(layer)
                inside.attrs["weight_names"] = [name.encode() for name, _ in entries]
                for name, values in entries:
                    inside[name] = values
        return path

    def write_archive(self, folder: Path) -> Path:
        """The model as a `.keras` file, as tf.keras 2.15 writes it: a wrapper holds what its layer
        trains, what is rounded of that once more, and its ranges; the layer holds the rest."""
        content, counts = io.BytesIO(), Counter[str]()
        with h5py.File(content, "w") as file:
            for entry in self.config["config"]["layers"]:
                name, stem = entry["config"]["name"], GROUPS.get(entry["class_name"], "")
                group = f"layers/{stem}_{counts[stem]}".removesuffix("_0")
                counts[stem] += 1
                weights = self.weights.get(name, [])
                own = [values for stored, values in weights if stored.startswith(f"{name}/")]
                inner = {s.rpartition("/")[2]: v for s, v in weights if s.partition("/")[0] != name}
                trained = [v for stored, v in inner.items() if "moving" not in stored]
                rounded = [v for stored, v in inner.items() if "kernel" in stored]
                inside = [v for s, v in inner.items() if not rounded or "kernel" not in s]
                for place, values in enumerate([*trained, *rounded, *own] if stem else ()):
                    file[f"{group}/vars/{place}"] = values
                for place, values in enumerate(inside if stem else ()):
                    file[f"{group}/layer/vars/{place}"] = values
        path = folder / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(self.config))
            archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
            archive.writestr("model.weights.h5", content.getvalue())
        return path


@cache
def recorded() -> dict[str, Any]:
    """All records by name."""
    return dict(json.loads(RECORDED.read_text(encoding="utf-8")))


def _array(entry: list[Any]) -> NDArray[Any]:
    dtype, shape, values = entry
    return np.asarray(values, np.float64).astype(dtype).reshape(shape)


def recorded_model(name: str) -> QuantizationAwareModel:
    """One of them, which may be changed."""
    entry = json.loads(json.dumps(recorded()[name]))
    weights = {
        layer: [(weight, _array(values)) for weight, *values in entries]
        for layer, entries in entry["weights"].items()
    }
    x, y = (_array(entry[key]).astype(np.float64) for key in "xy")
    return QuantizationAwareModel(entry["config"], weights, x, y)
