# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Models and samples that are objects of a Python session, written as files that can be read."""

from __future__ import annotations

import atexit
import importlib
import inspect
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.scratch import new_folder

KERAS, TORCH = "keras", "torch"
LABELS = "y"
OPSET = 18


def framework_of(model: object) -> str | None:
    """Which library a model in memory is of; None for what is none."""
    roots = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if roots & {"keras", "tf_keras", "tensorflow"} and hasattr(model, "save"):
        return KERAS
    if any(base.__module__.startswith("torch.nn") for base in type(model).__mro__):
        return TORCH
    return None


def write_model(model: Any, samples: Mapping[str, NDArray[Any]] | None) -> Path:
    """A model in memory as a file: Keras saves itself, PyTorch exports ONNX, for which it runs on
    the first of the samples. The file goes when the process ends."""
    match framework_of(model):
        case "keras":
            require_extra("train", "A Keras model in memory")
            path = session_folder() / f"{_file_name(model)}.keras"
            old = type(model).__module__.split(".")[0] == "tf_keras"
            path = path.with_suffix(".h5") if old else path
            model.save(path)
            return path
        case "torch":
            return _write_onnx(model, samples)
        case _:  # a class of any other library
            raise UsageError(
                f"A {type(model).__module__}.{type(model).__qualname__} is no model that can be "
                "loaded.",
                hint="Give a Keras or PyTorch model, the name of a reference model, or a file.",
            )


def _file_name(model: Any) -> str:
    name = str(getattr(model, "name", "") or type(model).__name__)
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name)


def _write_onnx(model: Any, samples: Mapping[str, NDArray[Any]] | None) -> Path:
    torch = importlib.import_module(TORCH)  # whoever has such a model has it
    if samples is None:
        raise UsageError(
            "The shapes of a PyTorch model's inputs are not known.",
            hint="Give samples: load(model, {'x': x, 'y': y}).",
        )
    names = [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.default is parameter.empty
    ]
    named = {"x": samples["x"]} if len(names) == 1 and "x" in samples else samples
    missing = [name for name in names if name not in named] if len(names) > 1 else []
    if missing or not named:
        raise InputError(
            f"The samples have no array for {', '.join(missing or names)}.",
            hint="Name arrays as the arguments of the model's forward.",
        )
    arrays = [named[name] for name in names] if len(names) > 1 else [next(iter(named.values()))]
    path = session_folder() / f"{_file_name(model)}.onnx"
    inputs = names if len(names) > 1 else ["x"]
    trained = model.training
    model.eval()
    try:
        torch.onnx.export(
            model,
            tuple(torch.as_tensor(np.asarray(array[:1], dtype=np.float32)) for array in arrays),
            path,
            input_names=inputs,
            opset_version=OPSET,
            dynamo=False,
        )
    finally:
        model.train(trained)
    return path


def arrays_of(data: object, labels: str = LABELS) -> dict[str, NDArray[Any]]:
    """Arrays by name: of a mapping, of a pair (x, y), or of a DataFrame, whose column `labels`
    holds the labels; all others are the features, in order."""
    if isinstance(data, Mapping):
        return {str(name): _plain_array(values) for name, values in data.items()}
    if isinstance(data, tuple) and len(data) == 2:
        return {"x": _plain_array(data[0]), LABELS: _plain_array(data[1])}
    columns = getattr(data, "columns", None)
    if columns is None or not hasattr(data, "__getitem__"):
        raise UsageError(
            f"Samples cannot be taken from a {type(data).__name__}.",
            hint="Give arrays by name, a pair (x, y), a DataFrame, or a file.",
        )
    frame: Any = data
    marked = [name for name in columns if str(name) == labels]
    features = [name for name in columns if name not in marked]
    arrays = {"x": np.stack([np.asarray(frame[name]) for name in features], axis=1)}
    if marked:
        arrays[LABELS] = _plain_array(frame[marked[0]])
    return arrays


def _plain_array(values: Any) -> NDArray[Any]:
    """An array; names of classes, which a DataFrame holds as objects, as text."""
    array = np.asarray(values)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array.flat):
        return array.astype(np.str_)
    return array


def data_file(data: object) -> Path | None:
    """Samples as a file: the one that is named, or one that the arrays are written to."""
    if data is None or isinstance(data, Path):
        return data
    return Path(data) if isinstance(data, str) else write_arrays(arrays_of(data))


def name_inputs(samples: object, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Samples as arrays by the names of a network's inputs: by name, or one array where the network
    has one input. An error where their shapes are not the network's."""
    if isinstance(samples, Mapping):
        arrays = {str(name): np.asarray(values) for name, values in samples.items()}
    else:
        arrays = dict.fromkeys(shapes, np.asarray(samples))
        if len(shapes) > 1:
            raise UsageError(
                f"The network has the inputs {', '.join(shapes)}.",
                hint="Give an array for each, by its name.",
            )
    if set(arrays) != set(shapes):
        raise UsageError(
            f"The network has the inputs {', '.join(shapes)}, and there are arrays for "
            f"{', '.join(arrays) or 'none'}.",
            hint="Give an array for each, by its name.",
        )
    for name, values in arrays.items():
        if values.shape[1:] != shapes[name] or values.dtype.kind not in "fiub":
            raise InputError(
                f"The samples of {name} are {values.dtype} of shape {values.shape}; the network "
                f"takes numbers of shape (samples, {', '.join(map(str, shapes[name]))})."
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"The samples of {name} hold NaN or infinity.")
    if len({len(values) for values in arrays.values()}) != 1 or not len(
        next(iter(arrays.values()))
    ):
        raise InputError("There are no samples, or not as many of each input.")
    return arrays


def write_arrays(arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Arrays as a NumPy archive, which goes when the process ends."""
    place = session_folder() / "data.npz"
    np.savez(place, **dict(arrays))  # type: ignore[arg-type]
    return place


def session_folder() -> Path:
    """A folder that is there until the process ends."""
    folder = new_folder(f"session-{os.getpid()}")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
