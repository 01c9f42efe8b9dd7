# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which kind of file a path leads to, told by its first bytes; and JSON that cannot do harm."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError, ModelError, did_you_mean
from edgeinfer.graph.nodes import Graph

MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 200


class FileKind(StrEnum):
    """The formats that can be read."""

    KERAS = "keras"  # a zip archive with config.json and model.weights.h5
    HDF5 = "hdf5"  # a whole model in one HDF5 file
    JSON = "json"  # an architecture; its weights lie beside it
    ONNX = "onnx"
    TFLITE = "tflite"


_SAVE_AS_KERAS = "In the program that made it, call model.save('model.keras') and give that file."
_SUFFIX_HINTS = {
    ".pb": f"It is a TensorFlow graph. {_SAVE_AS_KERAS}",
    ".tflite": "It is no TensorFlow Lite file; write it again with the converter.",
    ".pt": "It is a PyTorch file; export the model with torch.onnx.export and give the .onnx.",
    ".pth": "It is a PyTorch file; export the model with torch.onnx.export and give the .onnx.",
    ".pkl": "Pickles run code when they are read and are refused. " + _SAVE_AS_KERAS,
    ".npz": f"It holds arrays but no architecture. {_SAVE_AS_KERAS}",
}
_READABLE = "Readable are .keras, .h5, a Keras .json beside its weights, .onnx and .tflite."


def kind_of(path: Path) -> FileKind:
    """Tell the format; an InputError names what is wrong with the file and what to do."""
    head = _first_bytes(path)
    if head.startswith(b"PK\x03\x04"):
        if path.suffix.lower() in {".pt", ".pth", ".npz"}:
            raise InputError(
                f"{path} is not a model that can be read.", hint=_SUFFIX_HINTS[path.suffix.lower()]
            )
        return FileKind.KERAS
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return FileKind.HDF5
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b'"')):
        return FileKind.JSON
    if head[4:8] == b"TFL3":
        return FileKind.TFLITE
    if path.suffix.lower() == ".onnx":
        return FileKind.ONNX
    suffix = path.suffix.lower()
    if suffix in {".keras", ".h5", ".hdf5", ".json"}:
        raise ModelError(
            f"{path} is named {suffix} but does not hold that format: it begins with {head[:8]!r}.",
            hint="The file is damaged or was misnamed; save or copy the model again.",
        )
    raise InputError(
        f"{path} is not a model that can be read.", hint=_SUFFIX_HINTS.get(suffix, _READABLE)
    )


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        saved = (path / "saved_model.pb").exists() or (path / "keras_metadata.pb").exists()
        what = "a TensorFlow SavedModel" if saved else "a folder"
        if (path / "result.json").exists() and (path / "model").is_dir():
            raise InputError(
                f"{path} is a run folder, not a model file.",
                hint=f"The model that it was made of is in {path / 'model'}.",
            )
        raise InputError(f"{path} is {what}, not a model file.", hint=_SAVE_AS_KERAS)
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) or "Check the path."
        raise InputError(f"There is no file {path}.", hint=hint)
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(
            f"{path} cannot be opened: {error.strerror}.", hint="Check its permissions."
        ) from None
    if not head:
        raise ModelError(f"{path} is empty.", hint="Save or copy the model again.")
    return head


def parse_json(data: bytes, source: str) -> Any:
    """JSON text -> Python data, after its size and nesting were found harmless."""
    if len(data) > MAX_JSON_BYTES:
        raise ModelError(
            f"{source}: {len(data):,} bytes of JSON; at most {MAX_JSON_BYTES:,} are read.",
            hint="An architecture is small: is this the right file?",
        )
    depth = deepest = 0
    for bracket in re.finditer(rb"[\[\]{}]", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > MAX_JSON_DEPTH:
            raise ModelError(
                f"{source}: its JSON is nested more than {MAX_JSON_DEPTH} levels deep.",
                hint="No Keras model is; the file is damaged or hostile.",
            )
    try:
        document = json.loads(data.decode("utf-8-sig"))
        return json.loads(document) if isinstance(document, str) else document
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{source} is not valid JSON: {error}.",
            hint="The file is cut short or damaged; write it again with model.to_json().",
        ) from None


def rename_graph(graph: Graph, name: str) -> Graph:
    """The same graph under another name."""
    return Graph(name, graph.nodes, graph.outputs)
