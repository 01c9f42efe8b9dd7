# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A synthesised top level placed and routed from one seed after another, and its figures.

On a board, what is routed is what is delivered: the shell, the pins, the PLL. Latency and rate
follow from the clock that the board gives, not from the clock that the design could reach.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.plan import write_file, writing
from edgeinfer.targets.boards.boards import BUILD, FOLDER, SerialBoard
from edgeinfer.targets.boards.clocks import BoardClock, clock_of
from edgeinfer.targets.boards.messages import read_protocol
from edgeinfer.targets.rtl.board.shell_files import TOP
from edgeinfer.targets.rtl.plane.counts import figures_at_clock
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.place import (
    RoutedDesign,
    flow_of,
    pack_bitstream,
    place_and_route,
)
from edgeinfer.targets.rtl.tools.synthesis import (
    Progress,
    VerilogSource,
    belongs_to_design,
    refuse_overfull,
    synthesise,
    wants_dsp,
)

TARGET = "rtl"
LEAST_SECONDS = 1.0  # what a tool is given at least, so that it is the one to say that time is up
MARGIN = 0.97  # of the clock that was reached, for another try: routing is never twice the same


@dataclass(frozen=True, slots=True)
class TimeBox:
    """So many seconds from now on."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """What the next tool may take."""
        return max(self.began + self.seconds - time.monotonic(), LEAST_SECONDS)

    @property
    def over(self) -> bool:
        """Whether nothing more ought to be begun."""
        return self.left <= LEAST_SECONDS


@dataclass(frozen=True, slots=True)
class ToolMeasurement:
    """A design taken through the tools: figures, what to know about them, and the bitstream where
    one was made."""

    metrics: tuple[Metric, ...]
    bitstream: Path | None = None
    findings: tuple[str, ...] = ()


def try_seeds(
    netlist: Path,
    part: Device,
    pin_constraints: bytes,
    settings: RtlSettings,
    box: TimeBox,
    progress: Progress,
    *,
    clock_mhz: float | None = None,
    pinned: bool = False,
) -> list[RoutedDesign]:
    """Place and route from one seed after another, until the clock is reached: the settings', or
    another. A try that fails is an error only if none succeeds. `pin_constraints`: constraints."""
    clock_mhz = settings.clock_mhz if clock_mhz is None else clock_mhz
    tries: list[RoutedDesign] = []
    failed: ToolFailedError | None = None
    for seed in range(1, settings.route_tries + 1):
        if seed > 1 and box.over:
            break
        try:
            routed = place_and_route(
                netlist, part, pin_constraints, clock_mhz, seconds=box.left, seed=seed,
                part_name=settings.part, pinned=pinned, progress=progress,
            )  # fmt: skip
        except ToolFailedError as error:
            failed = error
            continue
        tries.append(routed)
        if routed.fmax_mhz >= clock_mhz:
            break
    if not tries:
        assert failed is not None
        raise failed
    return tries


def route_metrics(
    routed: RoutedDesign,
    folder: Path,
    described: Mapping[str, Any],
    clock_mhz: float,
    tries: int = 1,
) -> list[Metric]:
    """The clock that is reached, what follows from the clock that the design runs at and its
    cycles, and shares of the part; of several tries it says so."""
    note = f"the fastest of {tries} tries" if tries > 1 else None
    timed = figures_at_clock(folder, described, clock_mhz)
    return [
        _metric(routed, "fmax_mhz", routed.fmax_mhz, "MHz", note),
        *(_metric(routed, *figure, note) for figure in timed if figure[0] != "fmax_mhz"),
        *usage_metrics(routed, note),
    ]


def usage_metrics(routed: RoutedDesign, note: str | None) -> list[Metric]:
    """What a routed design takes of the part."""
    figures = []
    for kind, used in routed.used.items():
        available = routed.available[kind]
        figures.append(_metric(routed, kind, used, "", note))
        if available:
            figures.append(_metric(routed, f"{kind}_share", 100.0 * used / available, "%", note))
    return figures


def route_board(
    folder: Path,
    on: SerialBoard,
    described: Mapping[str, Any],
    settings: RtlSettings,
    box: TimeBox,
    progress: Progress,
) -> ToolMeasurement:
    """Route the top level that lies in a folder for a board, and pack its bitstream. A design that
    does not reach the clock that the board gives it gets none."""
    bitstream = folder / BUILD / f"{on.name}-{flow_of(on.device).bitstream}"
    with writing(bitstream):
        bitstream.unlink(missing_ok=True)  # it may be of another design
    part = on.device
    netlist = synthesise(
        board_source(folder), family_of(part.fabric), dsp=wants_dsp(described["blocks"], part),
        seconds=box.left, progress=progress,
    )  # fmt: skip
    refuse_overfull(netlist, part)
    pins = (folder / FOLDER / on.pins).read_bytes()
    board_clock = clock_of(on, settings.clock_mhz)
    needed_mhz = board_clock.fastest_mhz
    tries = try_seeds(
        netlist.netlist, part, pins, settings, box, progress, clock_mhz=needed_mhz, pinned=True
    )
    routed = max(tries, key=lambda one: one.fmax_mhz)
    about = (
        f", within {board_clock.drift:.0%}: an oscillator inside the part"
        if board_clock.drift
        else ""
    )
    clock = _metric(
        routed, "board_clock_mhz", settings.clock_mhz, "MHz",
        f"what the design runs at on the {on.title}{about}",
    )  # fmt: skip
    if routed.fmax_mhz < needed_mhz:
        note = "too slow for its board"
        return ToolMeasurement(
            (clock, _metric(routed, "fmax_mhz", routed.fmax_mhz, "MHz", note),
             *usage_metrics(routed, note)),
            findings=(_slow_text(on, routed.fmax_mhz, board_clock, len(tries)),),
        )  # fmt: skip
    line = read_protocol(folder).frames_a_second
    what = "planes" if "plane" in described else "frames"
    note = f"of the design; the board's serial line carries {line:,.1f} {what} a second"
    metrics = (
        clock,
        *(
            replace(metric, note="; ".join(filter(None, (metric.note, note))))
            if metric.name in ("throughput", "hits_per_second", "event_seconds")
            else metric
            for metric in route_metrics(routed, folder, described, settings.clock_mhz, len(tries))
        ),
    )
    try:
        packed = pack_bitstream(routed, part, seconds=box.left, progress=progress)
    except ToolMissingError as error:
        return ToolMeasurement(metrics, findings=(f"There is no bitstream: {error}",))
    write_file(bitstream, packed.read_bytes())
    return ToolMeasurement(metrics, bitstream)


def retuned_clock(on: SerialBoard, clock_mhz: float, fmax_mhz: float) -> float | None:
    """The clock of a board that a routed design is likely to reach if it is routed again for it;
    none where that is the clock it has."""
    drift = clock_of(on, clock_mhz).drift
    found_mhz = clock_of(on, MARGIN * fmax_mhz / (1 + drift)).mhz
    return None if found_mhz == clock_mhz else found_mhz


def board_source(folder: Path) -> VerilogSource:
    """The Verilog and the memories of a board's top level, the design included."""
    paths = [*sorted((folder / "hdl").iterdir()), *sorted((folder / FOLDER).iterdir())]
    return VerilogSource(
        {path.name: path.read_bytes() for path in paths if belongs_to_design(path.name)}, TOP
    )


def core_metric(routed: RoutedDesign) -> Metric:
    """What the design alone could reach, which nothing on the board runs at."""
    note = "the design alone between registers, without the board's shell, pins and clock: a study"
    return _metric(routed, "core_fmax_mhz", routed.fmax_mhz, "MHz", note)


def _slow_text(on: SerialBoard, fmax_mhz: float, clock: BoardClock, tries: int) -> str:
    most = f" and up to {clock.fastest_mhz:.4g} MHz" if clock.drift else ""
    asked_mhz = MARGIN * fmax_mhz / (1 + clock.drift)
    counted = "1 try" if tries == 1 else f"{tries} tries"
    return (
        f"There is no bitstream for the {on.title}: in {counted} the design reaches "
        f"{fmax_mhz:.1f} MHz, and the board would run it at {clock.mhz:.4g} MHz{most}. Compile "
        f"with --clock-mhz {asked_mhz:.0f}, with more --route-tries, or build with --retune."
    )


def _metric(
    routed: RoutedDesign, name: str, value: float, unit: str = "", note: str | None = None
) -> Metric:
    return Metric(
        name, value, unit, Origin.ROUTED, tool=routed.tool, version=routed.version, target=TARGET,
        note=note,
    )  # fmt: skip
