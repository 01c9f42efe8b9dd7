# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a target is: one class, whose methods answer what a run asks of it.

A target overrides what it can do. The defaults say that there is nothing to do: no advice, no
tools, no part. `check`, `emit`, `simulate` and `estimate` are what every target has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import Offence, UsageError
from edgeinfer.base.extras import Extra
from edgeinfer.base.health import Check
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.reads import Reads
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.agreement import Agreement
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.targets.lessons import RunLesson
from edgeinfer.targets.options import Settings
from quantization.fixed import Ints, Rounding
from quantization.recipe import Recipe

SampleProgress = Callable[[int, int], None]  # samples done, samples in all
ProgressReport = Callable[
    [str, float, str], None
]  # a tool's step, its seconds so far, its last line
SettingsOf = TypeVar("SettingsOf", bound=Settings)


FOUNDATIONS = (  # what every target stands on
    "edgeinfer.base",
    "edgeinfer.graph",
    "edgeinfer.ir",
    "edgeinfer.targets.lessons",
    "edgeinfer.targets.options",
    "edgeinfer.targets.programs",
    "edgeinfer.targets.registry",
    "edgeinfer.targets.reports",
    "edgeinfer.targets.target",
    "quantization",
)


def ignore_progress(done: int, total: int) -> None:
    """Progress that nobody looks at."""


class Act(StrEnum):
    """What a run asks a target to do, as far as its result is remembered."""

    EMIT = "emit"
    ESTIMATE = "estimate"
    SIMULATE = "simulate"
    TOOLS = "tools"


class ToolStep(StrEnum):
    """What tools may be asked to do with an emitted project; in this order."""

    SYNTH = "synth"  # to a circuit: C synthesis of a C++ project, logic synthesis of Verilog
    COSIM = "cosim"  # that circuit simulated by the vendor's tool, against the C++ test bench
    VSYNTH = "vsynth"  # to gates, where `synth` stops at a circuit
    ROUTE = "route"  # placed and routed at the clock that is asked for


@dataclass(frozen=True, slots=True)
class Place:
    """A part, and the device it is if that is one of those known."""

    part: str
    device: Device | None


