# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`<name>_csynth.rpt` of Vivado HLS and Vitis HLS: the design's summary, and its instances.

Older reports count cycles only, newer ones also absolute times; DSPs are DSP48E or DSP; some
parts have no URAM. Tables are found by their headings, columns by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgeinfer.targets.reports.cells import (
    ReportError,
    amount,
    count,
    field,
    nanoseconds,
    report_text,
    version_of,
)
from edgeinfer.targets.reports.csynth import Module, Synthesis
from edgeinfer.targets.reports.figures import CycleRange, Resources, check_order
from edgeinfer.targets.reports.tables import ParsedTable, tables, whole_rows

TITLE = re.compile(r"^[ \t]*==[ \t]+(\S.*HLS) Report for '([^']+)'", re.M)
PERFORMANCE, UTILIZATION = "performance estimates", "utilization estimates"


def csynth_text(path: Path) -> Synthesis:
    """Read the report of one module and the modules directly below it."""
    text = report_text(path)
    title = TITLE.search(text)
    if title is None:
        raise ReportError(path, "it has no title of a C synthesis report")
    parsed = tables(text, path)
    timing = _only(parsed, path, PERFORMANCE, "timing", "summary")
    latency = _only(parsed, path, PERFORMANCE, "latency", "summary")
    usage = _only(parsed, path, UTILIZATION, "", "summary")
    clock = whole_rows(timing)[0] if timing.rows else ()
    target, estimated = timing.column("target"), timing.column("estimated")
    if not clock or target is None or estimated is None:
        raise ReportError(path, "its timing summary names no clock")
    if len(whole_rows(latency)) != 1:
        raise ReportError(path, f"its latency summary has {len(latency.rows)} rows, not one")
    total = usage.row("total")
    if total is None or len(total) != len(usage.columns):
        raise ReportError(path, "its utilization summary has no total")
    cycles, interval, absolute = _spans(latency, latency.rows[0])
    return Synthesis(
        top=title[2],
        tool=title[1],
        version=version_of(field(text, "Version")),
        part=field(text, "Target device") or "",
        clock_target_ns=nanoseconds(clock[target], path),
        clock_ns=nanoseconds(clock[estimated], path),
        latency=cycles,
        interval=interval,
        resources=_resources(usage, total),
        latency_ns=absolute,
        modules=_modules(parsed),
    )


def _only(
    parsed: Iterable[ParsedTable], path: Path, section: str, plus: str, star: str
) -> ParsedTable:
    matching = _all(parsed, section, plus, star)
    if len(matching) != 1:
        where = " / ".join(word for word in (section, plus, star) if word)
        raise ReportError(path, f"it has {len(matching)} tables under {where!r}, not one")
    return matching[0]


def _all(parsed: Iterable[ParsedTable], section: str, plus: str, star: str) -> list[ParsedTable]:
    return [
        table
        for table in parsed
        if table.headings[0] == section
        and table.headings[1].startswith(plus)
        and bool(table.headings[1]) == bool(plus)
        and table.headings[2] == star
    ]


def _spans(table: ParsedTable, row: tuple[str, ...]) -> tuple[CycleRange, CycleRange, CycleRange]:
    """A row's cycles of latency, cycles between inputs, and absolute latency in nanoseconds."""
    pairs = []
    for words, without in ((("latency",), ("absolute",)), (("interval",), ())):
        least = table.column(*words, "min", without=without)
        most = table.column(*words, "max", without=without)
        if least is None or most is None:
            raise ReportError(table.path, f"a table has no columns of {words[0]}, min and max")
        span = CycleRange(count(row[least], table.path), count(row[most], table.path))
        pairs.append(check_order(span, table.path))
    least, most = table.column("absolute", "min"), table.column("absolute", "max")
    absolute = CycleRange()
    if least is not None and most is not None:
        absolute = CycleRange(
            nanoseconds(row[least], table.path), nanoseconds(row[most], table.path)
        )
    return pairs[0], pairs[1], absolute


def _resources(table: ParsedTable, row: tuple[str, ...]) -> Resources:
    """A row's resources."""
    amounts: dict[str, float | None] = {}
    for name, columns in {
        "dsp": ("dsp", "dsp48e"),
        "lut": ("lut",),
        "ff": ("ff",),
        "bram18": ("bram_18k",),
        "uram": ("uram",),
    }.items():
        at = next((i for column in columns if (i := table.named(column)) is not None), None)
        if at is None and name in ("lut", "ff"):
            raise ReportError(table.path, f"a table of resources has no column {columns[0]!r}")
        amounts[name] = None if at is None else amount(row[at], table.path)
    return Resources(**amounts)


def _modules(parsed: Iterable[ParsedTable]) -> tuple[Module, ...]:
    """The modules directly below: several instances of one count together."""
    usable_tables = tuple(parsed)
    modules: dict[str, Module] = {}
    for table in _all(usable_tables, UTILIZATION, "detail", "instance"):
        instance, module = table.named("instance"), table.named("module")
        if instance is None or module is None:
            raise ReportError(table.path, "its table of instances names no modules")
        for row in whole_rows(table):
            if not row[module]:  # the total
                continue
            module_before = modules.get(
                row[module], Module(row[module], CycleRange(), CycleRange(), Resources())
            )
            both = module_before.resources.plus(_resources(table, row))
            modules[row[module]] = replace(module_before, resources=both)
    for table in _all(usable_tables, PERFORMANCE, "detail", "instance"):
        module = table.named("module")
        if module is None:
            raise ReportError(table.path, "its table of instances names no modules")
        for row in whole_rows(table):
            module_before = modules.get(
                row[module], Module(row[module], CycleRange(), CycleRange(), Resources())
            )
            latency, interval, _ = _spans(table, row)
            modules[row[module]] = replace(
                module_before,
                latency=module_before.latency.worst(latency),
                interval=module_before.interval.worst(interval),
            )
    return tuple(modules.values())
