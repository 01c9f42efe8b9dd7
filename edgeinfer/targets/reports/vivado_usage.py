# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vivado's `report_utilization`, flat or by hierarchy, and the report of an exported IP.

Rows are found by what they count, under whichever section a version and a family put them. Where
BRAM is counted in tiles of 36 kbit, which may be half used, each is two of 18 kbit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edgeinfer.base.metrics import DesignState, FirmOrigin, Metric
from edgeinfer.targets.reports.cells import (
    ReportError,
    count,
    field,
    report_text,
    version_of,
    xml_root,
)
from edgeinfer.targets.reports.figures import (
    GATES,
    LAID_OUT,
    TARGET,
    FigureSource,
    LayerOf,
    Resources,
)
from edgeinfer.targets.reports.tables import ParsedTable, tables, whole_rows

TOOL = "Vivado"
ROWS = {
    "lut": ("clb luts", "slice luts", "luts"),
    "ff": ("clb registers", "slice registers", "registers"),
    "tiles": ("block ram tile", "block ram tiles"),
    "dsp": ("dsps", "dsp slices", "dsp blocks"),
    "uram": ("uram", "urams"),
}
NOT_EVERYWHERE = {"uram"}


def vivado_usage(path: Path, layer_of: LayerOf, target: str = TARGET) -> tuple[Metric, ...]:
    """Read a utilization report; one by hierarchy has the layers too."""
    text = report_text(path)
    parsed = tables(text, path)
    source = FigureSource(*_state(text), TOOL, version_of(field(text, "Tool Version")), target)
    hierarchy = next((t for t in parsed if t.column("total luts") is not None), None)
    if hierarchy is not None:
        return tuple(_by_hierarchy(hierarchy, source, layer_of))
    return tuple(_flat(parsed, path).metrics(source))


def _state(text: str) -> tuple[FirmOrigin, DesignState]:
    """A placed design occupies what it occupies when routed; a netlist may still shrink."""
    state = (field(text, "Design State") or "").lower()
    done = any(word in state for word in ("placed", "routed", "postplace", "postroute"))
    return LAID_OUT if done else GATES


def _flat(parsed: Iterable[ParsedTable], path: Path) -> Resources:
    usable_tables = [
        t for t in parsed if t.named("site type") is not None and t.named("used") is not None
    ]
    amounts: dict[str, float] = {}
    for name, rows in ROWS.items():
        for table in usable_tables:
            row, used = table.row(*rows), table.named("used")
            if row is None or used is None:
                continue
            if len(row) != len(table.columns):
                raise ReportError(path, f"the row {row[0].strip()!r} is cut short")
            amount = count(row[used], path)
            if amount is not None:
                amounts[name] = amount
                break
        if name not in amounts and name not in NOT_EVERYWHERE:
            raise ReportError(path, f"it counts no {rows[0]!r}: cut short, or in a new layout")
    return Resources(
        dsp=amounts["dsp"],
        lut=amounts["lut"],
        ff=amounts["ff"],
        bram18=2 * amounts["tiles"],
        uram=amounts.get("uram"),
    )


def _by_hierarchy(table: ParsedTable, source: FigureSource, layer_of: LayerOf) -> Iterator[Metric]:
    module = table.named("module")
    rows = whole_rows(table)
    if module is None or not rows:
        raise ReportError(table.path, "its hierarchy has no modules")
    top = _depth(rows[0])
    yield from _row(table, rows[0]).metrics(source)
    below = min((_depth(row) for row in rows[1:] if _depth(row) > top), default=None)
    names_taken: set[str] = set()
    for row in rows[1:]:
        instance = row[0].strip()
        if _depth(row) != below or instance.startswith("("):  # `(name)`: what is its own alone
            continue
        layer = layer_of(row[module])
        layer = instance if layer in names_taken or layer == row[module] else layer
        names_taken.add(layer)
        yield from _row(table, row).metrics(source, layer)


def _depth(row: tuple[str, ...]) -> int:
    return len(row[0]) - len(row[0].lstrip())


def _row(table: ParsedTable, row: tuple[str, ...]) -> Resources:
    def amount(*words: str) -> float:
        at = table.column(*words)
        value = None if at is None else count(row[at], table.path)
        if value is None:
            raise ReportError(table.path, f"its hierarchy counts no {words[0]!r}")
        return value

    return Resources(
        dsp=amount("dsp"),
        lut=amount("total luts"),
        ff=amount("ffs"),
        bram18=2 * amount("ramb36") + amount("ramb18"),
        uram=amount("uram") if table.column("uram") is not None else None,
    )


def exported_usage(path: Path) -> tuple[Metric, ...]:
    """Read `*_export.xml`, which an IP export leaves that also ran Vivado. Its BRAM is left out:
    versions count it in blocks of 18 or of 36 kbit, and do not say which."""
    root = xml_root(path)
    run = (root.findtext("RunData/RUN_TYPE") or "").strip().lower()
    if root.find("AreaReport/Resources") is None or root.find("TimingReport") is None:
        raise ReportError(path, "it has no AreaReport and TimingReport")
    state = LAID_OUT if run.startswith("impl") else GATES
    source = FigureSource(*state, TOOL, version_of(root.findtext("RunData/VIVADO_VERSION")))

    def amount(where: str) -> float | None:
        return count(root.findtext(where) or "", path)

    lut, ff = amount("AreaReport/Resources/LUT"), amount("AreaReport/Resources/FF")
    if lut is None or ff is None:
        raise ReportError(path, "it counts no LUTs or no flip-flops")
    dsp, uram = amount("AreaReport/Resources/DSP"), amount("AreaReport/Resources/URAM")
    clock = amount("TimingReport/AchievedClockPeriod")
    metrics = list(Resources(dsp=dsp, lut=lut, ff=ff, uram=uram).metrics(source))
    if clock is not None:
        metrics.append(source.metric("clock_ns", clock, "ns"))
    return tuple(metrics)
