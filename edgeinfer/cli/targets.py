# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What may be said on the command line about targets, and how it becomes their settings."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never

from cyclopts import Parameter

if TYPE_CHECKING:
    from edgeinfer.run.tools import ToolOrder
    from edgeinfer.targets.registry import Chosen

NONE = "none"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class HlsOptions:
    """Settings of the HLS target; what is left out is as the target has it."""

    backend: Annotated[
        Literal["Vitis", "Vivado", "Quartus", "oneAPI", "Catapult", "Libero"] | None,
        Parameter(help="hls: whose compiler the project is for; Vitis without it"),
    ] = None
    io: Annotated[
        Literal["io_parallel", "io_stream"] | None,
        Parameter(help="hls: whole tensors at once, or word by word; io_stream without it"),
    ] = None
    strategy: Annotated[
        Literal["latency", "resource", "distributed_arithmetic"] | None,
        Parameter(help="hls: what multiplications are arranged for; latency without it"),
    ] = None
    reuse: Annotated[
        int | None, Parameter(help="hls: multiplications that share a multiplier; 1 without it")
    ] = None
    clock_ns: Annotated[
        float | None, Parameter(help="hls: the clock's period in ns; 5 without it")
    ] = None
    part: Annotated[str | None, Parameter(help="hls: the FPGA")] = None

    def given(self) -> dict[str, Any]:
        """What was said."""
        return _said(self)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class EdgeTpuOptions:
    """Settings of the Edge TPU target; what is left out is as the target has it."""

    runtime: Annotated[
        int | None, Parameter(help="edgetpu: runtime version that the rules are for; 14 without it")
    ] = None
    link: Annotated[
        Literal["usb", "pcie"] | None,
        Parameter(help="edgetpu: how the chip is reached; usb without it"),
    ] = None

    def given(self) -> dict[str, Any]:
        """What was said."""
        return _said(self)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class RtlOptions:
    """Settings of the RTL target; what is left out is as the target has it."""

    clock_mhz: Annotated[
        float | None, Parameter(help="rtl: the clock that is asked for; 100 without it")
    ] = None
    throughput: Annotated[
        float | None, Parameter(help="rtl: fold layers for so many frames a second")
    ] = None
    fold: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="rtl: LAYER=PExSIMD, outputs and inputs at once; may be repeated"
        ),
    ] = None
    unroll: Annotated[
        Literal["auto", "full", "never"] | None,
        Parameter(
            help="rtl: a small network wholly in parallel, a frame a cycle; auto: where the goal "
            "needs it"
        ),
    ] = None
    board: Annotated[
        Literal["ulx3s"] | None,
        Parameter(help="rtl: with a shell for this board, its pins and a makefile"),
    ] = None
    route_tries: Annotated[
        int | None,
        Parameter(help="rtl: place and route so often, until the clock is reached; 1 without it"),
    ] = None
    waveform: Annotated[
        bool | None, Parameter(negative="", help="rtl: keep the waveform of the simulation")
    ] = None

    def given(self) -> dict[str, Any]:
        """What was said."""
        return _said(self)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Goals:
    """What may be said for all targets alike; each takes what it has a use for."""

    device: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="a part or a board, see edgeinfer devices; may be repeated, for several targets",
        ),
    ] = None
    latency_us: Annotated[
        float | None, Parameter(help="fold layers: the smallest design that is done in this time")
    ] = None
    fit: Annotated[
        bool,
        Parameter(negative="", help="hls: fold layers: the fastest design that fits"),
    ] = False

    def given(self) -> dict[str, Any]:
        """What was said, but for the devices."""
        said = {"latency_us": self.latency_us, "fit": self.fit}
        return {name: value for name, value in said.items() if value not in (None, False)}


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ToolOptions:
    """Which tools are started on the projects."""

    synth: Annotated[
        bool,
        Parameter(
            negative="",
            help="run the synthesis; edgetpu: the compiler",
        ),
    ] = False
    cosim: Annotated[
        bool, Parameter(negative="", help="hls: and simulate the circuit that it makes")
    ] = False
    vsynth: Annotated[bool, Parameter(negative="", help="hls: and make gates of it")] = False
    route: Annotated[bool, Parameter(negative="", help="place and route")] = False
    tool_minutes: Annotated[
        float | None, Parameter(help="how long the tools of a target may take; 240 without it")
    ] = None

    def order(self) -> ToolOrder:
        """The same for the library."""
        from edgeinfer.run.tools import MINUTES, ToolOrder
        from edgeinfer.targets.target import ToolStep

        steps = tuple(step for step in ToolStep if getattr(self, step.value))
        return ToolOrder(steps, MINUTES if self.tool_minutes is None else self.tool_minutes)


