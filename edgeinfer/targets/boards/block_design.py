# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The block design of a Zynq board through Vivado: its bitstream, and the figures of that."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.plan import writing
from edgeinfer.targets.boards.boards import BUILD, ZynqBoard
from edgeinfer.targets.boards.wrapper import DEPLOY, SCRIPT
from edgeinfer.targets.programs import VIVADO
from edgeinfer.targets.reports.cells import ReportError
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import vivado_usage
from edgeinfer.targets.target import ProgressReport

USAGE, TIMING, LOG = "block_design_utilization.rpt", "block_design_timing.rpt", "vivado.log"


@dataclass(frozen=True, slots=True)
class BlockDesignResult:
    """What Vivado has made, and its figures."""

    metrics: tuple[Metric, ...]
    bitstream: Path


def by_block_design(
    folder: Path,
    on: ZynqBoard,
    clock_mhz: float,
    seconds: float,
    progress: ProgressReport,
    *,
    target: str,
    timed: Sequence[tuple[str, float, str]] = (),
) -> BlockDesignResult:
    """Run the script of an emitted folder; an error where Vivado is not here, or the design is too
    slow for its clock. `timed`: figures (name, value, unit) that follow from the clock and from
    cycles that are known."""
    vivado = tools.find(VIVADO)
    outputs = [folder / DEPLOY / "design.bit", folder / DEPLOY / "design.hwh"]
    reports = [folder / BUILD / USAGE, folder / BUILD / TIMING]
    for path in (*outputs, *reports):  # nothing of an earlier run is taken for this one's
        with writing(path):
            path.unlink(missing_ok=True)
    script = folder / SCRIPT
    log = folder / BUILD / LOG
    started = time.monotonic()
    progress("Vivado", 0.0, f"{vivado.tool.name} {vivado.version}".strip())
    tools.run(
        vivado, ["-mode", "batch", "-nojournal", "-nolog", "-source", script.name],
        seconds=seconds, folder=script.parent, log=log,
        report_line=lambda line: progress("Vivado", time.monotonic() - started, line),
    )  # fmt: skip
    missing = [path.name for path in (*outputs, *reports) if not path.is_file()]
    if missing:
        raise ToolFailedError(
            f"Vivado ended without an error, but left no {' and no '.join(missing)}.",
            hint=f"Read {log}.",
        )
    try:
        usage = vivado_usage(reports[0], lambda module: module, target)
        timing = vivado_timing(reports[1], target)
    except ReportError as error:
        raise ToolFailedError(error.message, hint=error.hint) from None
    at_clock = tuple(
        Metric(name, value, unit, Origin.ROUTED, tool="vivado", version=vivado.version or None,
               target=target, note=f"at the clock that the {on.title} gives")
        for name, value, unit in (("board_clock_mhz", clock_mhz, "MHz"), *timed)
    )  # fmt: skip
    return BlockDesignResult((*usage, *timing, *at_clock), outputs[0])
