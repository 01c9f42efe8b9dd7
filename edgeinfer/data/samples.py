# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Samples that a network is exercised on: read from anything that data lie in, or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.metrics import Task
from edgeinfer.data.columns import Assignment, assign, assign_by_name
from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.protodune_root import PlaneDump
from edgeinfer.data.formats.shards import OmittingSource
from edgeinfer.data.open import EXPERIMENTS, DataFormat, DataSet, open_data
from edgeinfer.data.stream.thin import Rows, thinned_rows
from edgeinfer.graph.nodes import Shape
from quantization.fixed import Fixed, Ints, dequantize

SEED = 20240229
HELD_BYTES = 512 * 1024 * 1024  # of all samples of a file, in its own types
LOOKED_AT = 1 << 20  # values that are looked through at once


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs by name in the types that they came in, labels by output, where they come from, and
    remarks on how they were read."""

    inputs: Mapping[str, NDArray[Any]]
    origin: str
    labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the classes by output, where the labels came as words."""
    stream: bool = False
    """Whether they follow each other: a network's states go from one to the next."""

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def about(self) -> str:
        """How many they are, of how many, and where they come from."""
        whole = self.origin.startswith(f"{len(self)} ")
        return self.origin if whole else f"{len(self)} of {self.origin}"

    def part(self, start: int, stop: int) -> Samples:
        """Some of the samples, in order."""
        return self._chosen(slice(start, stop))

    def spread(self, most: int) -> Samples:
        """At most so many of the samples, spread evenly over all: files are often sorted. Of a
        stream, those at its beginning."""
        if len(self) <= most:
            return self
        if self.stream:
            return self.part(0, most)
        return self._chosen(np.linspace(0, len(self) - 1, most).astype(np.intp))

    def _chosen(self, rows: slice | NDArray[np.intp]) -> Samples:
        return Samples(
            {name: values[rows] for name, values in self.inputs.items()},
            self.origin,
            {name: values[rows] for name, values in self.labels.items()},
            self.findings,
            self.classes,
            self.stream,
        )


def draw_samples(inputs: Mapping[str, tuple[Shape, Fixed]], count: int) -> Samples:
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


