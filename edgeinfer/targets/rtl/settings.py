# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about a design in RTL."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError
from edgeinfer.targets.boards.boards import BOARD_HELP, board, boards
from edgeinfer.targets.boards.clocks import clock_mhz_of
from edgeinfer.targets.options import COMPILE, Settings, option

DEFAULT_PART = "lfe5u-85f"

WIRES_AT_ONCE = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class Fold:
    """How many outputs (pe) and inputs (simd) of a layer are computed at once."""

    pe: int = 1
    simd: int = 1

    def __post_init__(self) -> None:
        if self.pe < 1 or self.simd < 1:
            raise UsageError(f"A folding of {self.pe} x {self.simd} computes nothing.")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a part a design may use; None: as much as it likes."""

    multipliers: int | None = None
    memory_bits: int | None = None


def read_folds(words: Sequence[str]) -> tuple[tuple[str, Fold], ...]:
    """``["conv=4x9"]`` as foldings by the op's name."""
    folds = []
    for word in words:
        match = re.fullmatch(r"(.+)=(\d+)x(\d+)", word)
        if match is None:
            raise UsageError(
                f"--fold {word}: that names no folding.", hint="Write it as LAYER=PExSIMD: conv=4x9"
            )
        folds.append((match[1], Fold(int(match[2]), int(match[3]))))
    return tuple(folds)


def write_folds(folds: Sequence[tuple[str, Fold]]) -> list[str]:
    """Foldings as `read_folds` reads them."""
    return [f"{name}={fold.pe}x{fold.simd}" for name, fold in folds]


