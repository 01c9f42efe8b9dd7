# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX's own tests of its operators, as the onnx package ships them, and how each is read here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
TABLE = Path(__file__).with_suffix(".txt")  # tests that are right, and in which runs

WRAPPED = ("test_qlinearmatmul_2D_int8", "test_qlinearmatmul_3D_int8")  # where integers saturate

UNDEFINED = ("test_l2normalization_axis_0",)


@dataclass(frozen=True)
class Run:
    """How a test is read: with its first input alone, all others stored in the file as exporters
    store weights, and with which axis for the batch."""

    constants: bool
    batch_axis: int | None


RUNS = {
    "inputs": Run(constants=False, batch_axis=0),
    "constants": Run(constants=True, batch_axis=0),
    "inputs/none": Run(constants=False, batch_axis=None),
    "constants/none": Run(constants=True, batch_axis=None),
}


@dataclass(frozen=True)
class Verdict:
    """`right`, `wrong`, `refused` (by name, with a reason) or `crashed`; what was said."""

    kind: str
    said: str = ""


def folders() -> list[Path]:
    """One folder a test."""
    return sorted(path for path in FOLDER.iterdir() if (path / "model.onnx").is_file())


def with_constants(model: ModelProto, arrays: dict[str, NDArray[Any]]) -> ModelProto:
    """The model with all but its first input stored in the file, as exporters store weights."""
    changed = ModelProto()
    changed.CopyFrom(model)
    first = changed.graph.input[0].name
    kept = [value for value in changed.graph.input if value.name == first]
    for name, array in arrays.items():
        if name != first:
            changed.graph.initializer.append(numpy_helper.from_array(array, name))
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    return changed


def verdict_on(folder: Path, scratch: Path, run: str) -> Verdict:
    """Read a test's model, compute it on the test's inputs, and compare with its outputs."""
    constants, batch_axis = RUNS[run].constants, RUNS[run].batch_axis
    model = onnx.load(folder / "model.onnx")
    try:
        inputs = dict(_arrays(folder, "input", model.graph.input))
        expected = [array for _, array in _arrays(folder, "output", model.graph.output)]
    except (TypeError, ValueError):
        return Verdict("not tried", "its data are no plain arrays")
    if folder.name.startswith(WRAPPED):
        return Verdict("not tried", "its integers are wrapped, which ONNX forbids")
    if folder.name in UNDEFINED:
        return Verdict("not tried", "it divides zero by zero, which ONNX Runtime makes zero")
    if not inputs:
        return Verdict("not tried", "it has no inputs")
    if constants:
        model = with_constants(model, inputs)
        inputs = {model.graph.input[0].name: inputs[model.graph.input[0].name]}
    path = scratch / "model.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        loaded = read(path, batch_axis=batch_axis)
        if batch_axis is None:
            inputs = {name: array[None] for name, array in inputs.items()}
        result = onnx_models.computed(loaded, inputs, None, recipe=loaded.recipe)
    except EdgeInferError as error:
        return Verdict("refused", str(error))
    except Exception as error:  # what a test is to find
        return Verdict("crashed", f"{type(error).__name__}: {error}")
    for ours, theirs in zip(result, expected, strict=True):
        if ours.size != theirs.size:
            return Verdict("wrong", f"{ours.shape} instead of {theirs.shape}")
        ours = ours.reshape(theirs.shape)  # some join the batch with the axis behind it
        if not np.allclose(ours, theirs.astype(np.float64), rtol=1e-3, atol=1e-4, equal_nan=True):
            return Verdict("wrong", f"{math.prod(theirs.shape)} values of {theirs.dtype}")
    return Verdict("right")


def readable(run: str) -> list[str]:
    """Names of the tests that were read and right in such a run when the table was made."""
    lines = (line.split() for line in TABLE.read_text().splitlines())
    return [name for name, *runs in lines if run in runs]


def _arrays(folder: Path, kind: str, values: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    for number, value in enumerate(values):
        tensor = onnx.load_tensor(folder / "test_data_set_0" / f"{kind}_{number}.pb")
        yield value.name, numpy_helper.to_array(tensor)
