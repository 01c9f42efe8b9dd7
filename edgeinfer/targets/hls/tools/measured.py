# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""All reports of an emitted folder, read: what the vendor's tools said of the design there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.hls.settings import Backend, HlsSettings
from edgeinfer.targets.hls.tools.project import Project, project
from edgeinfer.targets.reports.cosim import cosim, cosim_metrics, with_transactions
from edgeinfer.targets.reports.csynth import Synthesis, csynth_metrics
from edgeinfer.targets.reports.csynth_text import csynth_text
from edgeinfer.targets.reports.csynth_tree import csynth_tree
from edgeinfer.targets.reports.csynth_xml import csynth_xml
from edgeinfer.targets.reports.figures import FigureSource
from edgeinfer.targets.reports.intel import intel_metrics
from edgeinfer.targets.reports.quartus import fit_summary, slack_summary, timing_report
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import exported_usage, vivado_usage

OF_GATES = {"lut": "lut_vsynth", "ff": "ff_vsynth"}


def read_measurements(folder: Path, settings: HlsSettings) -> tuple[Metric, ...]:
    """The metrics of every report in an emitted folder; none where no tool ran. A report that
    cannot be read to its end is an error, not a gap."""
    files = project(folder, settings.backend)
    if settings.backend is Backend.QUARTUS:
        return tuple(_intel(files, settings))
    return tuple(_amd(files, settings.clock_ns))


def _amd(files: Project, clock_ns: float) -> Iterator[Metric]:
    synthesis = read_synthesis(files)
    if synthesis is not None:
        yield from csynth_metrics(synthesis, files.layer_of)
    if files.cosim.is_file() and (simulated := cosim(files.cosim)) is not None:
        if simulated.passed and files.transactions.is_file():
            simulated = with_transactions(simulated, files.transactions)
        tool = synthesis.tool if synthesis else f"{files.backend} HLS"
        version = synthesis.version if synthesis else None
        clock = (synthesis and synthesis.clock_target_ns) or clock_ns
        yield from cosim_metrics(
            simulated, FigureSource(Origin.SIMULATED, DesignState.NONE, tool, version), clock
        )
    for path in _each(files.folder, "vivado_synth.rpt", "util.rpt", "*utilization*.rpt"):
        if "clock" not in path.name:  # which clock buffers are used is another report
            yield from _of_gates(vivado_usage(path, files.layer_of))
    for path in _each(files.folder, files.routed.name, "*timing_summary*.rpt"):
        yield from vivado_timing(path)
    for path in _each(files.solution / "impl" / "report", "*/*export*.xml"):
        yield from _of_gates(exported_usage(path))


def _of_gates(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """What logic synthesis counts is much less than what C synthesis foresees: LUTs and flip-flops
    have other names there."""
    for metric in metrics:
        yield replace(metric, name=OF_GATES.get(metric.name, metric.name))


def read_synthesis(files: Project) -> Synthesis | None:
    """What the C synthesis reported, if it ran: the design by its XML, its modules by text."""
    text = files.csynth.with_suffix(".rpt")
    xmls = (files.csynth.with_suffix(".xml"), files.tree.with_suffix(".xml"))
    top = next((csynth_xml(path) for path in xmls if path.is_file()), None)
    detail = csynth_text(text) if text.is_file() else None
    if detail is None and files.tree.is_file():
        detail = csynth_tree(files.tree)
    if top is None or detail is None:
        return top or detail
    return replace(
        top, tool=detail.tool, version=detail.version or top.version, modules=detail.modules
    )


def _intel(files: Project, settings: HlsSettings) -> Iterator[Metric]:
    """The compiler's account first: what it says of the fit is of the component alone, without
    the frame that Quartus compiled it in, so Quartus's own reports only add to it."""
    reports = files.intel / "reports"
    metrics: tuple[Metric, ...] = ()
    if (reports / "lib").is_dir():
        metrics = intel_metrics(reports, settings.clock_ns, settings.part)
    yield from metrics
    names = {metric.name for metric in metrics if metric.origin is Origin.ROUTED}
    for pattern, read in (
        ("*.fit.summary", fit_summary),
        ("*.sta.rpt", timing_report),
        ("*.sta.summary", slack_summary),
    ):
        for path in _each(files.intel / "quartus", pattern, f"*/{pattern}"):
            yield from (metric for metric in read(path) if metric.name not in names)


def _each(folder: Path, *patterns: str) -> list[Path]:
    """The files below a folder that match one of the patterns, in order of their names."""
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})
