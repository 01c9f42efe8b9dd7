# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which columns of a data set stand for which inputs and outputs of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeinfer.base.errors import InputError, did_you_mean
from edgeinfer.data.formats.shards import Layout
from edgeinfer.graph.nodes import Shape

LABELS = ("label", "labels", "target", "targets", "class", "truth")
"""What columns of labels are often called, beside y."""
DETECTOR_TRUTH = ("particles", "boxes", "masks")
"""What is known of a detector's images: ``detect`` judges by it, and no network reads it."""
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Assignment:
    """Columns by input, and by output for the labels; several where each holds one number."""

    inputs: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All that have to be read."""
        parts = [*self.inputs.values(), *self.labels.values()]
        return tuple(dict.fromkeys(name for part in parts for name in part))

    @property
    def sentence(self) -> str:
        """What was taken for what, where the names alone do not say it."""
        both = [*self.inputs.items(), *self.labels.items()]
        origins = [
            f"{name} from {_list_names(columns)}" for name, columns in both if columns != (name,)
        ]
        rest = f"; left out: {_list_names(self.left_out)}" if self.left_out else ""
        return ", ".join(origins) + rest if origins else rest.removeprefix("; ")


def assign_by_name(
    place: str, columns: Sequence[str], inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]
) -> Assignment:
    """Columns that are called as the network has it, or ``x`` and ``y``; every one must be, but for
    a detector's truth."""
    names = _aliases(place, columns, "x", tuple(inputs))
    names |= _aliases(place, columns, "y", tuple(outputs))
    beside = tuple(name for name in columns if name not in names and name in DETECTOR_TRUTH)
    unknown = [name for name in columns if name not in names and name not in beside]
    if unknown:
        hint = did_you_mean(unknown[0], [*inputs, *outputs])
        raise InputError(
            f"{place} holds {unknown[0]!r}, which is neither an input ({', '.join(inputs)}) nor an "
            f"output ({', '.join(outputs)}).",
            hint=hint
            or "Call the inputs x and the labels y, or as the network does; leave out the rest.",
        )
    columns_read = {name: (column,) for column, name in names.items()}
    for name in inputs:
        if name not in columns_read:
            raise InputError(
                f"{place} has no array for the input {name!r}.",
                hint="Write it with numpy.savez(path, x=inputs, y=labels).",
            )
    return Assignment(
        {name: columns_read[name] for name in inputs},
        {name: columns_read[name] for name in outputs if name in columns_read},
        beside,
    )


def assign(
    place: str,
    layout: Layout,
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    *,
    numbers: bool,
) -> Assignment:
    """Columns by name; else by shape, where only one fits. With `numbers`, an input may be made of
    columns that hold one number each, in their order, and labels of those that follow them."""
    choice = _Choice(place, layout, inputs, outputs)
    choice.by_name()
    for name in [name for name in inputs if name not in choice.inputs]:
        choice.input_by_shape(name)
    if numbers:
        choice.of_numbers()
    choice.labels_of_words()
    choice.only_column()
    for name in inputs:
        if name not in choice.inputs:
            raise choice.nothing_for(name)
    choice.labels_by_shape()
    return Assignment(
        {name: choice.inputs[name] for name in inputs},
        {name: choice.labels[name] for name in outputs if name in choice.labels},
        choice.free(),
    )


