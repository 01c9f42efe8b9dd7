# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Options that several verbs take, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.precision.modes import OverflowName, RoundingName

BitsOf = Annotated[
    list[str] | None,
    Parameter(
        negative="",
        help="PATTERN=N: another width for layers and tensors with such names; may be repeated",
    ),
]
Json = Annotated[
    bool, Parameter(negative="", help="print the result as JSON on stdout, and nothing else")
]
Data = Annotated[
    Path | None,
    Parameter(
        help="samples: npz, npy, HDF5 (d.h5:part), Parquet, ROOT (d.root:tree), CSV, ARFF, or an "
        "experiment's files; columns named as the inputs (or x), labels as the outputs (or y)"
    ),
]
RecipeFile = Annotated[
    Path | None, Parameter(help="TOML file of number formats that replace the model's")
]
ModelFile = Annotated[
    Path,
    Parameter(
        help="a reference model, or a .keras, .h5, .onnx, int8 .tflite, or .json file beside its "
        "weights"
    ),
]
BatchAxis = Annotated[
    str,
    Parameter(help="which axis of an ONNX file's inputs counts samples, or none if no axis does"),
]
Verbose = Annotated[
    bool,
    Parameter(
        name=["--verbose", "-v"], negative="", help="also show every figure and every finding"
    ),
]
Run = Annotated[Path, Parameter(help="a run folder that compile has made")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ModeOptions:
    """How activations of a model without formats become integers."""

    rounding: Annotated[
        RoundingName | None,
        Parameter(
            help="how activations are rounded: to the nearest, ties to even (as QKeras does) or "
            "up, or down; with --unroll full nearest costs nothing and is the default, else "
            "nearest-even"
        ),
    ] = None
    overflow: Annotated[
        OverflowName,
        Parameter(
            help="what becomes of an activation out of range: saturate, or wrap, which costs "
            "nothing; formats that wrap hold 1.25 times the values seen, and no more is proved"
        ),
    ] = "saturate"


def axis_of_word(word: str) -> int | None:
    """What --batch-axis names."""
    if word == "none":
        return None
    try:
        return int(word)
    except ValueError:
        raise UsageError(
            f"--batch-axis {word} is no axis.", hint="Give a whole number, or none."
        ) from None


def unused_path(path: Path) -> Path:
    """A place for what is written where nobody names one; an error if something is there."""
    if path.exists():
        raise UsageError(f"{path} is there already.", hint="Name another place with -o.")
    return path


def read_widths(words: list[str] | None) -> tuple[tuple[str, int], ...]:
    """The patterns of --bits-of, each with its width."""
    widths = []
    for word in words or []:
        pattern, _, width = word.rpartition("=")
        if not pattern or not width.isdecimal():
            raise UsageError(f"--bits-of {word} names no width.", hint="Write it as conv*=4.")
        widths.append((pattern, int(width)))
    return tuple(widths)
