# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`<name>_cosim.rpt` of Vivado HLS and Vitis HLS, and the list of transactions beside it.

The RTL was simulated against the C test bench: cycles of latency and between inputs, the fewest,
the mean and the most over the samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgeinfer.base.metrics import Metric
from edgeinfer.targets.reports.cells import ReportError, count, report_text
from edgeinfer.targets.reports.figures import CycleRange, FigureSource, check_order
from edgeinfer.targets.reports.tables import ParsedTable, tables, whole_rows

TRANSACTION = re.compile(r"transaction\s*\d+\s*:\s*(\S+)(?:\s+(\S+))?", re.I)
NOT_RUN = ("na", "n/a", "")


@dataclass(frozen=True, slots=True)
class CoSimulation:
    """One language's simulation: whether outputs were as expected, where the tool judges them,
    and the cycles it took."""

    language: str
    passed: bool | None
    latency: CycleRange
    interval: CycleRange
    latency_mean: float | None
    interval_mean: float | None


def cosim(path: Path) -> CoSimulation | None:
    """Read the language that was simulated; None where none was."""
    text = report_text(path)
    table = next((t for t in tables(text, path) if t.named("status") is not None), None)
    if table is None:
        raise ReportError(path, "it has no table with a status")
    status, language = table.named("status"), table.column("rtl")
    if status is None or language is None:
        raise ReportError(path, "its table names no language")
    ran = [row for row in whole_rows(table) if row[status].lower() not in NOT_RUN]
    if not ran:
        if not table.rows:
            raise ReportError(path, "its table has no rows")
        return None
    row = next((row for row in ran if row[language].strip().lower() == "verilog"), ran[0])
    passed = row[status].lower()
    if passed not in ("pass", "fail"):
        raise ReportError(path, f"its status {row[status]!r} is neither Pass nor Fail")
    latency, interval = _span(table, row, "latency"), _span(table, row, "interval")
    return CoSimulation(
        row[language].strip(), passed == "pass", latency[0], interval[0], latency[1], interval[1]
    )


def _span(table: ParsedTable, row: tuple[str, ...], what: str) -> tuple[CycleRange, float | None]:
    ends: list[float | None] = []
    for end in ("min", "avg", "max"):
        at = table.column(what, end)
        if at is None:
            raise ReportError(table.path, f"its table has no column of {what} {end}")
        ends.append(count(row[at], table.path))
    return check_order(CycleRange(ends[0], ends[2]), table.path), ends[1]


def with_transactions(simulated: CoSimulation, path: Path) -> CoSimulation:
    """The same, with what the list of transactions knows and the report does not. The last one
    has no interval (`x`): without it, the list is not whole and adds nothing."""
    text = report_text(path)
    lines = TRANSACTION.findall(text)
    if not lines or not text.endswith("\n"):
        raise ReportError(path, "it lists no transaction, or ends inside one")
    if lines[-1][1].lower() != "x":
        return simulated
    latencies = [v for line in lines if (v := count(line[0], path)) is not None]
    intervals = [v for line in lines if (v := count(line[1], path)) is not None]
    if simulated.latency.most is None and latencies:
        simulated = replace(
            simulated,
            latency=CycleRange(min(latencies), max(latencies)),
            latency_mean=sum(latencies) / len(latencies),
        )
    if simulated.interval.most is None and intervals:
        simulated = replace(
            simulated,
            interval=CycleRange(min(intervals), max(intervals)),
            interval_mean=sum(intervals) / len(intervals),
        )
    return simulated


def cosim_metrics(
    simulated: CoSimulation, source: FigureSource, clock_ns: float
) -> Iterator[Metric]:
    """The metrics of a simulation. Cycles of one that failed would say nothing of the design."""
    if simulated.passed is not None:
        yield source.metric("cosim_passed", float(simulated.passed), "")
    if simulated.passed is False:
        return
    yield from simulated.latency.metrics(source, "latency_cycles", "cycles", None)
    yield from simulated.latency.metrics(source, "latency_us", "us", None, clock_ns * 1e-3)
    yield from simulated.interval.metrics(source, "ii_cycles", "cycles", None)
    if simulated.latency_mean is not None:
        yield source.metric("latency_mean_cycles", simulated.latency_mean, "cycles")
    if simulated.interval_mean is not None:
        yield source.metric("ii_mean_cycles", simulated.interval_mean, "cycles")
