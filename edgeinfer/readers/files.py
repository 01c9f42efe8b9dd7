# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which files a model consists of: its own, and those that it keeps its weights in."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from edgeinfer.readers import sources

WEIGHT_ENDINGS = ("_weights", ".weights", "")  # after the stem of a Keras JSON


def files_of(path: Path) -> dict[str, Path]:
    """The model's files by their place beside it; an InputError where the path is no model."""
    beside: list[PurePosixPath] = []
    match sources.kind_of(path):
        case sources.FileKind.JSON:
            beside = [
                PurePosixPath(path.stem + ending + suffix)
                for ending in WEIGHT_ENDINGS
                for suffix in (".h5", ".hdf5")
            ]
        case sources.FileKind.ONNX:
            beside = _external_data(path)
        case _:  # the other formats are one file
            pass
    files = {path.name: path}
    folder = path.parent.resolve()
    for place in beside:
        other = path.parent / place
        if other.is_file() and other.resolve().is_relative_to(folder):
            files[str(place)] = other
    return files


def _external_data(path: Path) -> list[PurePosixPath]:
    """Where an ONNX model keeps tensors. The reader refuses what leads out of the folder."""
    from edgeinfer.readers.onnx import file as onnx_file

    return [
        PurePosixPath(entry.value)
        for tensor in onnx_file.parse(path).graph.initializer
        for entry in tensor.external_data
        if entry.key == "location" and "\0" not in entry.value
    ]