Options = HlsOptions | RtlOptions | EdgeTpuOptions


def routes_for(rtl: RtlOptions, *, route: bool) -> None:
    """An error where tries of the routing are asked for, and no routing is."""
    from edgeinfer.base.errors import UsageError

    if rtl.route_tries is not None and not route:
        raise UsageError(
            "--route-tries changes nothing where nothing is routed.",
            hint="Add --route to edgeinfer compile, or leave it out.",
        )


def chosen(names: list[str], goals: Goals, **options: Options) -> list[Chosen]:
    """The targets by their names, with the settings that were given for each by its name."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.targets.registry import choose

    wanted = list(dict.fromkeys(name for name in names if name != NONE))
    for name, said in options.items():
        if said.given() and name not in wanted:
            raise UsageError(
                f"--{next(iter(said.given())).replace('_', '-')} is an option of the target "
                f"{name}.",
                hint=f"Add --target {name}, or leave it out.",
            )
    settings = _shared(wanted, goals)
    for name in wanted:
        if name in options:
            settings[name] |= _typed(options[name])
    return [choose(name, settings[name]) for name in wanted]


def _said(options: Options) -> dict[str, Any]:
    said = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in said.items() if value is not None}


def _shared(wanted: list[str], goals: Goals) -> dict[str, dict[str, Any]]:
    """What each target takes of what was said for all; an error for what none takes."""
    from edgeinfer.base.devices import device
    from edgeinfer.base.errors import UsageError
    from edgeinfer.targets.registry import entry_of

    entries = {name: entry_of(name) for name in wanted}
    found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    named = ", ".join(wanted) or "none"
    for asked in goals.device or []:
        part = device(asked)
        takes = {name: entry.on_device(part, asked) for name, entry in entries.items()}
        if all(taken is None for taken in takes.values()):
            raise UsageError(
                f"{part.name} ({part.vendor} {part.family}) is no device for the target {named}.",
                hint="edgeinfer devices lists the parts: hls is for AMD and Intel parts, rtl for "
                "FPGAs, edgetpu for coral.",
            )
        for name, taken in takes.items():
            found[name] = {**(taken or {}), **found[name]}  # the first that fits it
    for option, value in goals.given().items():
        takers = [name for name, entry in entries.items() if entry.knows(option)]
        if not takers:
            raise UsageError(
                f"--{option.replace('_', '-')} is nothing for the target {named}.",
                hint="Add --target hls, or leave it out.",
            )
        for name in takers:
            found[name][option] = value
    return found


def _typed(options: Options) -> dict[str, Any]:
    """What was said, as the settings have it."""
    from edgeinfer.targets.edgetpu.predict.latency import Link
    from edgeinfer.targets.hls.settings import Backend, IoType, Strategy

    match options:
        case HlsOptions():
            kinds: dict[str, type] = {"backend": Backend, "io": IoType, "strategy": Strategy}
        case RtlOptions():
            return _rtl(options)
        case EdgeTpuOptions():
            kinds = {"link": Link}
        case _:
            assert_never(options)
    said = options.given()
    return {name: kinds[name](value) if name in kinds else value for name, value in said.items()}


def _rtl(options: RtlOptions) -> dict[str, Any]:
    from edgeinfer.base.errors import UsageError
    from edgeinfer.targets.rtl.settings import Fold

    said = options.given()
    folds = []
    for word in said.pop("fold", []):
        match = re.fullmatch(r"(.+)=(\d+)x(\d+)", word)
        if match is None:
            raise UsageError(
                f"--fold {word}: that names no folding.", hint="Write it as LAYER=PExSIMD: conv=4x9"
            )
        folds.append((match[1], Fold(int(match[2]), int(match[3]))))
    return said | ({"folds": tuple(folds)} if folds else {})