def read(
    path: Path,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    most_bytes: int = HELD_BYTES,
    layers: Mapping[str, str] = MappingProxyType({}),
) -> Samples:
    """Read and check the samples of a file or a folder. Arrays are named as inputs (or ``x``) and
    outputs (or ``y``), or are known by their shapes. At most so many bytes are held. `layers`: by
    what other name an output is known, that of the layer which ends in it."""
    data = _cut_to(open_data(path), inputs)
    try:
        assignment = assign_columns(data, inputs, outputs, layers)
        rows = _rows(data, assignment, most_bytes)
    except DataFileError as error:
        if data.format is DataFormat.NPZ:
            raise
        hint = f"{error.hint} It was read as {data.format}.".strip()
        raise DataFileError(error.path, error.key, error.problem, hint=hint) from None
    place = str(data.place)
    joined = {name: _join_columns(rows, columns) for name, columns in assignment.inputs.items()}
    arrays = {name: _checked_input(place, name, joined[name], inputs[name]) for name in inputs}
    count = len(next(iter(arrays.values())))
    layout = data.source.layout()
    labels: dict[str, NDArray[np.float64]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for name, columns in assignment.labels.items():
        values, names = _number_labels(_join_columns(rows, columns), layout[columns[0]].classes)
        labels[name] = _checked_labels(place, name, values, outputs[name], count)
        if names:
            _check_classes(place, name, names, outputs[name])
            classes[name] = names
    return Samples(
        arrays,
        f"{count} samples of {data.name}",
        labels,
        (
            *_findings(data, assignment, rows, count, most_bytes),
            *_word_findings(data, assignment, classes),
        ),
        classes,
    )


def _cut_to(data: DataSet, inputs: Mapping[str, Shape]) -> DataSet:
    """Planes are cut into patches of the size that the network looks at."""
    shapes = [shape for shape in inputs.values() if len(shape) == 3 and shape[2] == 1]
    if isinstance(data.source, PlaneDump) and len(shapes) == 1:
        (height, width, _) = shapes[0]
        return replace(data, source=replace(data.source, shape=(height, width)))
    return data


def assign_columns(
    data: DataSet,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    layers: Mapping[str, str] = MappingProxyType({}),
) -> Assignment:
    """Which columns are which inputs and labels; an error where one of an archive is neither."""
    layout = data.source.layout()
    other = {
        name: layer
        for name, layer in layers.items()
        if layer in layout and name not in layout and layer not in {*inputs, *outputs}
    }
    named = {other.get(name, name): shape for name, shape in outputs.items()}
    if data.format is DataFormat.NPZ:
        taken = assign_by_name(str(data.place), tuple(layout), inputs, named)
    else:
        numbers = data.format not in EXPERIMENTS
        taken = assign(str(data.place), layout, inputs, named, numbers=numbers)
    columns_of = {name: other.get(name, name) for name in outputs}
    labels = {name: taken.labels[one] for name, one in columns_of.items() if one in taken.labels}
    return replace(taken, labels=labels)


def _rows(data: DataSet, assignment: Assignment, most_bytes: int) -> Rows:
    layout = data.source.layout()
    words = {
        name for columns in assignment.labels.values() if len(columns) == 1 for name in columns
    }
    for name in {name for columns in assignment.inputs.values() for name in columns}:
        if layout[name].classes:
            raise InputError(
                f"{data.place}: {name!r} holds words, and the network takes numbers.",
                hint="Write the features as numbers.",
            )
    for name in assignment.columns:
        if layout[name].dtype.kind not in ("fiubSU" if name in words else "fiub"):
            raise InputError(
                f"{data.place}: {name!r} holds {layout[name].dtype}, not numbers.",
                hint="Give float values.",
            )
    if not data.source.shards():
        raise InputError(
            f"{data.place}: {assignment.columns[0]!r} is empty, so there is nothing to learn "
            "from it.",
            hint="Give at least one sample, better some hundreds.",
        )
    try:
        rows = thinned_rows(data.source, assignment.columns, most_bytes)
        count = len(next(iter(rows.columns.values())))
        if count < rows.total and any(v.dtype.kind in "SU" for v in rows.columns.values()):
            raise InputError(
                f"{data.place}: only {count:,} of its {rows.total:,} samples fit into memory, and "
                "they may not hold every class of its labels.",
                hint="Write the labels as class numbers.",
            )
        return rows
    except InputError:
        raise
    except UsageError as error:  # a row, or what it is packed in, is too large to be read
        raise InputError(
            f"{data.place}: {error.message}",
            hint="Write it in smaller pieces: smaller samples, chunks or groups of rows.",
        ) from None


def _join_columns(rows: Rows, columns: tuple[str, ...]) -> NDArray[Any]:
    """One column, or several that hold a number each, side by side."""
    if len(columns) == 1:
        return rows.columns[columns[0]]
    return np.stack([rows.columns[name].reshape(-1) for name in columns], axis=-1)


def _number_labels(
    values: NDArray[Any], classes: tuple[str, ...]
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Labels as numbers, and the names of their classes where they are words: in the order of the
    file's list, or in alphabetical order."""
    if values.dtype.kind not in "SU":
        return values, classes
    words = np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
    names, numbers = np.unique(words, return_inverse=True)
    return numbers.reshape(values.shape).astype(np.float64), tuple(str(name) for name in names)


def _check_classes(place: str, name: str, names: tuple[str, ...], shape: Shape) -> None:
    """As many words as the output has classes: of fewer, nobody can say which is missing."""
    class_count = max(shape[-1] if shape else 1, 2)
    if len(names) != class_count:
        raise InputError(
            f"{place}: the labels of {name!r} name {len(names)} classes ({', '.join(names[:8])}), "
            f"but the output has {class_count}, so it is not known which is which.",
            hint="Write class numbers counted from 0, or give samples of every class.",
        )


def _word_findings(
    data: DataSet, assignment: Assignment, classes: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Which number stands for which word, and which columns could not be read as numbers."""
    findings = []
    for output, names in classes.items():
        classes_text = ", ".join(f"{number} {name}" for number, name in enumerate(names))
        findings.append(
            f"{data.name}: the classes of {output}, from the column "
            f"{assignment.labels[output][0]}, are numbered {classes_text}; "
            "the network's must be in this order."
        )
    if isinstance(data.source, OmittingSource):
        for name, reason in data.source.omitted().items():
            findings.append(f"{data.name}: the column {name} is left out: it {reason}.")
    return tuple(findings)


def _findings(
    data: DataSet, assignment: Assignment, rows: Rows, count: int, most_bytes: int
) -> tuple[str, ...]:
    findings = []
    if assignment.sentence and data.format is not DataFormat.NPZ:
        findings.append(f"{data.name}, read as {data.format}: {assignment.sentence}.")
    if assignment.left_out and data.format is DataFormat.NPZ:
        findings.append(
            f"{data.name}: {', '.join(assignment.left_out)} are left out: edgeinfer detect judges "
            "a whole detector by them."
        )
    if count < rows.total:
        findings.append(
            f"{data.name}: {count:,} of its {rows.total:,} samples were read, spread evenly; all "
            f"of them would take more than {most_bytes >> 20} MiB."
        )
    return tuple(findings)


def task_of(labels: NDArray[np.float64], shape: Shape) -> Task:
    """What an output of this shape is for, as its labels tell: whole class numbers within range
    (or one-hot rows) classify; anything else is a quantity. Of decisions at several positions some
    may have no label, which is a row of zeros."""
    classes = shape[-1] if shape and shape[-1] > 1 else 2
    whole = bool(np.all(labels == np.rint(labels)))
    per_decision = labels.size == len(labels) * int(np.prod(shape[:-1], dtype=int))
    if whole and per_decision and labels.min() >= 0 and labels.max() < classes:
        return Task.CLASSIFICATION
    one_hot = labels.shape[1:] == shape and classes == (shape or (0,))[-1]
    if one_hot and whole and labels.min() >= 0:
        sums = labels.sum(axis=-1)
        if bool(np.all((sums == 1) | ((sums == 0) & (len(shape) > 1)))):
            return Task.CLASSIFICATION
    return Task.REGRESSION


def _checked_input(
    place: str, name: str, values: NDArray[np.generic], shape: Shape
) -> NDArray[Any]:
    _check_finite(place, name, values)
    bare = tuple(length for length in shape if length != 1)
    if tuple(length for length in values.shape[1:] if length != 1) == bare and bare:
        return values.reshape(len(values), *shape)
    if values.shape[1:] == (int(np.prod(shape, dtype=int)),):
        return values.reshape(len(values), *shape)
    if values.shape[1:] != shape:
        shape_text = ", ".join(["samples", *map(str, shape)])
        raise InputError(
            f"{place}: {name!r} has the shape {values.shape}; the input needs ({shape_text}).",
            hint="The first axis counts samples; images are channels last.",
        )
    return values


def _checked_labels(
    place: str, name: str, values: NDArray[np.generic], shape: Shape, count: int
) -> NDArray[np.float64]:
    _check_finite(place, name, values)
    labels = values.astype(np.float64)
    decisions = (count, *shape[:-1])
    fits = [decisions, (*decisions, 1), (count, *shape)]
    if labels.shape not in fits:
        raise InputError(
            f"{place}: the labels of {name!r} have the shape {values.shape}; {count} samples of an "
            f"output of {shape} need {decisions} or {(count, *shape)}.",
            hint="Give one class number (or one value) for each sample, or a one-hot row.",
        )
    numbered = labels.shape != (count, *shape) or shape[-1:] == (1,)
    whole = bool(np.all(labels == np.rint(labels)))
    if numbered and shape and shape[-1] > 1:
        if not whole:
            raise InputError(
                f"{place}: the labels of {name!r} are not whole numbers, but the output has "
                f"{shape[-1]} classes.",
                hint="Give class numbers counted from 0.",
            )
        if labels.min() < 0 or labels.max() >= shape[-1]:
            raise InputError(
                f"{place}: the labels of {name!r} span {labels.min():g}..{labels.max():g}, but the "
                f"output has {shape[-1]} classes, counted from 0.",
                hint="Check the labels, or the model.",
            )
    return labels


def _check_finite(place: str, name: str, values: NDArray[np.generic]) -> None:
    if values.dtype.kind != "f":
        return
    flat = values.reshape(-1)
    parts = (flat[at : at + LOOKED_AT] for at in range(0, flat.size, LOOKED_AT))
    bad = sum(int(np.size(part) - np.isfinite(part).sum()) for part in parts)
    if bad:
        what = "1 value that is" if bad == 1 else f"{bad:,} values that are"
        raise InputError(
            f"{place}: {name!r} has {what} NaN or infinite.",
            hint="Remove those samples, or replace the values.",
        )
