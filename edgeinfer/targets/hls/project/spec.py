# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A project before hls4ml sees it: its layers, each with every number format said out loud."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.base.errors import Offence
from edgeinfer.base.names import identifier
from edgeinfer.ir.ops import Shape, Weights
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

CPP_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t
char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
constinit continue decltype default delete do double dynamic_cast else enum explicit export
extern false float for friend goto if inline int long mutable namespace new noexcept not
not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires
return short signed sizeof static static_assert static_cast struct switch template this
thread_local throw true try typedef typeid typename union unsigned using virtual void
volatile wchar_t while xor xor_eq
"""
KEYWORDS = frozenset(CPP_KEYWORDS.split())
# What hls4ml, the types' headers and the simulation call their own.
OWN_NAMES = re.compile(
    r"input|output|result|model|main|std|weights|given|found|run|load|network|assert|errno|stdin|"
    r"stdout|stderr|linux|unix|i386|null|(ap|ac|nnet|hls|csim|ihc|cl|sycl)(_\w*)?|"
    r"layer\d+_\w*|\w*config\d+\w*|[abspw]\d+|\w*_t|\w*_top|(input|output)_data|"
    r"(values|limits|factors|biases|slopes|entries|exps|inverses|constants|places|pad|fill)\d+|"
    r"task_sequence|softmax"
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredIntegers:
    """Integers that a layer of ours keeps beside its code, as the fixed-point type they are of."""

    name: str
    raw: Weights
    type: Fixed


@dataclass(frozen=True, slots=True, eq=False)
class ProjectLayer:
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
    body: Plan | None = None  # what a recurrence repeats, all of it in arrays


@dataclass(frozen=True, slots=True)
class ProjectOutput:
    """A result of the project: the Program's output, and the layer that holds it."""

    name: str
    value: str
    layer: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All layers in order; what cannot be expressed; what a user should know."""

    program: Program  # whose ops the layers are
    layers: tuple[ProjectLayer, ...]
    inputs: tuple[str, ...]  # layers
    outputs: tuple[ProjectOutput, ...]
    counters: tuple[ProjectOutput, ...]  # of lit pixels beyond a limit, by the sites' name
    offences: tuple[Offence, ...]
    findings: tuple[str, ...]


def safe(name: str, what: str) -> str:
    """A name as C++ takes it."""
    plain = identifier(name, what).lower()
    return f"{what}_{plain}" if plain in KEYWORDS or OWN_NAMES.fullmatch(plain) else plain


def pascal_case(name: str) -> str:
    """A name as hls4ml calls kernels and pipes of oneAPI by it, where two may be one."""
    return "".join(part.title() for part in name.split("_"))


def exactly(type_: Fixed) -> Quantizer:
    """A result that is there without rounding; what is dropped, if the type were wrong, wraps."""
    return Quantizer(type_, Rounding.TRN, Overflow.WRAP)


def representable(raw: Weights) -> bool:
    """Whether every integer is a double too, which is what hls4ml keeps weights in."""
    wide = raw.astype(np.int64)
    return bool(np.all(wide.astype(np.float64).astype(object) == wide.astype(object)))
