# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files of HGQ2 from the recorded models of `hgq_record.py`."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

RECORDED = Path(__file__).with_name("hgq_models.json")


@dataclass(frozen=True, slots=True, eq=False)
class RecordedModel:
    """What a file of HGQ2 holds, some inputs, and HGQ2's own outputs."""

    config: dict[str, Any]
    variables: dict[str, NDArray[Any]]
    names: dict[str, str]  # of the layers, by the groups that hold their variables
    xs: list[NDArray[np.float64]]
    y: NDArray[np.float64]

    def write(self, folder: Path) -> Path:
        """The model as a file."""
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            for path, values in self.variables.items():
                file[path] = values
            for path, name in self.names.items():
                file.require_group(path).attrs["name"] = name
        path = folder / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(self.config))
            archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.0"}))
            archive.writestr("model.weights.h5", content.getvalue())
        return path


@cache
def recorded(path: Path = RECORDED) -> dict[str, Any]:
    """All records of a file by name."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def recorded_model(name: str, path: Path = RECORDED) -> RecordedModel:
    """One of them, which may be changed."""
    entry = json.loads(json.dumps(recorded(path)[name]))
    variables = {
        path: np.asarray(values, dtype).reshape(shape)
        for path, (dtype, shape, values) in entry["variables"].items()
    }
    xs = [
        np.asarray(values, np.float32).reshape(shape).astype(np.float64)
        for shape, values in entry["x"]
    ]
    shape, values = entry["y"]
    y = np.asarray(values, np.float32).reshape(shape).astype(np.float64)
    return RecordedModel(entry["config"], variables, entry["names"], xs, y)
