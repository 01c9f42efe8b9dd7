# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which column is which input: by name, else by shape where only one fits, else an error."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.data.columns import Assignment, assign
from edgeinfer.data.formats.shards import ColumnSpec, Layout

FLOAT = np.dtype(np.float32)
PATCHES = {"patch": (48, 48, 1), "labels": (3,), "michel": (1,), "run": (), "evt": ()}
TABLE = {"a": (), "b": (), "c": (), "label": ()}

Shapes = dict[str, tuple[int, ...]]


def layout_of(shapes: Shapes) -> Layout:
    return {name: ColumnSpec(shape, FLOAT) for name, shape in shapes.items()}


def assigned(columns: Shapes, inputs: Shapes, outputs: Shapes, numbers: bool = True) -> Assignment:
    return assign("d", layout_of(columns), inputs, outputs, numbers=numbers)


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs", "wanted"),
    [
        ({"image": (4, 4), "out": ()}, {"image": (4, 4)}, {"out": (3,)}, "image=image out=out"),
        ({"x": (4,), "y": ()}, {"in": (4,)}, {"out": (3,)}, "in=x out=y"),
        ({"jets": (4,), "Label": ()}, {"in": (4,)}, {"out": (3,)}, "in=jets out=Label"),
        (PATCHES, {"in": (48, 48, 1)}, {"kind": (3,), "m": (1,)}, "in=patch kind=labels m=michel"),
        (PATCHES, {"in": (48, 48)}, {"out": (3,)}, "in=patch out=labels"),
        (
            {"ecal": (5, 5), "hcal": (5, 3)},
            {"u": (5, 3), "v": (5, 5)},
            {"o": (2,)},
            "u=hcal v=ecal",
        ),
        (TABLE, {"in": (3,)}, {"out": (2,)}, "in=a+b+c out=label"),
        ({"a": (), "b": (), "c": ()}, {"in": (2,)}, {"out": (5,)}, "in=a+b out=c"),
        ({"a": (), "b": (), "c": (), "d": ()}, {"in": (2,)}, {"out": (2,)}, "in=a+b out=c+d"),
        ({"a": (), "b": ()}, {"in": (2,)}, {"out": (2,)}, "in=a+b"),
        ({"flat": (784,)}, {"in": (28, 28, 1)}, {"out": (10,)}, "in=flat"),
        ({"x": (4,), "weight": ()}, {"in": (4,)}, {"out": (1,)}, "in=x out=weight"),
        ({"x": (4,), "w": (), "v": ()}, {"in": (4,)}, {"out": (1,)}, "in=x"),
    ],
)
def test_columns_find_their_places(
    columns: Shapes, inputs: Shapes, outputs: Shapes, wanted: str
) -> None:
    result = assigned(columns, inputs, outputs)
    both = [*result.inputs.items(), *result.labels.items()]
    assert " ".join(f"{name}={'+'.join(parts)}" for name, parts in both) == wanted
    assert {*result.columns, *result.left_out} == set(columns)


@pytest.mark.parametrize(
    ("columns", "inputs", "words"),
    [
        ({"u": (4, 4), "v": (4, 4)}, {"in": (4, 4)}, r"columns u, v .* could be any of in"),
        ({"u": (4, 4), "v": (4, 4)}, {"a": (4, 4), "b": (4, 4)}, "could be any of a, b"),
        ({"imgae": (4,), "z": (5, 5)}, {"image": (4, 4)}, r"\(4, 4\): it holds imgae .* 'imgae'"),
        ({"x": (4,)}, {"a": (4,), "b": (4,)}, "'x', which could be any of a, b"),
        ({"a": (), "b": (), "c": (), "d": ()}, {"in": (3, 3)}, "no column for the input 'in'"),
    ],
)
def test_what_could_be_either_is_an_error(columns: Shapes, inputs: Shapes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        assigned(columns, inputs, {"out": (7,)})


def test_numbers_of_an_experiment_s_rows_are_no_input() -> None:
    with pytest.raises(InputError, match="no column for the input 'in'"):
        assigned(PATCHES, {"in": (2,)}, {"out": (3,)}, numbers=False)


def test_a_record_says_what_was_taken_for_what() -> None:
    names = {f"f{number}": () for number in range(16)} | {"class": ()}
    said = assigned(names, {"in": (16,)}, {"out": (5,)}).sentence
    assert said == "in from f0 to f15 (16 columns), out from class"
    assert assigned({"in": (4,), "w": ()}, {"in": (4,)}, {"out": (9, 9)}).sentence == "left out: w"
