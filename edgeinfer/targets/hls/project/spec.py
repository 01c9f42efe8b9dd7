# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A project before hls4ml sees it: its layers, each with every number format said out loud."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.base.errors import Offence
from edgeinfer.ir.ops import Shape, Weights
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

RESERVED = {"input", "output", "result", "model", "main"}  # hls4ml's or C++'s own


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Integers that a layer of ours keeps beside its code, as the fixed-point type they are of."""

    name: str
    raw: Weights
    type: Fixed


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of the project. `value` is the Program's value that its result is, if any."""

    name: str
    kind: str  # the class in hls4ml
    op: str  # the Program's op that it is of
    value: str | None
    inputs: tuple[str, ...]
    shape: Shape
    result: Quantizer
    formats: Mapping[str, Fixed] = field(default_factory=dict)  # of weights, biases, accumulators
    attributes: Mapping[str, Any] = field(default_factory=dict)
    multiplies: bool = False  # has a strategy and a reuse factor


@dataclass(frozen=True, slots=True)
class ProjectOutput:
    """A result of the project: the Program's output, and the layer that holds it."""

    name: str
    value: str
    layer: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All layers in order; what cannot be expressed; what a user should know."""

    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]  # layers
    outputs: tuple[ProjectOutput, ...]
    offences: tuple[Offence, ...]
    findings: tuple[str, ...]


def safe(name: str, what: str) -> str:
    """A name as C++ takes it."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or what
    return f"{what}_{plain}" if plain[0].isdigit() or plain in RESERVED else plain


def unique(wanted: str, taken: Iterable[str]) -> str:
    """A name that nobody has yet."""
    others = set(taken)
    number, name = 2, wanted
    while name in others:
        name, number = f"{wanted}_{number}", number + 1
    return name


def exactly(type_: Fixed) -> Quantizer:
    """A result that is there without rounding; what is dropped, if the type were wrong, wraps."""
    return Quantizer(type_, Rounding.TRN, Overflow.WRAP)


def representable(raw: Weights) -> bool:
    """Whether every integer is a double too, which is what hls4ml keeps weights in."""
    wide = raw.astype(np.int64)
    return bool(np.all(wide.astype(np.float64).astype(object) == wide.astype(object)))