@dataclass(frozen=True, slots=True)
class EmittedProject:
    """A project, and what is known of it already."""

    plan: BuildPlan
    metrics: tuple[Metric, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulationJudgement:
    """What came of a target's simulation."""

    agreement: tuple[Agreement, ...]
    outputs: Mapping[str, NDArray[np.float64]]  # in real numbers, before the host's share
    hosts: Mapping[str, HostFunction]  # what the host does to each
    metrics: tuple[Metric, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a target makes of a value that differs: its own type for it, and the likely cause."""

    type: str
    cause: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What tools did, a line each, figures that stand in no report of theirs, and the bitstream
    that they left in the target's folder."""

    lines: tuple[str, ...]
    metrics: tuple[Metric, ...] = ()
    bitstream: Path | None = None


FRAME_CYCLES, PLANE_CYCLES = "latency_cycles", "plane_cycles"  # that a board counts


@dataclass(frozen=True, slots=True)
class BoardReply:
    """What a board has answered to frames: raw outputs by name, the cycles that the design took for
    each of some frames (none, where nothing counts them), the clock it runs at, and the seconds
    that all took, the way to the board and back included."""

    outputs: Mapping[str, Ints]
    cycles: NDArray[np.int64]
    clock_mhz: float
    seconds: float
    where: str  # in words
    counted: str = FRAME_CYCLES  # the figure that the cycles are


@dataclass(frozen=True, slots=True)
class Description:
    """Something a target tells a user: for machines, and as lines of text."""

    document: Mapping[str, Any]
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignProject(Generic[SettingsOf]):
    """A project that someone else's tool has made: its network, its formats, its settings."""

    model: Path
    recipe: Callable[[Graph], Recipe]
    settings: SettingsOf
    remarks: tuple[str, ...] = ()  # on how it was read


class Target(ABC, Generic[SettingsOf]):
    """Somewhere a Program can go."""

    title: ClassVar[str]  # how people write its name
    about: ClassVar[str]  # what `compile` makes for it, in a few words
    extras: ClassVar[tuple[Extra, ...]] = ()  # of the package, that only this target uses
    stage: ClassVar[str]  # the name of its simulation
    stage_title: ClassVar[str]
    exact: ClassVar[bool] = True  # whether its simulation has to equal the engine bit for bit
    pipelined: ClassVar[bool] = True  # whether an inference may begin before the last has ended
    learns: ClassVar[bool] = False  # whether its files depend on samples: `emit_from` makes them
    best_bits: ClassVar[int | None] = None  # the width to take where none is asked for
    leaves_reports: ClassVar[bool] = False  # whether its tools leave reports beside its project
    figures: ClassVar[tuple[str, ...]] = ()  # names of the figures that it may give
    directions: ClassVar[Mapping[str, bool]] = {}  # of those that are its own: if more is better

    def reads(self, act: Act) -> Reads:
        """What its answers depend on beside their arguments: its own package, and whatever all
        targets stand on. A target adds its shipped text, its libraries and its programs."""
        package = type(self).__module__.rpartition(".")[0] or type(self).__module__
        return Reads(code=(*FOUNDATIONS, package), libraries=("numpy",))

    def reads_for(self, settings: SettingsOf) -> Reads:
        """What some settings make all answers depend on besides."""
        return Reads()

    # Before anything is made

    @abstractmethod
    def check(self, program: Program, settings: SettingsOf) -> tuple[Offence, ...]:
        """Every op for which the target has no equal, found before anything is made."""

    def best_rounding(self, settings: SettingsOf) -> Rounding | None:
        """How ties are rounded best, where the model states no formats; None: as is usual."""
        return None

    def settle(self, program: Program, settings: SettingsOf) -> SettingsOf:
        """The settings with every goal in them turned into choices for this Program."""
        return settings

    def advise(self, program: Program, settings: SettingsOf) -> tuple[str, ...]:
        """What would go wrong later, each with its numbers and a remedy."""
        return ()

    def place_of(self, settings: SettingsOf) -> Place | None:
        """The part that the settings name, and what it offers."""
        return None

    @abstractmethod
    def estimate(self, program: Program, settings: SettingsOf) -> tuple[Metric, ...]:
        """Latency and resources without any tool, each with its error band; in under a second."""

    def multiplier_prices(self, program: Program, settings: SettingsOf) -> MultiplierPrices | None:
        """What multipliers cost by the widths of their numbers, for training that chooses these;
        None: a design has none that weights take in turns."""
        return None

    def multipliers(self, program: Program, settings: SettingsOf) -> int | None:
        """How many multipliers a design has that weights take in turns; None: it has no such."""
        return None

    def describe_estimate(
        self,
        program: Program,
        settings: SettingsOf,
        findings: tuple[str, ...],
        toggles: float | None = None,
    ) -> Description | None:
        """The estimate in more detail than its figures, where there is any. toggles: the share of
        bits that change between samples, where it is known."""
        return None

    def read_project(self, path: Path, settings: SettingsOf) -> ForeignProject[SettingsOf] | None:
        """A project of the target's kind that someone else's tool has made; None: it is none."""
        return None

    # The project

    @abstractmethod
    def emit(self, program: Program, settings: SettingsOf) -> BuildPlan:
        """The target's own files, in memory; an error that lists what `check` finds."""

    def emit_from(
        self, program: Program, graph: Graph, raw: Mapping[str, Ints], settings: SettingsOf
    ) -> EmittedProject:
        """The same from samples, where files depend on them; raw inputs of the Program."""
        return EmittedProject(self.emit(program, settings), self.estimate(program, settings))

    # Its simulation

    def simulates(self, settings: SettingsOf) -> bool:
        """Whether what is emitted under these settings can be simulated here."""
        return True

    @abstractmethod
    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: SettingsOf,
        *,
        taps: Collection[str] = (),
        report_progress: SampleProgress = ignore_progress,
    ) -> dict[str, Ints]:
        """Run what was emitted into a folder: raw outputs by the outputs' names, and raw values of
        the taps by the values' names, as `ir.interpret` defines them. Beside them, by the port's
        name, how many lit pixels the design has left out, if it counts them."""

    def time_simulation(
        self, program: Program, folder: Path, settings: SettingsOf
    ) -> tuple[Metric, ...]:
        """Of a design whose cycles depend on what it is given: how long it takes for inputs like
        those it is for, simulated."""
        return ()

    def judge(
        self,
        program: Program,
        graph: Graph,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: SettingsOf,
        *,
        report_progress: SampleProgress = ignore_progress,
    ) -> SimulationJudgement | None:
        """What a target that is not `exact` says of its own simulation: how far it is from the
        engine and the float network. None: it is held against the engine by `simulate`."""
        return None

    def tappable(self, program: Program, folder: Path, settings: SettingsOf) -> tuple[str, ...]:
        """The Program's values that the simulation can show, in the Program's order."""
        return ()

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: SettingsOf,
        value: str,
        expected: Mapping[str, Ints],
        actual: Mapping[str, Ints],
    ) -> Suspicion | None:
        """Why a value of one sample is likely to be other than expected."""
        return None

    # Tools

    def tool_steps(self, settings: SettingsOf) -> tuple[ToolStep, ...]:
        """The steps that projects with these settings can be taken through."""
        return ()

    def unasked_steps(self, settings: SettingsOf) -> tuple[ToolStep, ...]:
        """Those that take seconds and whose tool is here, so that nobody has to ask for them."""
        return ()

    def synthesise(
        self,
        program: Program,
        folder: Path,
        settings: SettingsOf,
        steps: Collection[ToolStep],
        *,
        seconds: float,
        raw: Mapping[str, Ints],
        report: ProgressReport,
    ) -> ToolResult:
        """Take an emitted folder through the steps, within `seconds` in all. `raw`: samples for
        whatever is simulated. An error where a tool is not here or fails."""
        return ToolResult(())

    def reports(self, folder: Path, settings: SettingsOf) -> tuple[Metric, ...]:
        """What reports of tools in an emitted folder say, whoever ran the tools."""
        return ()

    def lessons(
        self, program: Program, folder: Path, settings: SettingsOf
    ) -> tuple[RunLesson, ...]:
        """What reports in an emitted folder say, beside what is estimated of the same design."""
        return ()

    def check_tools(self) -> tuple[Check, ...]:
        """Each tool that the target can use: whether it is here, and how to get it."""
        return ()

    def boards(self) -> tuple[Description, ...]:
        """The boards that projects of the target can go onto."""
        return ()

    def has_board(self, settings: SettingsOf) -> bool:
        """Whether projects with these settings go onto a board that answers frames."""
        return False

    def ask_board(
        self,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: SettingsOf,
        *,
        port: str | None = None,
        simulated: bool = False,
        report_progress: SampleProgress = ignore_progress,
    ) -> BoardReply:
        """What the board answers, at a port or at the only one that fits; `simulated`: what it
        would. An error where there is no board, or it does not answer."""
        raise UsageError(f"Nothing that {self.title} makes goes onto a board.")

    def retune(self, settings: SettingsOf, metrics: Sequence[Metric]) -> SettingsOf | None:
        """Settings whose board gives the clock that routing has reached, from the tools' figures;
        none where it gives that already, or no other."""
        return None

    def load_board(self, folder: Path, settings: SettingsOf, report: ProgressReport) -> str:
        """Put the bitstream of a folder onto the board, and say so."""
        raise UsageError(f"Nothing that {self.title} makes goes onto a board.")

    # Files of its own kind

    def inspect(self, path: Path) -> Description | None:
        """What a file that the target's tools have made holds; None: it is none of its kind."""
        return None

    def map_files(self, paths: Sequence[Path], settings: SettingsOf) -> Description | None:
        """What would become of model files that go to the target together; None: they are none of
        its kind."""
        return None
