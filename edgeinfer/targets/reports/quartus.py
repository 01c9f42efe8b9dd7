# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quartus's own reports: `*.fit.summary`, and the fastest clocks in `*.sta.rpt`."""

from __future__ import annotations

import re
from pathlib import Path

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.cells import ReportError, count, field, report_text, version_of
from edgeinfer.targets.reports.figures import FigureSource, Resources
from edgeinfer.targets.reports.intel import memory_of

TOOL = "Quartus"
USED = {
    "alm": (
        "Logic utilization (in ALMs)",
        "Logic utilization (ALMs needed / total ALMs on device)",
    ),
    "lut": ("Total combinational functions",),  # devices whose logic elements are no ALMs
    "ff": ("Total registers", "Total dedicated logic registers", "Total block registers"),
    "ram": ("Total RAM Blocks",),
    "dsp": ("Total DSP Blocks",),
}
FMAX = re.compile(r"^;\s*([\d.]+) MHz\s*;\s*([\d.]+) MHz\s*;\s*([^;]+?)\s*;", re.M)
WORST_SLACK = re.compile(r"^Type\s*:\s*.*\bSetup\b.*\nSlack\s*:\s*(-?[\d.]+)\s*$", re.M)


def fit_summary(path: Path) -> tuple[Metric, ...]:
    """Read a fitter's summary: what the routed design occupies."""
    text = _ended_lines(report_text(path))
    status = field(text, "Fitter Status")
    if status is None:
        raise ReportError(path, "it states no fitter status")
    if not status.startswith("Successful"):
        raise ReportError(path, f"the fitter says {status!r}")
    amounts: dict[str, float | None] = {}
    for name, labels in USED.items():
        cells = [cell for label in labels if (cell := field(text, label)) is not None]
        if cells:
            kind = memory_of(field(text, "Family") or "") if name == "ram" else name
            amounts[kind] = count(cells[0].partition("/")[0], path)
    if (amounts.get("alm") is None and amounts.get("lut") is None) or amounts.get("ff") is None:
        raise ReportError(path, "it counts no logic or no registers")
    version = version_of(
        field(text, "Quartus Prime Version") or field(text, "Quartus II 64-Bit Version")
    )
    return tuple(
        Resources(**amounts).metrics(
            FigureSource(Origin.ROUTED, DesignState.ROUTING, TOOL, version)
        )
    )


def _ended_lines(text: str) -> str:
    """The text without a last line that may have been cut: its number could be another."""
    whole = text.endswith(("\n", ")"))
    return text if whole else text[: text.rfind("\n") + 1]


def timing_report(path: Path) -> tuple[Metric, ...]:
    """Read a timing report: the period of the slowest clock at the slowest corner."""
    text = report_text(path)
    if "Fmax Summary" not in text or "Timing Analyzer was successful" not in text:
        raise ReportError(path, "it has no fastest clocks, or no word that the analysis ended")
    fastest = [float(match[2]) for match in FMAX.finditer(text)]
    if not fastest or min(fastest) <= 0:
        return ()
    version = version_of(field(text, "Quartus Prime Version") or _banner(text))
    source = FigureSource(Origin.ROUTED, DesignState.ROUTING, TOOL, version)
    return (source.metric("clock_ns", 1e3 / min(fastest), "ns"),)


def _banner(text: str) -> str | None:
    match = re.search(r"Version\s+(\d+(?:\.\d+)+\S*) Build", text)
    return match[1] if match else None


def slack_summary(path: Path) -> tuple[Metric, ...]:
    """Read `*.sta.summary`: the worst setup slack over clocks and corners."""
    text = report_text(path)
    slacks = [float(value) for value in WORST_SLACK.findall(text)]
    if not slacks or not re.search(r"\n-{20,}\s*\Z", text):
        raise ReportError(path, "it has no setup slack, or does not end with its rule")
    return (
        FigureSource(Origin.ROUTED, DesignState.ROUTING, TOOL).metric("wns_ns", min(slacks), "ns"),
    )
