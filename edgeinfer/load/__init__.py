# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Readers of model files. A model file is data: nothing in it is ever executed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeinfer.load.loaded import Loaded

__all__ = ["Loaded", "load"]


def load(path: Path | str, *, weights: Path | str | None = None, name: str | None = None) -> Loaded:
    """Read a model file. The content decides on the format, the suffix where the content cannot.

    weights: the weights of a Keras JSON, where they do not lie beside it; name: the graph's name.
    """
    from edgeinfer.load import sources
    from edgeinfer.load.keras import file as keras_file

    source = Path(path)
    match sources.kind_of(source):
        case sources.Kind.ONNX:
            from edgeinfer.load.onnx import reader as onnx

            loaded = onnx.read(source)
        case kind:
            loaded = keras_file.read(source, kind, None if weights is None else Path(weights))
    if name is None:
        return loaded
    return Loaded(sources.renamed(loaded.graph, name), loaded.recipe, loaded.findings)


class _Room(ModuleType):
    """`edgeinfer.load` is this room, and for users of the library the verb of the same name."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("edgeinfer.api").load(*arguments, **options)


sys.modules[__name__].__class__ = _Room
