# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about an HLS project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from edgeinfer.base.devices import Device, part_of
from edgeinfer.base.errors import UsageError

SHORTEST_CLOCK_NS, LONGEST_CLOCK_NS = 0.5, 1000.0


class Backend(StrEnum):
    """Whose compiler the project is for, as hls4ml names it."""

    VITIS = "Vitis"
    VIVADO = "Vivado"
    QUARTUS = "Quartus"
    ONEAPI = "oneAPI"
    CATAPULT = "Catapult"
    LIBERO = "Libero"


class IoType(StrEnum):
    """Whether all elements of a tensor travel at once, or one position after the other."""

    PARALLEL = "io_parallel"
    STREAM = "io_stream"


class Strategy(StrEnum):
    """What a layer's multiplications are arranged for."""

    LATENCY = "latency"
    RESOURCE = "resource"
    DISTRIBUTED = "distributed_arithmetic"


@dataclass(frozen=True, slots=True)
class HlsSettings:
    """A project: whose compiler, which part, which clock, and how layers are folded."""

    backend: Backend = Backend.VITIS
    part: str = "xczu7ev-ffvc1156-2-e"
    clock_ns: float = 5.0
    io: IoType = IoType.STREAM
    strategy: Strategy = Strategy.LATENCY
    reuse: int = 1  # multiplications that share a multiplier, where `reuse_of` says nothing else
    reuse_of: tuple[tuple[str, int], ...] = ()  # by the op's name
    strategy_of: tuple[tuple[str, Strategy], ...] = ()
    latency_us: float | None = None  # a goal: reuse factors of the smallest design as fast as this
    fit: bool = False  # a goal: reuse factors of the fastest design that the part holds

    def __post_init__(self) -> None:
        if not SHORTEST_CLOCK_NS <= self.clock_ns <= LONGEST_CLOCK_NS:
            raise UsageError(
                f"A clock of {self.clock_ns:g} ns cannot be asked for.",
                hint=f"Choose {SHORTEST_CLOCK_NS:g} to {LONGEST_CLOCK_NS:g} ns.",
            )
        for where, factor in (("every layer", self.reuse), *self.reuse_of):
            if factor < 1:
                raise UsageError(f"A reuse factor of {factor} for {where} is none; 1 is the least.")
        if self.latency_us is not None and self.latency_us <= 0:
            raise UsageError(f"A latency of {self.latency_us:g} us cannot be reached.")

    @staticmethod
    def on_device(device: Device, asked: str) -> dict[str, Any] | None:
        """What a device says of the settings; None where no HLS compiler is for it."""
        match device.vendor:
            case "AMD":
                return {"part": part_of(asked)}
            case "Intel":
                return {"part": part_of(asked), "backend": Backend.QUARTUS}
            case _:
                return None

    @staticmethod
    def from_record(told: Mapping[str, Any]) -> HlsSettings:
        """The settings that were written down as JSON."""
        return HlsSettings(
            **{
                **told,
                "backend": Backend(told["backend"]),
                "io": IoType(told["io"]),
                "strategy": Strategy(told["strategy"]),
                "reuse_of": tuple((name, int(factor)) for name, factor in told["reuse_of"]),
                "strategy_of": tuple((name, Strategy(way)) for name, way in told["strategy_of"]),
            }
        )

    def reuse_for(self, op: str) -> int:
        """The reuse factor asked for an op."""
        return dict(self.reuse_of).get(op, self.reuse)

    def strategy_for(self, op: str) -> Strategy:
        """The strategy asked for an op."""
        return dict(self.strategy_of).get(op, self.strategy)