def read_plane_size(word: str) -> tuple[int, int]:
    """``"480x1000"`` as wires and pixels of time."""
    match = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6})", word)
    if match is None:
        raise UsageError(
            f"--event {word}: that is no size of a plane.",
            hint="Write it as WIRESxPIXELS: 480x1000",
        )
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True)
class RtlSettings(Settings):
    """A goal, from which foldings follow, or foldings by the op's name; and how it is simulated.

    Without a goal each layer is folded to keep up with the slowest that has no choice: the input.
    """

    clock_mhz: float = option(
        100.0, "the clock to reach; 100 by default; on a board, the nearest below that it makes"
    )
    throughput: float | None = option(None, "fold layers to reach so many frames a second")
    latency_us: float | None = option(
        None, "fold layers: the smallest design that finishes in this time"
    )
    budget: Budget = Budget()
    folds: tuple[tuple[str, Fold], ...] = option(
        (),
        "LAYER=PExSIMD, how many outputs and inputs at once; may be repeated",
        name="fold",
        kind=list[str],
        read=read_folds,
        write=write_folds,
    )
    lanes: tuple[tuple[str, int], ...] = ()  # elements of an input that come at once
    gaps: float = 0.3  # chance in a cycle that the simulation's source or sink is not ready
    unroll: Literal["auto", "full", "never"] = option(
        "auto", "a small network fully in parallel, a frame a cycle; auto: if the goal needs it"
    )
    interface: Literal["stream", "bare"] = option(
        "stream",
        "bare: an unrolled network without queues, valid in and done out, nothing waits; stream by "
        "default",
    )
    stages: int | None = option(
        None,
        "an unrolled network in so many stages or fewer, for the fastest clock that they allow; by "
        "default two adders are one stage",
    )
    registers: Literal["adders", "clock"] = option(
        "adders",
        "clock: an unrolled network in as few stages as let the part reach --clock-mhz, by the "
        "delays of its logic; adders, the default: a stage after two adders, or as --stages says",
    )
    adder_tries: int = option(
        1,
        "with --unroll full: how many ways to share additions are tried for each matrix; 1 by "
        "default",
    )
    adder_goal: Literal["bits", "additions"] = option(
        "bits",
        "with --adder-tries: the fewest bits to add, the default, or the fewest additions, which "
        "are wider and may take more stages",
    )
    unroll_levels: int = 2  # of adders between two registers of an unrolled network
    unroll_most: int = 25_000  # signed digits and elements that are unrolled, about 5 LUTs each
    sparse: Literal["frames", "tokens"] = option(
        "frames",
        "tokens: a sparse network's lit pixels alone stream through, so that cycles follow their "
        "number; frames by default: every pixel does",
    )
    towers: Literal["auto", "apart", "once"] = option(
        "auto",
        "layers that several inputs go through with the same weights: once, one after the other "
        "through one piece of hardware; apart, each through its own; auto, the default: apart, if "
        "the memories hold the weights",
    )
    board: str | None = option(
        None,
        BOARD_HELP,
        kind=Literal[boards()],
        verbs=(COMPILE,),
    )
    event: tuple[int, int] | None = option(
        None,
        "WIRESxPIXELS: whole planes of this size stream through, and the network is evaluated at "
        "each hit; with --sparse tokens, in the frames of the plane that have hits",
        kind=str,
        read=read_plane_size,
        write=lambda size: ["x".join(map(str, size))],
    )
    wires_at_once: int = option(1, "with --event: wires that come in a cycle: 1, 2, 4 or 8")
    hit_threshold: int | None = option(
        None,
        "with --event: a pixel is a hit if its raw integer is at least this; without it, only a "
        "bit that comes with the pixel makes it one",
    )
    seed: int = 1
    waveform: bool = option(False, "keep the waveform of the simulation", verbs=(COMPILE,))
    part: str = ""  # the board's, or DEFAULT_PART, where none is named
    route: bool = False  # place and route what was synthesised
    route_tries: int = option(
        1,
        "how often to place and route until the clock is reached; 1 by default",
        verbs=(COMPILE,),
        needs="route",
    )
    tool_seconds: float = 2700.0  # for all tools together

    def __post_init__(self) -> None:
        if not 1.0 <= self.clock_mhz <= 1000.0:
            raise UsageError(
                f"A clock of {self.clock_mhz:g} MHz cannot be asked for.",
                hint="Choose 1 to 1000 MHz.",
            )
        if self.throughput is not None and self.throughput <= 0:
            raise UsageError(
                f"A throughput of {self.throughput:g} frames a second is not possible."
            )
        if self.latency_us is not None and self.latency_us <= 0:
            raise UsageError(
                f"A latency of {self.latency_us:g} us cannot be reached.", hint="Give more than 0."
            )
        if self.unroll not in ("auto", "full", "never"):
            raise UsageError(f"unroll is auto, full or never, not {self.unroll!r}.")
        if self.unroll_levels < 1 or self.unroll_most < 1:
            raise UsageError("An unrolled network needs a level of logic, and something to unroll.")
        if self.stages is not None and self.stages < 1:
            raise UsageError(f"A network in {self.stages} stages cannot be made.")
        if self.registers not in ("adders", "clock"):
            raise UsageError(f"registers is adders or clock, not {self.registers!r}.")
        if self.adder_tries < 1:
            raise UsageError(f"Additions cannot be shared in {self.adder_tries} ways.")
        if self.adder_goal != "bits" and self.adder_tries == 1:
            raise UsageError(
                "A goal for adders needs several graphs to choose from.",
                hint="Add --adder-tries 10.",
            )
        if self.unroll != "full" and (
            self.interface == "bare"
            or self.stages is not None
            or self.registers == "clock"
            or self.adder_tries > 1
        ):
            raise UsageError(
                "A bare interface, stages, registers for a clock and tries for adders are those of "
                "an unrolled network.",
                hint="Add --unroll full.",
            )
        if self.sparse not in ("frames", "tokens"):
            raise UsageError(f"sparse is frames or tokens, not {self.sparse!r}.")
        if self.sparse == "tokens" and self.unroll == "full":
            raise UsageError(
                "An unrolled network sees a frame at once, and tokens come one by one.",
                hint="Leave out --unroll or --sparse.",
            )
        if self.towers not in ("auto", "apart", "once"):
            raise UsageError(f"towers is auto, apart or once, not {self.towers!r}.")
        if self.towers == "once" and (self.unroll == "full" or self.sparse == "tokens"):
            raise UsageError(
                "A tower that is there once takes frame after frame, and neither an unrolled "
                "network nor one in tokens can do that.",
                hint="Leave out --towers, --unroll or --sparse.",
            )
        if self.board is not None and self.interface == "bare":
            raise UsageError(
                "A board's shell talks to streams, which a bare interface has not.",
                hint="Leave out --interface or --board.",
            )
        if self.route_tries < 1:
            raise UsageError(f"Nothing can be placed in {self.route_tries} tries.")
        self._obey_board()
        self._check_event()
        if not 0.0 <= self.gaps <= 0.9:
            raise UsageError(f"Gaps in {self.gaps:g} of all cycles leave too little to simulate.")
        for name, count in self.lanes:
            if count < 1:
                raise UsageError(f"The input {name} cannot come {count} elements at a time.")

    def _obey_board(self) -> None:
        """A board says the part, and makes its own clock of the one that is asked for."""
        if self.board is None:
            object.__setattr__(self, "part", self.part or DEFAULT_PART)
            return
        on = board(self.board)
        object.__setattr__(self, "part", self.part or on.part)
        if self.part != on.part:
            raise UsageError(
                f"The board {self.board} carries {on.part}, but the design is for {self.part}.",
                hint=f"Give --device {on.part}, or leave --device or --board out.",
            )
        object.__setattr__(self, "clock_mhz", clock_mhz_of(on, self.clock_mhz))

    def _check_event(self) -> None:
        """What does not go with whole planes, or only with them."""
        if self.event is None:
            if self.wires_at_once != 1 or self.hit_threshold is not None:
                raise UsageError(
                    "--wires-at-once and --hit-threshold are those of a design for whole planes.",
                    hint="Add --event WIRESxPIXELS.",
                )
            return
        if self.wires_at_once not in WIRES_AT_ONCE:
            raise UsageError(
                f"{self.wires_at_once} wires cannot come in a cycle.",
                hint=f"Choose {', '.join(map(str, WIRES_AT_ONCE))}.",
            )
        if self.sparse == "tokens":
            if self.wires_at_once != 1 or self.hit_threshold is not None:
                raise UsageError(
                    "--wires-at-once and --hit-threshold are those of a design that looks at a "
                    "patch around each hit; with --sparse tokens, frames of the plane come in.",
                    hint="Leave them out.",
                )
            return
        for option_set, name in (
            (self.unroll == "full", "--unroll full"),
            (self.towers == "once", "--towers once"),
            (self.latency_us is not None, "--latency-us"),
            (self.waveform, "--waveform"),
        ):
            if option_set:
                raise UsageError(
                    f"{name} does not go with --event: a plane streams through, and the network's "
                    "dense layers are folded.",
                    hint=f"Leave {name} out.",
                )

    @property
    def looks_at_hits(self) -> bool:
        """Whether a plane streams through line by line, and patches around its hits are looked at;
        in tokens, its frames do."""
        return self.event is not None and self.sparse != "tokens"

    @classmethod
    def on_device(cls, device: Device, device_name: str) -> dict[str, Any] | None:
        """The part; None where there is no logic to make a design of."""
        return {"part": device.name} if {"lut", "alm"} & set(device.budget) else None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The settings that were written down as JSON."""
        return super(RtlSettings, cls).from_record(
            {
                **record,
                "budget": Budget(**record["budget"]),
                "folds": tuple((name, Fold(**fold)) for name, fold in record["folds"]),
                "lanes": tuple((name, int(count)) for name, count in record["lanes"]),
                "event": None if record.get("event") is None else tuple(record["event"]),
            }
        )
