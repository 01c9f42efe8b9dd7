# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Samples that a network is exercised on: read from a NumPy archive, or drawn and said to be so."""

from __future__ import annotations

import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, did_you_mean
from edgeinfer.base.metrics import Task
from edgeinfer.graph.nodes import Shape
from quantization.fixed import Fixed, Ints, dequantize

HOW_TO = "Write it with numpy.savez(path, x=inputs, y=labels)."
SEED = 20240229
UNREADABLE = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs by name, labels by output, and a word on where they come from."""

    inputs: Mapping[str, NDArray[np.float64]]
    origin: str
    labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def part(self, start: int, stop: int) -> Samples:
        """Some of the samples, in order."""
        return Samples(
            {name: values[start:stop] for name, values in self.inputs.items()},
            self.origin,
            {name: values[start:stop] for name, values in self.labels.items()},
        )


def drawn(inputs: Mapping[str, tuple[Shape, Fixed]], count: int) -> Samples:
    """Values drawn evenly over everything that the inputs' types can hold; always the same."""
    generator = np.random.default_rng(SEED)
    raw: dict[str, Ints] = {
        name: generator.integers(type_.raw_min, type_.raw_max, (count, *shape), endpoint=True)
        for name, (shape, type_) in inputs.items()
    }
    types = ", ".join(f"{name} {type_}" for name, (_, type_) in inputs.items())
    return Samples(
        {name: dequantize(values, inputs[name][1]) for name, values in raw.items()},
        f"{count} samples drawn evenly from the input type ({types}), seed {SEED}; no data given",
    )


