# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about an HLS project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Self

from edgeinfer.base.devices import Device, device, part_of
from edgeinfer.base.errors import UsageError
from edgeinfer.targets.boards.boards import BOARD_HELP, boards, zynq_board
from edgeinfer.targets.boards.clocks import clock_mhz_of
from edgeinfer.targets.options import COMPILE, ESTIMATE, Settings, option

TOOL_VERSIONS = re.compile(r"20\d\d\.\d")
DEFAULT_PART = "xczu7ev-ffvc1156-2-e"
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


class Arithmetic(StrEnum):
    """Which project is meant: the one that is bit-exact, or the one hls4ml makes by itself."""

    EXACT = "exact"  # accumulators as wide as proved, tables as long as the Program's
    HLS4ML = "hls4ml"  # accumulators cut to the layer's result type, tables of 1,024 entries


@dataclass(frozen=True, slots=True)
class HlsSettings(Settings):
    """A project: whose compiler, which part, which clock, and how layers are folded."""

    backend: Backend = option(
        Backend.VITIS, "the compiler that the project is for; Vitis by default"
    )
    part: str = option(DEFAULT_PART, "the FPGA")
    clock_ns: float = option(5.0, "the clock's period in ns; 5 by default")
    io: IoType = option(
        IoType.STREAM, "whole tensors at once, or word by word; io_stream by default"
    )
    strategy: Strategy = option(
        Strategy.LATENCY, "the goal of the multipliers' layout; latency by default"
    )
    reuse: int = option(1, "multiplications that share a multiplier; 1 by default")
    reuse_of: tuple[tuple[str, int], ...] = ()  # by the op's name, where `reuse` is not for it
    strategy_of: tuple[tuple[str, Strategy], ...] = ()
    sum_bits_of: tuple[tuple[str, int], ...] = ()  # of accumulators that a project states
    at_once_of: tuple[tuple[str, int], ...] = ()  # positions of a convolution, as a project states
    sparse: Literal["frames", "tokens"] = option(
        "frames",
        "tokens: a sparse network's lit pixels alone stream through, so that cycles follow their "
        "number; frames by default: every pixel does",
    )
    latency_us: float | None = option(
        None, "fold layers: the smallest design that finishes in this time"
    )
    fit: bool = option(False, "fold layers: the fastest design that fits")
    board: str | None = option(
        None,
        BOARD_HELP,
        kind=Literal[boards()],
        verbs=(COMPILE,),
    )
    arithmetic: Arithmetic = option(
        Arithmetic.EXACT,
        "exact: the bit-exact project; hls4ml: with accumulators cut to the layer's type and "
        "tables of 1,024 entries, as hls4ml makes by itself",
        verbs=(ESTIMATE,),
    )
    tool_version: str = option(
        "",
        "the release of the HLS tool, such as 2021.1; a recent one by default",
        verbs=(ESTIMATE,),
    )

    def __post_init__(self) -> None:
        if not SHORTEST_CLOCK_NS <= self.clock_ns <= LONGEST_CLOCK_NS:
            raise UsageError(
                f"A clock of {self.clock_ns:g} ns cannot be asked for.",
                hint=f"Choose {SHORTEST_CLOCK_NS:g} to {LONGEST_CLOCK_NS:g} ns.",
            )
        if self.tool_version and not TOOL_VERSIONS.fullmatch(self.tool_version):
            raise UsageError(
                f"{self.tool_version!r} is no release of an HLS tool.",
                hint="Write the year and the number, such as 2021.1.",
            )
        for where, factor in (("every layer", self.reuse), *self.reuse_of):
            if factor < 1:
                raise UsageError(
                    f"A reuse factor of {factor} for {where} is not possible; the least is 1."
                )
        if self.latency_us is not None and self.latency_us <= 0:
            raise UsageError(
                f"A latency of {self.latency_us:g} us cannot be reached.", hint="Give more than 0."
            )
        if self.sparse not in ("frames", "tokens"):
            raise UsageError(f"sparse is frames or tokens, not {self.sparse!r}.")
        self._obey_board()

    def _obey_board(self) -> None:
        """A board says the part, and makes its own clock of the one that is asked for."""
        if self.board is None:
            return
        on = zynq_board(self.board)
        if self.backend not in (Backend.VITIS, Backend.VIVADO):
            raise UsageError(
                f"The {on.title} is made by AMD's tools, but the project is for {self.backend}.",
                hint=f"Choose --backend {Backend.VITIS} or {Backend.VIVADO}, or leave --board out.",
            )
        part = device(on.part).part
        if self.part not in (part, DEFAULT_PART):
            raise UsageError(
                f"The board {self.board} carries {part}, but the project is for {self.part}.",
                hint=f"Give --device {on.part}, or leave --device or --board out.",
            )
        object.__setattr__(self, "part", part)
        mhz = clock_mhz_of(on, 1000 / self.clock_ns)
        object.__setattr__(self, "clock_ns", 1000 / mhz)

    @property
    def clock_mhz(self) -> float:
        """The clock that is asked for."""
        return 1000 / self.clock_ns

    @classmethod
    def on_device(cls, device: Device, device_name: str) -> dict[str, Any] | None:
        """What a device says of the settings; None where no HLS compiler is for it."""
        match device.vendor:
            case "AMD":
                return {"part": part_of(device_name)}
            case "Intel":
                return {"part": part_of(device_name), "backend": Backend.QUARTUS}
            case _:  # no HLS compiler for other vendors is known here
                return None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The settings that were written down as JSON."""
        return super(HlsSettings, cls).from_record(
            {
                **record,
                "reuse_of": tuple((name, int(factor)) for name, factor in record["reuse_of"]),
                "sum_bits_of": tuple(
                    (name, int(bits)) for name, bits in record.get("sum_bits_of", ())
                ),
                "at_once_of": tuple(
                    (name, int(count)) for name, count in record.get("at_once_of", ())
                ),
                "strategy_of": tuple((name, Strategy(way)) for name, way in record["strategy_of"]),
            }
        )

    @property
    def tool_year(self) -> int | None:
        """The year of the HLS tool's release; None where it was not stated."""
        return int(self.tool_version[:4]) if self.tool_version else None

    def reuse_for(self, op: str) -> int:
        """The reuse factor asked for an op."""
        return dict(self.reuse_of).get(op, self.reuse)

    def strategy_for(self, op: str) -> Strategy:
        """The strategy asked for an op."""
        return dict(self.strategy_of).get(op, self.strategy)
