# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What every target answers about a Program; each has settings of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import Offence
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.agreement import Agreement
from edgeinfer.ir.program import HostFunction, Program
from quantization.fixed import Ints
from quantization.recipe import Recipe

Advanced = Callable[[int, int], None]  # samples done, samples in all
Said = Callable[[str, float, str], None]  # a tool's step, its seconds so far, its last line
Settings = TypeVar("Settings", contravariant=True)


class Target(Protocol[Settings]):
    """Somewhere a Program can go."""

    def check(self, program: Program, settings: Settings) -> tuple[Offence, ...]:
        """Every op for which the target has no equal, found before anything is made."""
        ...

    def emit(self, program: Program, settings: Settings) -> BuildPlan:
        """The target's own files, in memory; an error that lists what `check` finds."""
        ...

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: Settings,
        *,
        taps: Collection[str] = (),
        advanced: Advanced = lambda done, total: None,
    ) -> dict[str, Ints]:
        """Run what was emitted into a folder: raw outputs by the outputs' names, and raw values of
        the taps by the values' names, as `ir.interpret` defines them."""
        ...

    def estimate(self, program: Program, settings: Settings) -> tuple[Metric, ...]:
        """Latency and resources without any tool, each with its error band; in under a second."""
        ...

    def measure(self, folder: Path, settings: Settings) -> tuple[Metric, ...]:
        """What the vendor's tools, run on the emitted folder or having been run there, report."""
        ...


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a target makes of a value that differs: its own type for it, and the likely cause."""

    type: str
    cause: str


@runtime_checkable
class Particular(Protocol):
    """A target that cannot simulate under all of its settings."""

    def simulates(self, settings: Any) -> bool:
        """Whether what is emitted under these settings can be simulated."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A target whose settings may hold goals, which a Program turns into choices."""

    def settled(self, program: Program, settings: Any) -> Any:
        """The settings with every goal in them turned into choices for this Program."""
        ...


@runtime_checkable
class Advises(Protocol):
    """A target that knows what would go wrong later."""

    def advice(self, program: Program, settings: Any) -> tuple[str, ...]:
        """What stands in the way of a Program, each with its numbers and a remedy."""
        ...


@dataclass(frozen=True, slots=True)
class Emitted:
    """A project, and what is known of it already."""

    plan: BuildPlan
    metrics: tuple[Metric, ...] = ()
    findings: tuple[str, ...] = ()


@runtime_checkable
class Learns(Protocol):
    """A target whose files depend on samples as well, and on the float network."""

    def emit_from(
        self, program: Program, graph: Graph, raw: Mapping[str, Ints], settings: Any
    ) -> Emitted:
        """The target's own files; raw inputs of the Program are what ranges are taken from."""
        ...


@runtime_checkable
class Suits(Protocol):
    """A target that would have certain formats where the model states none."""

    @property
    def best_bits(self) -> int:
        """The width to take where none is asked for."""
        ...

    def suited(self, recipe: Recipe) -> Recipe:
        """The same widths, as the target computes with them."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a target's simulation."""

    agreement: tuple[Agreement, ...]
    outputs: Mapping[str, NDArray[np.float64]]  # in real numbers, before the host's share
    hosts: Mapping[str, HostFunction]  # what the host does to each
    metrics: tuple[Metric, ...] = ()
    findings: tuple[str, ...] = ()


@runtime_checkable
class Judges(Protocol):
    """A target that computes on numbers of its own, so that it cannot equal the Program bit for bit
    and is not asked to: it tells how far it is."""

    def judge(
        self,
        program: Program,
        graph: Graph,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: Any,
        *,
        advanced: Advanced = lambda done, total: None,
    ) -> Judged:
        """Run what was emitted into a folder, against the engine and the float network."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A target whose projects are for one part."""

    def place_of(self, settings: Any) -> Place:
        """The part that the settings name, and what it offers."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A part, and the device it is if that is one of those known."""

    part: str
    device: Device | None


class ToolStep(StrEnum):
    """What tools may be asked to do with an emitted project; in this order."""

    SYNTH = "synth"  # to a circuit: C synthesis of a C++ project, logic synthesis of Verilog
    COSIM = "cosim"  # that circuit simulated by the vendor's tool, against the C++ test bench
    VSYNTH = "vsynth"  # to gates, where `synth` stops at a circuit
    ROUTE = "route"  # placed and routed at the clock that is asked for


@runtime_checkable
class Reports(Protocol):
    """A target whose tools leave reports beside its project, which may be read at any time."""

    def reports(self, folder: Path, settings: Any) -> tuple[Metric, ...]:
        """What is there, whoever ran the tools; nothing where none did."""
        ...


@runtime_checkable
class Synthesises(Protocol):
    """A target whose projects tools turn into circuits."""

    def tool_steps(self, settings: Any) -> tuple[ToolStep, ...]:
        """The steps that projects with these settings can be taken through."""
        ...

    def unasked_steps(self, settings: Any) -> tuple[ToolStep, ...]:
        """Those that take seconds and whose tool is here, so that nobody has to ask for them."""
        ...

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: Any,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        said: Said,
    ) -> Done:
        """Take an emitted folder through the steps, within `seconds` in all; `measure` then reads
        what the tools left. `raw`: samples for whatever is simulated. An error where a tool is
        not here or fails."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What tools did, a line each, and figures that stand in no report of theirs."""

    said: tuple[str, ...]
    metrics: tuple[Metric, ...] = ()


@runtime_checkable
class Explains(Protocol):
    """A target that can look inside its simulation."""

    def tappable(self, program: Program, folder: Path, settings: Any) -> tuple[str, ...]:
        """The Program's values that the simulation can tell, in the Program's order."""
        ...

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: Any,
        value: str,
        expected: Mapping[str, Ints],
        got: Mapping[str, Ints],
    ) -> Suspicion:
        """Why a value of one sample is likely to be other than expected."""
        ...
