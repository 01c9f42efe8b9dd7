# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`csynth.rpt` of Vitis HLS: all modules and loops in one table, drawn as a tree."""

from __future__ import annotations

import re
from pathlib import Path

from edgeinfer.targets.reports.cells import (
    ReportError,
    amount,
    count,
    field,
    report_text,
    version_of,
)
from edgeinfer.targets.reports.csynth import Module, Synthesis
from edgeinfer.targets.reports.figures import CycleRange, Resources, check_order
from edgeinfer.targets.reports.tables import ParsedTable, tables, whole_rows

TITLE = re.compile(r"==\s+Synthesis Summary Report of '([^']+)'")
MARK = re.compile(r"( *)([+o])\s(.*?)\*?\s*")  # `+` stands before a module, `o` before a loop


def csynth_tree(path: Path) -> Synthesis:
    """Read the design and the modules directly below it. The clock is not in this report."""
    text = report_text(path)
    title = TITLE.search(text)
    if title is None:
        raise ReportError(path, "it has no title of a synthesis summary")
    table = next((t for t in tables(text, path) if t.column("modules", "loops") == 0), None)
    if table is None:
        raise ReportError(path, "it has no table of modules and loops")
    modules = [
        (len(match[1]), _module(match[3], row, table))
        for row in whole_rows(table)
        if (match := MARK.fullmatch(row[0])) and match[2] == "+"
    ]
    if not modules or modules[0][1].name != title[1]:
        raise ReportError(path, f"its table does not begin with {title[1]!r}")
    depth, top = modules[0]
    return Synthesis(
        top=top.name,
        tool="Vitis HLS",
        version=version_of(field(text, "Version")),
        part=field(text, "Target device") or "",
        clock_target_ns=None,
        clock_ns=None,
        latency=top.latency,
        interval=top.interval,
        resources=top.resources,
        latency_ns=CycleRange(),
        modules=tuple(module for deeper, module in modules if deeper == depth + 1),
    )


def _module(name: str, row: tuple[str, ...], table: ParsedTable) -> Module:
    def cell(*words: str) -> str | None:
        at = table.column(*words, without=("iteration",))
        return None if at is None else row[at]

    def occupied(word: str) -> float | None:
        text = cell(word)
        return None if text is None else amount(text, table.path)

    latency, interval = (
        count(text, table.path) if (text := cell(*words)) is not None else None
        for words in (("latency", "cycles"), ("interval",))
    )
    return Module(
        name,
        check_order(CycleRange(latency, latency), table.path),
        check_order(CycleRange(interval, interval), table.path),
        Resources(
            dsp=occupied("dsp"),
            lut=occupied("lut"),
            ff=occupied("ff"),
            bram18=occupied("bram"),
            uram=occupied("uram"),
        ),
    )
