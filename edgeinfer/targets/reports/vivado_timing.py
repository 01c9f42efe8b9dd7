# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vivado's `report_timing_summary`: the worst slack, and the clock period it leaves."""

from __future__ import annotations

import re
from pathlib import Path

from edgeinfer.base.metrics import DesignState, FirmOrigin, Metric
from edgeinfer.targets.reports.cells import ReportError, count, field, report_text, version_of
from edgeinfer.targets.reports.figures import GATES, LAID_OUT, TARGET, FigureSource
from edgeinfer.targets.reports.vivado_usage import TOOL

WORST = "WNS(ns)"
RULE = re.compile(r"\s*-+(?:\s+-+)*\s*")
ESTIMATED_NET = re.compile(r"\bnet \(fo=[^)]*\b(?:estimated|unplaced)\)")
ROUTED_NET = re.compile(r"\bnet \(fo=[^)]*\brouted\)")
CLOCK = re.compile(r"(\S+)\s+\{[^}]*\}\s+(\S+)\s+(\S+)\s*")


def vivado_timing(path: Path, target: str = TARGET) -> tuple[Metric, ...]:
    """Read a timing summary. Without a constraint there is no slack, and so no metric."""
    text = report_text(path)
    header, rows = _table(text, "Design Timing Summary", path)
    names = re.split(r"\s{2,}", header.strip())
    if WORST not in names or len(rows) != 1:
        raise ReportError(path, "its design timing summary has no line of slacks")
    values = rows[0].split()
    if len(values) != len(names):
        raise ReportError(path, "its design timing summary is cut short")
    slack = count(values[names.index(WORST)], path)
    if slack is None:
        return ()
    source = FigureSource(
        *_state(text, path), TOOL, version_of(field(text, "Tool Version")), target
    )
    metrics = [source.metric("wns_ns", slack, "ns")]
    period = _period(text, slack, path)
    if period is not None:
        metrics.append(source.metric("clock_ns", period - slack, "ns"))
        metrics.append(source.metric("clock_target_ns", period, "ns"))
    return tuple(metrics)


def _table(text: str, title: str, path: Path) -> tuple[str, list[str]]:
    """The header and the rows of a table that is drawn with blanks and a rule."""
    begin = re.search(rf"^\|?\s*{title}\s*$", text, re.M)
    if begin is None:
        raise ReportError(path, f"it has no {title!r}")
    lines = text[begin.end() :].splitlines()
    header = next((i for i, line in enumerate(lines) if "(ns)" in line), None)
    if header is None or header + 1 >= len(lines) or not RULE.fullmatch(lines[header + 1]):
        raise ReportError(path, f"its {title!r} has no columns")
    rows = []
    for line in lines[header + 2 :]:
        if not line.strip():
            break
        rows.append(line)
    return lines[header], rows


def _period(text: str, slack: float, path: Path) -> float | None:
    """The period of the clock that the worst slack belongs to; None where that is unclear."""
    _, rows = _table(text, "Clock Summary", path)
    periods = {}
    for row in rows:
        match = CLOCK.fullmatch(row.strip())
        if match is None:
            raise ReportError(path, f"its clock summary has a line {row.strip()[:40]!r}")
        periods[match[1]] = count(match[2], path)
    if len(periods) == 1:
        return next(iter(periods.values()))
    header, rows = _table(text, "Intra Clock Table", path)
    right = header.index(WORST) + len(WORST) if WORST in header else 0
    beginnings = (row[:right].split() for row in rows)  # a clock without paths has no slack there
    worst = [words[0] for words in beginnings if len(words) == 2 and count(words[1], path) == slack]
    return periods.get(worst[0]) if len(worst) == 1 else None


def _state(text: str, path: Path) -> tuple[FirmOrigin, DesignState]:
    """Routed only where the report or its name says so: slack on estimated nets is none yet."""
    state = (field(text, "Design State") or "").lower()
    if state:
        return LAID_OUT if "rout" in state else GATES
    if ESTIMATED_NET.search(text):
        return GATES
    routed = ROUTED_NET.search(text) or "routed" in path.stem.lower()
    return LAID_OUT if routed else GATES