@dataclass(slots=True)
class _Choice:
    """What is taken so far."""

    place: str
    layout: Layout
    input_shapes: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def free(self) -> tuple[str, ...]:
        """Columns that stand for nothing yet."""
        used_columns = {
            name for part in (*self.inputs.values(), *self.labels.values()) for name in part
        }
        return tuple(name for name in self.layout if name not in used_columns)

    def by_name(self) -> None:
        """The network's own names, and x and y."""
        columns = tuple(self.layout)
        for column, name in _aliases(self.place, columns, "x", tuple(self.input_shapes)).items():
            self.inputs[name] = (column,)
        for column, name in _aliases(self.place, columns, "y", tuple(self.outputs)).items():
            self.labels[name] = (column,)
        if len(self.outputs) == 1 and not self.labels:
            named = [name for name in self.free() if name.lower() in LABELS]
            output = next(iter(self.outputs))
            if len(named) == 1 and _fits(self.layout[named[0]].shape, self.outputs[output]):
                self.labels[output] = (named[0],)

    def input_by_shape(self, name: str) -> None:
        """The only free column of the input's shape; of its shape but for axes of length 1."""
        shape = self.input_shapes[name]
        same = [other for other in self.input_shapes if self.input_shapes[other] == shape]
        for alike in (lambda a, b: a == b, lambda a, b: _bare(a) == _bare(b) != ()):
            candidates = [c for c in self.free() if alike(self.layout[c].shape, shape)]
            if len(candidates) == 1 and len(same) == 1 and shape:
                self.inputs[name] = (candidates[0],)
                return
            if candidates and _bare(shape):
                raise InputError(
                    f"{self.place} has the columns {_list_names(candidates)} of the shape {shape}, "
                    "which "
                    f"could be any of {', '.join(same)}.",
                    hint="Name the columns as the network names its inputs.",
                )

    def labels_of_words(self) -> None:
        """Labels of an only output are the only column of words that can be its classes."""
        if len(self.outputs) != 1 or self.labels:
            return
        (output, shape) = next(iter(self.outputs.items()))
        most = max(shape[-1] if shape else 1, 2)
        columns = [name for name in self.free() if self.holds_words(name)]
        few = [name for name in columns if len(self.layout[name].classes) <= most]
        if len(few) == 1 and _fits(self.layout[few[0]].shape, shape):
            self.labels[output] = (few[0],)

    def holds_words(self, name: str) -> bool:
        """Whether a column holds words, or the numbers of named classes."""
        return bool(self.layout[name].classes) or self.layout[name].dtype.kind in "SU"

    def of_numbers(self) -> None:
        """An only vector of n is n columns of one number each, in their order; so are labels."""
        missing = [name for name in self.input_shapes if name not in self.inputs]
        if len(missing) != 1 or len(self.input_shapes) != 1:
            return
        count = math.prod(self.input_shapes[missing[0]])
        columns = [
            name
            for name in self.free()
            if self.layout[name].shape in ((), (1,)) and not self.holds_words(name)
        ]
        output = next(iter(self.outputs))
        after = len(columns) - count
        follow = after > 0 and after in (1, math.prod(self.outputs[output]))
        if len(self.outputs) == 1 and not self.labels and follow:
            self.labels[output] = tuple(columns[count:])
            columns = columns[:count]
        if len(columns) == count and count:
            self.inputs[missing[0]] = tuple(columns)

    def only_column(self) -> None:
        """The only input is the only column, whatever its shape: a check of it says more."""
        missing = [name for name in self.input_shapes if name not in self.inputs]
        free = self.free()
        if len(missing) == len(self.input_shapes) == 1 and len(free) == 1:
            self.inputs[missing[0]] = (free[0],)

    def labels_by_shape(self) -> None:
        """For each output the only free column of its shape; for an only one, of its labels'."""
        for name in [name for name in self.outputs if name not in self.labels]:
            shape = self.outputs[name]
            same = [other for other in self.outputs if self.outputs[other] == shape]
            columns = [column for column in self.free() if self.layout[column].shape == shape]
            if not columns and len(self.outputs) == 1:
                columns = [c for c in self.free() if _fits(self.layout[c].shape, shape)]
                columns = columns if len(self.free()) == 1 else []
            if len(columns) == len(same) == 1 and shape:
                self.labels[name] = (columns[0],)

    def nothing_for(self, name: str) -> InputError:
        """No column is the input."""
        columns_text = ", ".join(
            f"{column} {spec.shape or 'a number'}"
            for column, spec in list(self.layout.items())[:_SHOWN]
        )
        more = len(self.layout) - _SHOWN
        also = f" and {more} more" if more > 0 else ""
        return InputError(
            f"{self.place} has no column for the input {name!r} of the shape "
            f"{self.input_shapes[name]}: it holds {columns_text}{also}.",
            hint=did_you_mean(name, self.layout)
            or "Name a column as the input, or leave one column of its shape.",
        )


def _aliases(
    place: str, columns: Sequence[str], short: str, names: tuple[str, ...]
) -> dict[str, str]:
    """Which column stands for which input or output: by name, or ``x`` (``y``) for an only one."""
    aliases = {name: name for name in names if name in columns}
    if short in columns and short not in names:
        if len(names) != 1 or aliases:
            raise InputError(
                f"{place} holds {short!r}, which could be any of {', '.join(names)}.",
                hint="Name each array as the network does.",
            )
        aliases[short] = names[0]
    return aliases


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _fits(column: Shape, output: Shape) -> bool:
    """Whether rows of that shape can be labels of an output: a number a decision, or one-hot."""
    return column in (output, output[:-1], (*output[:-1], 1))


def _list_names(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]} ({len(names)} columns)"
