# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The containers of Keras models: .keras archives, .h5 files, and JSON beside weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError, ModelError
from edgeinfer.readers import archive, hdf5, sources
from edgeinfer.readers.keras import model as keras_model
from edgeinfer.readers.keras.fresh import SEED
from edgeinfer.readers.loaded import LoadedModel

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def read(path: Path, kind: sources.FileKind, weights: Path | None) -> LoadedModel:
    """A Keras model from its file, with other weights if they are given."""
    match kind:
        case sources.FileKind.KERAS:
            return _read_archive(path, weights)
        case sources.FileKind.HDF5:
            return _read_hdf5(path, weights)
        case _:  # ONNX is never sent here, so JSON is left
            return _read_json(path, weights)


def _read_archive(path: Path, weights: Path | None) -> LoadedModel:
    members = archive.read_members(path, (_CONFIG, _METADATA, _WEIGHTS))
    missing = [name for name in (_CONFIG, _WEIGHTS) if name not in members]
    if _CONFIG in missing or (missing and weights is None):
        raise ModelError(
            f"{path} is a zip archive but no Keras model: it has no {missing[0]}.",
            hint="Save the model with model.save('model.keras').",
        )
    entry = sources.parse_json(members[_CONFIG], f"{path}/{_CONFIG}")
    metadata = {}
    if _METADATA in members:
        metadata = sources.parse_json(members[_METADATA], f"{path}/{_METADATA}")
    version = metadata.get("keras_version") if isinstance(metadata, Mapping) else None
    content: Path | bytes = members[_WEIGHTS] if weights is None else _weights_file(weights)
    where = f"{path}/{_WEIGHTS}" if weights is None else str(weights)
    return _build(path, entry, str(version or 3), where, content)


def _read_hdf5(path: Path, weights: Path | None) -> LoadedModel:
    with hdf5.open_file(str(path), path) as file:
        text = hdf5.text_attribute(file, "model_config")
        version = hdf5.text_attribute(file, "keras_version") or "2"
    if text is None:
        sibling = path.with_name(re.sub(r"[._]weights$", "", path.stem) + ".json")
        remedy = f" Give {sibling}, which lies beside it." if sibling.exists() else ""
        raise ModelError(
            f"{path} holds weights but no architecture.",
            hint="Give the whole model (model.save), or the JSON of its architecture "
            f"(model.to_json) with these weights beside it.{remedy}",
        )
    entry = sources.parse_json(text.encode(errors="replace"), f"{path}, attribute model_config")
    if weights is None:
        return _build(path, entry, version, str(path), path)
    return _build(path, entry, version, str(weights), _weights_file(weights))


def _read_json(path: Path, weights: Path | None) -> LoadedModel:
    size = path.stat().st_size
    if size > sources.MAX_JSON_BYTES:
        raise ModelError(
            f"{path} has {size:,} bytes; at most {sources.MAX_JSON_BYTES:,} of JSON are read.",
            hint="An architecture is small: is this the right file?",
        )
    entry = sources.parse_json(path.read_bytes(), str(path))
    keras_model.root(str(path), entry)
    weights_path = _weights_beside(path) if weights is None else _weights_file(weights)
    version = entry.get("keras_version") if isinstance(entry, Mapping) else None
    if version is None:
        is_new = isinstance(entry, Mapping) and "registered_name" in entry
        version = "3" if is_new else "2"
    if weights_path is None:
        return _build_fresh(path, entry, str(version))
    return _build(path, entry, str(version), str(weights_path), weights_path)


def _weights_beside(path: Path) -> Path | None:
    return next((place for place in _places_of_weights(path) if place.is_file()), None)


def _places_of_weights(path: Path) -> list[Path]:
    stems = (f"{path.stem}_weights", f"{path.stem}.weights", path.stem)
    return [path.with_name(stem + end) for stem in stems for end in (".h5", ".hdf5")]


def _weights_file(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"There is no file {path} with weights.", hint="Check the path.")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty.", hint="Save the weights again.")
    return path


def _build(path: Path, entry: Any, version: str, where: str, content: Path | bytes) -> LoadedModel:
    source = str(path)
    model = keras_model.root(source, entry)
    major = _major_of(version)
    with hdf5.open_file(where, content) as file:
        return keras_model.build(source, path.stem, model, file, where, major)


def _build_fresh(path: Path, entry: Any, version: str) -> LoadedModel:
    """An architecture alone, with weights that are drawn here."""
    model = keras_model.root(str(path), entry)
    model_built = keras_model.build(str(path), path.stem, model, None, "", _major_of(version))
    names = ", ".join(place.name for place in _places_of_weights(path)[::2])
    finding = (
        f"{path.name} comes without weights (none of {names} lies beside it): random ones were "
        f"drawn, with the seed {SEED}. Costs and exactness can be judged by them, answers cannot."
    )
    return replace(model_built, findings=(finding, *model_built.findings))


def _major_of(version: str) -> int:
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 2
