# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The bitstream of an hls4ml project on a Zynq board: an HLS compiler makes the IP, and Vivado the
block design around it."""

from __future__ import annotations

import time
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.plan import writing
from edgeinfer.targets.boards.block_design import by_block_design
from edgeinfer.targets.boards.boards import BUILD, zynq_board
from edgeinfer.targets.hls.board.files import IP_SCRIPT
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.tools.run import licence_refusal
from edgeinfer.targets.hls.tools.steps import hls_call
from edgeinfer.targets.programs import VIVADO
from edgeinfer.targets.target import ProgressReport, ToolResult

COMPONENT = f"{BUILD}/ip/solution1/impl/ip/component.xml"
LOG = "hls_ip.log"
STEP = "IP"


def make_bitstream(
    folder: Path, settings: HlsSettings, seconds: float, report: ProgressReport
) -> ToolResult:
    """Both tools are found before the first begins, which takes long."""
    on = zynq_board(settings.board or "")
    compiler, arguments = hls_call(settings.backend, Path(IP_SCRIPT).name)
    tools.find(VIVADO)
    component = folder / COMPONENT
    with writing(component):
        component.unlink(missing_ok=True)  # it may be of another project
    began = time.monotonic()
    report(STEP, 0.0, f"{compiler.tool.name} {compiler.version}".strip())
    log = folder / BUILD / LOG
    try:
        done = tools.run(
            compiler, arguments, seconds=seconds, folder=(folder / IP_SCRIPT).parent, log=log,
            report_line=lambda line: report(STEP, time.monotonic() - began, line),
        )  # fmt: skip
    except ToolFailedError as error:
        printed = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        refusal = licence_refusal(printed)
        if not refusal:
            raise
        raise ToolFailedError(
            f"{compiler.tool.name} has no licence for this: {refusal} Everything it printed is in "
            f"{log}.",
            hint="Set XILINXD_LICENSE_FILE or LM_LICENSE_FILE to your licence.",
        ) from error
    if not component.is_file():
        raise ToolFailedError(
            f"{compiler.tool.name} ended without an error, but left no {COMPONENT}.",
            hint=f"Read {log}.",
        )
    left = max(began + seconds - time.monotonic(), 1.0)
    result = by_block_design(folder, on, settings.clock_mhz, left, report, target="hls")
    lines = [f"{compiler.tool.name} {compiler.version} made the IP in {done.seconds:.0f} s"]
    if result.bitstream is not None:
        lines.append(f"The bitstream is {result.bitstream.relative_to(folder)}.")
    return ToolResult(tuple(lines), result.metrics, result.bitstream)
