# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer, progress


def demo(
    *,
    output: Annotated[
        Path, Parameter(name=["--output", "-o"], help="the folder of its runs")
    ] = Path("runs/demo"),
    json: Json = False,
) -> None:
    """The hit tagger from float weights to an HLS project, a design in Verilog and an int8 file,
    simulated, reported, and compared in three recipes: minutes."""
    from edgeinfer.report.compare import page as compare_page
    from edgeinfer.report.page import text
    from edgeinfer.run.demo import SHOWN, demonstrate

    with progress() as watcher:
        demonstration = demonstrate(output, watcher)
    report = output / f"{SHOWN}-bit" / "report.html"
    page = output / "compare.html"
    lines = [
        line for _, line in text.lines_of(demonstration.report) if not line.startswith("finding")
    ]
    lines += ["", *compare_page.lines(demonstration.comparison), ""]
    lines += [f"the report      {report}", f"the comparison  {page}"]
    lines += [f"it took         {demonstration.seconds:.0f} s"]
    document = {
        "verdict": text.document(demonstration.report),
        "runs": [str(run) for run in demonstration.runs],
        "report": str(report),
        "comparison": str(page),
        "seconds": round(demonstration.seconds, 1),
    }
    answer(document, lines, as_json=json)
