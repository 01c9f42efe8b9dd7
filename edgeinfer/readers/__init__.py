# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Readers of model files. A model file is data: nothing in it is ever executed."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.base.errors import UsageError
from edgeinfer.readers.loaded import LoadedModel

__all__ = ["LoadedModel", "load"]


def load(
    path: Path | str,
    *,
    weights: Path | str | None = None,
    name: str | None = None,
    batch_axis: int | None = 0,
) -> LoadedModel:
    """Read a model file. The content decides on the format, the suffix where the content cannot.

    weights: the weights of a Keras JSON, where they do not lie beside it; name: the graph's name.
    batch_axis: which axis of an ONNX file's inputs counts samples; None: none does.
    """
    from edgeinfer.readers import sources
    from edgeinfer.readers.keras import file as keras_file

    source = Path(path)
    match sources.kind_of(source):
        case sources.FileKind.ONNX:
            from edgeinfer.readers.onnx import reader as onnx

            loaded = onnx.read(source, batch_axis=batch_axis)
        case sources.FileKind.TFLITE if batch_axis == 0:
            from edgeinfer.readers.tflite import reader as tflite

            loaded = tflite.read(source)
        case kind if batch_axis != 0:
            raise UsageError(
                f"{source} is {kind}, whose first axis is always the batch.",
                hint="Leave --batch-axis away.",
            )
        case kind:  # the Keras reader reads all other kinds
            loaded = keras_file.read(source, kind, None if weights is None else Path(weights))
    if name is None:
        return loaded
    return LoadedModel(sources.rename_graph(loaded.graph, name), loaded.recipe, loaded.findings)
