# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vivado, where it is: its script beside every design for one of AMD's parts, and its reports."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeinfer.base import tools
from edgeinfer.base.devices import Device, part_of
from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.names import Identifier, QuotedText
from edgeinfer.base.plan import writing
from edgeinfer.targets.programs import VIVADO
from edgeinfer.targets.reports.cells import ReportError
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import vivado_usage
from edgeinfer.targets.rtl.emit.emit import render_template
from edgeinfer.targets.rtl.plane.counts import figures_at_clock
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.synthesis import Progress, silent

AMD = "AMD"
TARGET = "rtl"
TEMPLATE, SCRIPT, LOG = "synth/vivado.tcl.j2", "vivado.tcl", "logs/vivado.log"
SYNTHESISED = "vivado_synth_utilization.rpt"
ROUTED, TIMING = "vivado_route_utilization.rpt", "vivado_route_timing.rpt"


def vivado_files(top: str, part: Device, settings: RtlSettings) -> dict[str, bytes]:
    """Vivado's script for one of AMD's parts; nothing for others'."""
    if part.vendor != AMD:
        return {}
    name = part_of(settings.part)
    template_values = {
        "top": Identifier(top),
        "part": QuotedText(name),
        "clock_mhz": settings.clock_mhz,
    }
    return {SCRIPT: render_template(TEMPLATE, template_values)}


def available(part: Device) -> tools.FoundTool | None:
    """Vivado, for one of AMD's parts and if it is on this machine."""
    chosen = os.environ.get(VIVADO.override) or shutil.which(VIVADO.name)
    return tools.find(VIVADO) if part.vendor == AMD and chosen else None


def by_vivado(
    vivado: tools.FoundTool,
    folder: Path,
    described: Mapping[str, Any],
    settings: RtlSettings,
    progress: Progress = silent,
) -> tuple[Metric, ...]:
    """Run the script of an emitted folder, and read the reports that it leaves."""
    reports = [SYNTHESISED, *([ROUTED, TIMING] if settings.route else [])]
    for name in reports:  # reports of an earlier run are never taken for those of this one
        with writing(folder / name):
            (folder / name).unlink(missing_ok=True)
    words = ["-mode", "batch", "-nojournal", "-nolog", "-source", SCRIPT]
    if settings.route:
        words += ["-tclargs", "route"]
    started = time.monotonic()
    progress("Vivado", 0.0, f"{vivado.tool.name} {vivado.version}".strip())
    tools.run(
        vivado, words, seconds=settings.tool_seconds, folder=folder, log=folder / LOG,
        report_line=lambda line: progress("Vivado", time.monotonic() - started, line),
    )  # fmt: skip
    missing = [name for name in reports if not (folder / name).is_file()]
    if missing:
        raise ToolFailedError(
            f"Vivado ended without an error, but left no {' and no '.join(missing)} in {folder}.",
            hint=f"Read {folder / LOG}.",
        )
    try:
        return _read(folder, described, settings)
    except ReportError as error:
        raise ToolFailedError(error.message, hint=error.hint) from None


def _read(folder: Path, described: Mapping[str, Any], settings: RtlSettings) -> tuple[Metric, ...]:
    def layer(module: str) -> str:  # instances are named, modules are the library's
        return module

    metrics = list(vivado_usage(folder / SYNTHESISED, layer, TARGET))
    if not settings.route:
        return tuple(metrics)
    metrics += vivado_usage(folder / ROUTED, layer, TARGET)
    timing = vivado_timing(folder / TIMING, TARGET)
    metrics += timing
    for clock in timing:
        if clock.name == "clock_ns":
            metrics += _at_clock(folder, 1000.0 / clock.value, clock, described)
    return tuple(metrics)


def _at_clock(
    folder: Path, fmax_mhz: float, clock: Metric, described: Mapping[str, Any]
) -> tuple[Metric, ...]:
    return tuple(
        Metric(name, value, unit, Origin.ROUTED, tool=clock.tool, version=clock.version,
               target=TARGET)
        for name, value, unit in figures_at_clock(folder, described, fmax_mhz)
    )  # fmt: skip
