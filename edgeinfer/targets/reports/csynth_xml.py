# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`<name>_csynth.xml` of Vivado HLS and Vitis HLS: the design's summary, without its modules."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from edgeinfer.targets.reports.cells import ReportError, count, nanoseconds, xml_root
from edgeinfer.targets.reports.csynth import Synthesis
from edgeinfer.targets.reports.figures import CycleRange, Resources, check_order

TIMING = "PerformanceEstimates/SummaryOfTimingAnalysis"
LATENCY = "PerformanceEstimates/SummaryOfOverallLatency"
USED = "AreaEstimates/Resources"


def csynth_xml(path: Path) -> Synthesis:
    """Read the report of one module."""
    root = xml_root(path)
    for needed in ("UserAssignments", TIMING, LATENCY, USED):
        if root.find(needed) is None:
            raise ReportError(path, f"it has no {needed}")
    dsp48 = root.find(f"{USED}/DSP48E") is not None
    return Synthesis(
        top=_text(root, "UserAssignments/TopModelName"),
        tool="Vivado HLS" if dsp48 else "Vitis HLS",
        version=_text(root, "ReportVersion/Version") or None,
        part=_text(root, "UserAssignments/Part"),
        clock_target_ns=_time(root, "UserAssignments/TargetClockPeriod", path),
        clock_ns=_time(root, f"{TIMING}/EstimatedClockPeriod", path),
        latency=_span(root, f"{LATENCY}/Best-caseLatency", f"{LATENCY}/Worst-caseLatency", path),
        interval=_span(root, f"{LATENCY}/Interval-min", f"{LATENCY}/Interval-max", path),
        resources=Resources(
            dsp=_count(root, f"{USED}/{'DSP48E' if dsp48 else 'DSP'}", path),
            lut=_needed_number(root, f"{USED}/LUT", path),
            ff=_needed_number(root, f"{USED}/FF", path),
            bram18=_count(root, f"{USED}/BRAM_18K", path),
            uram=_count(root, f"{USED}/URAM", path),
        ),
        latency_ns=CycleRange(
            _time(root, f"{LATENCY}/Best-caseRealTimeLatency", path),
            _time(root, f"{LATENCY}/Worst-caseRealTimeLatency", path),
        ),
        modules=(),
    )


def _text(root: ElementTree.Element, where: str) -> str:
    return (root.findtext(where) or "").strip()


def _count(root: ElementTree.Element, where: str, path: Path) -> float | None:
    return count(_text(root, where), path)


def _needed_number(root: ElementTree.Element, where: str, path: Path) -> float:
    number = _count(root, where, path)
    if number is None:
        raise ReportError(path, f"it has no number at {where}")
    return number


def _time(root: ElementTree.Element, where: str, path: Path) -> float | None:
    return nanoseconds(_text(root, where), path)


def _span(root: ElementTree.Element, least: str, most: str, path: Path) -> CycleRange:
    return check_order(CycleRange(_count(root, least, path), _count(root, most, path)), path)
