# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about a design in RTL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError


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


@dataclass(frozen=True, slots=True)
class RtlSettings:
    """A goal, from which foldings follow, or foldings by the op's name; and how it is simulated.

    Without a goal each layer is folded to keep up with the slowest that has no choice: the input.
    """

    clock_mhz: float = 100.0
    throughput: float | None = None  # frames a second
    latency_us: float | None = None
    budget: Budget = Budget()
    folds: tuple[tuple[str, Fold], ...] = ()
    lanes: tuple[tuple[str, int], ...] = ()  # elements of an input that come at once
    gaps: float = 0.3  # chance in a cycle that the simulation's source or sink is not ready
    unroll: Literal["auto", "full", "never"] = "auto"  # the whole network, a frame a cycle
    unroll_levels: int = 2  # of adders between two registers of an unrolled network
    unroll_most: int = 25_000  # signed digits and elements that are unrolled, about 5 LUTs each
    board: str | None = None  # around the design a shell for it, with a serial line
    seed: int = 1
    waveform: bool = False
    part: str = "lfe5u-85f"
    route: bool = False  # place and route what was synthesised
    route_tries: int = 1  # from different seeds, until the clock is reached; the fastest is kept
    tool_seconds: float = 2700.0  # for all tools together

    def __post_init__(self) -> None:
        if not 1.0 <= self.clock_mhz <= 1000.0:
            raise UsageError(
                f"A clock of {self.clock_mhz:g} MHz cannot be asked for.",
                hint="Choose 1 to 1000 MHz.",
            )
        if self.throughput is not None and self.throughput <= 0:
            raise UsageError(f"A throughput of {self.throughput:g} frames a second is none.")
        if self.latency_us is not None and self.latency_us <= 0:
            raise UsageError(f"A latency of {self.latency_us:g} us cannot be reached.")
        if self.unroll not in ("auto", "full", "never"):
            raise UsageError(f"unroll is auto, full or never, not {self.unroll!r}.")
        if self.unroll_levels < 1 or self.unroll_most < 1:
            raise UsageError("An unrolled network needs a level of logic, and something to unroll.")
        if self.route_tries < 1:
            raise UsageError(f"In {self.route_tries} tries nothing is placed.")
        if not 0.0 <= self.gaps <= 0.9:
            raise UsageError(f"Gaps in {self.gaps:g} of all cycles leave too little to simulate.")
        for name, count in self.lanes:
            if count < 1:
                raise UsageError(f"The input {name} cannot come {count} elements at a time.")

    @staticmethod
    def on_device(device: Device, asked: str) -> dict[str, Any] | None:
        """The part; None where there is no logic to make a design of."""
        return {"part": device.name} if {"lut", "alm"} & set(device.budget) else None

    @staticmethod
    def from_record(told: Mapping[str, Any]) -> RtlSettings:
        """The settings that were written down as JSON."""
        return RtlSettings(
            **{
                **told,
                "budget": Budget(**told["budget"]),
                "folds": tuple((name, Fold(**fold)) for name, fold in told["folds"]),
                "lanes": tuple((name, int(count)) for name, count in told["lanes"]),
            }
        )