def read(path: Path, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> Samples:
    """Read and check an archive. Arrays are named as inputs (or ``x``) and outputs (or ``y``)."""
    arrays = _arrays(path)
    names = _aliases(path, arrays, "x", tuple(inputs)) | _aliases(path, arrays, "y", tuple(outputs))
    unknown = [name for name in arrays if name not in names]
    if unknown:
        hint = did_you_mean(unknown[0], [*inputs, *outputs])
        raise InputError(
            f"{path} holds {unknown[0]!r}, which is neither an input ({', '.join(inputs)}) nor an "
            f"output ({', '.join(outputs)}).",
            hint=hint or "Rename the array, or leave it out.",
        )
    found = {names[name]: values for name, values in arrays.items()}
    lost = [name for name in inputs if name not in found]
    if lost:
        raise InputError(f"{path} has no array for the input {lost[0]!r}.", hint=HOW_TO)
    given = {name: _checked_input(path, name, found[name], inputs[name]) for name in inputs}
    count = len(next(iter(given.values())))
    for name, values in given.items():
        if len(values) != count:
            raise InputError(
                f"{path}: {name!r} has {len(values)} samples, another input has {count}.",
                hint="Every array must have one entry for each sample.",
            )
    labels = {
        name: _checked_labels(path, name, found[name], outputs[name], count)
        for name in outputs
        if name in found
    }
    return Samples(given, f"{count} samples of {path.name}", labels)


def existing(path: Path) -> Path:
    """The path, if a file is there; else an InputError that names its neighbours."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, where a file is needed.", hint="Check the path.")
    if not path.is_file():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, siblings) or "Check the path."
        raise InputError(f"There is no file {path}.", hint=hint)
    return path


def task_of(labels: NDArray[np.float64], shape: Shape) -> Task:
    """What an output of this shape is for, as its labels tell: whole class numbers within range
    (or one-hot rows) classify; anything else is a quantity."""
    classes = shape[-1] if shape and shape[-1] > 1 else 2
    whole = bool(np.all(labels == np.rint(labels)))
    per_decision = labels.size == len(labels) * int(np.prod(shape[:-1], dtype=int))
    if whole and per_decision and labels.min() >= 0 and labels.max() < classes:
        return Task.CLASSIFICATION
    one_hot = labels.shape[1:] == shape and classes == (shape or (0,))[-1]
    if one_hot and whole and labels.min() >= 0 and bool(np.all(labels.sum(axis=-1) == 1)):
        return Task.CLASSIFICATION
    return Task.REGRESSION


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    existing(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_more_than_memory(path, archive)
            return {
                info.filename.removesuffix(".npy"): _array(archive, info)
                for info in archive.infolist()
            }
    except UNREADABLE as error:
        reason = str(error).partition("\n")[0][:160]
        raise InputError(
            f"{path} is no NumPy archive that can be read: {reason}.", hint=HOW_TO
        ) from None


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[np.generic]:
    """One member, after its header was found to claim no more than it holds."""
    with archive.open(info) as member:
        version = npy.read_magic(member)
        read_header = {
            (1, 0): npy.read_array_header_1_0,
            (2, 0): npy.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(member)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects, not numbers")
        claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if claimed > info.file_size:
            raise ValueError(f"{info.filename} claims {claimed:,} bytes and has {info.file_size:,}")
    with archive.open(info) as member:
        values: NDArray[np.generic] = npy.read_array(member, allow_pickle=False)
    return values


def _refuse_more_than_memory(path: Path, archive: zipfile.ZipFile) -> None:
    """Empty images pack a thousandfold, so no ratio tells a bomb: the machine's memory does."""
    unpacked = sum(info.file_size for info in archive.infolist())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if unpacked > memory // 2:
        raise InputError(
            f"{path} would unpack to {unpacked / 1e9:.1f} GB; this machine has "
            f"{memory / 1e9:.1f} GB of memory.",
            hint="Give a part of the samples.",
        )


def _aliases(
    path: Path, arrays: Mapping[str, object], short: str, names: tuple[str, ...]
) -> dict[str, str]:
    """Which array stands for which input or output: by name, or ``x`` (``y``) for an only one."""
    found = {name: name for name in names if name in arrays}
    if short in arrays and short not in names:
        if len(names) != 1 or found:
            raise InputError(
                f"{path} holds {short!r}, which could be any of {', '.join(names)}.",
                hint="Name each array as the network does.",
            )
        found[short] = names[0]
    return found


def _checked_input(
    path: Path, name: str, values: NDArray[np.generic], shape: Shape
) -> NDArray[np.float64]:
    reals = _reals(path, name, values)
    if reals.shape[1:] != shape or reals.ndim != len(shape) + 1:
        wanted = ", ".join(["samples", *map(str, shape)])
        raise InputError(
            f"{path}: {name!r} has the shape {values.shape}; the input needs ({wanted}).",
            hint="The first axis counts samples; images are channels last.",
        )
    if not len(reals):
        raise InputError(
            f"{path}: {name!r} is empty, so there is nothing to learn from it.",
            hint="Give at least one sample, better some hundreds.",
        )
    return reals


def _checked_labels(
    path: Path, name: str, values: NDArray[np.generic], shape: Shape, count: int
) -> NDArray[np.float64]:
    labels = _reals(path, name, values)
    decisions = (count, *shape[:-1])
    fits = [decisions, (*decisions, 1), (count, *shape)]
    if labels.shape not in fits:
        raise InputError(
            f"{path}: the labels of {name!r} have the shape {values.shape}; {count} samples of an "
            f"output of {shape} need {decisions} or {(count, *shape)}.",
            hint="Give one class number (or one value) for each sample, or a one-hot row.",
        )
    numbered = labels.shape != (count, *shape) or shape[-1:] == (1,)
    whole = bool(np.all(labels == np.rint(labels)))
    if numbered and shape and shape[-1] > 1:
        if not whole:
            raise InputError(
                f"{path}: the labels of {name!r} are no whole numbers, but the output has "
                f"{shape[-1]} classes.",
                hint="Give class numbers counted from 0.",
            )
        if labels.min() < 0 or labels.max() >= shape[-1]:
            raise InputError(
                f"{path}: the labels of {name!r} span {labels.min():g}..{labels.max():g}, but the "
                f"output has {shape[-1]} classes, counted from 0.",
                hint="Check the labels, or the model.",
            )
    return labels


def _reals(path: Path, name: str, values: NDArray[np.generic]) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: {name!r} holds {values.dtype}, not numbers.", hint="Give float values."
        )
    if values.ndim == 0:
        raise InputError(
            f"{path}: {name!r} is a single number.", hint="The first axis counts samples."
        )
    reals = values.astype(np.float64)
    if not np.isfinite(reals).all():
        bad = int(np.size(reals) - np.isfinite(reals).sum())
        raise InputError(
            f"{path}: {name!r} has {bad} values that are NaN or infinite.",
            hint="Remove those samples, or replace the values.",
        )
    return reals
