# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The block design of a Zynq board through Vivado: its bitstream, and the figures of that."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.plan import writing
from edgeinfer.targets.programs import VIVADO
from edgeinfer.targets.reports.cells import ReportError
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import vivado_usage
from edgeinfer.targets.rtl.board.boards import ZynqBoard
from edgeinfer.targets.rtl.board.zynq import DEPLOY, SCRIPT
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.routing import BUILD, TARGET, ToolMeasurement
from edgeinfer.targets.rtl.tools.synthesis import Progress

USAGE, TIMING, LOG = "block_design_utilization.rpt", "block_design_timing.rpt", "vivado.log"


def by_block_design(
    folder: Path,
    on: ZynqBoard,
    described: Mapping[str, Any],
    settings: RtlSettings,
    progress: Progress,
) -> ToolMeasurement:
    """Run the script of an emitted folder; an error where Vivado is not here, or the design is too
    slow for its clock."""
    if settings.route_tries > 1:
        raise UsageError(
            "Vivado has no seeds: its routing is the same in each try.",
            hint="Leave the tries out for AMD's parts.",
        )
    found = tools.find(VIVADO)
    wanted = [folder / DEPLOY / "design.bit", folder / DEPLOY / "design.hwh"]
    reports = [folder / BUILD / USAGE, folder / BUILD / TIMING]
    for path in (*wanted, *reports):  # nothing of an earlier run is taken for this one's
        with writing(path):
            path.unlink(missing_ok=True)
    script = folder / SCRIPT
    log = folder / BUILD / LOG
    started = time.monotonic()
    progress("Vivado", 0.0, f"{found.tool.name} {found.version}".strip())
    tools.run(
        found, ["-mode", "batch", "-nojournal", "-nolog", "-source", script.name],
        seconds=settings.tool_seconds, folder=script.parent, log=log,
        said=lambda line: progress("Vivado", time.monotonic() - started, line),
    )  # fmt: skip
    missing = [path.name for path in (*wanted, *reports) if not path.is_file()]
    if missing:
        raise ToolFailedError(
            f"Vivado ended without an error, but left no {' and no '.join(missing)}.",
            hint=f"Read {log}.",
        )
    try:
        usage = vivado_usage(reports[0], lambda module: module, TARGET)
        timing = vivado_timing(reports[1], TARGET)
    except ReportError as error:
        raise ToolFailedError(error.message, hint=error.hint) from None
    latency, interval = described["latency_cycles"], described["interval_cycles"]
    figures = (
        ("board_clock_mhz", settings.clock_mhz, "MHz"),
        ("throughput", settings.clock_mhz * 1e6 / interval, "frames/s"),
        ("latency_us", latency / settings.clock_mhz, "us"),
    )
    at_clock = tuple(
        Metric(name, value, unit, Origin.ROUTED, tool="vivado", version=found.version or None,
               target=TARGET, note=f"at the clock that the {on.title} gives")
        for name, value, unit in figures
    )  # fmt: skip
    return ToolMeasurement((*usage, *timing, *at_clock), wanted[0])
