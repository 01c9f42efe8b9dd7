# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An estimate layer by layer, and of what share of a device: for the terminal, and for machines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.estimate import HlsEstimate, estimate
from edgeinfer.targets.hls.estimate.reuse import (
    effective_strategy,
    layers_with_multipliers,
    reuse_of,
)
from edgeinfer.targets.hls.estimate.reuse_choice import COMPARED, COMPARED_INTEL, usage
from edgeinfer.targets.hls.estimate.sites import SITES
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.lessons import Correction, RunLesson, corrections, read_lessons
from edgeinfer.targets.power import power_metrics
from edgeinfer.targets.target import Description

MOST_LAYERS = 40  # in the table of a terminal


def describe_design(
    program: Program,
    settings: HlsSettings,
    device: Device,
    findings: tuple[str, ...],
    energy: Metric,
) -> Description:
    """What is estimated of a design whose goals are settled. energy: of its arithmetic."""
    design = estimate(program, settings, device)
    lessons = corrections("hls", design.family, read_lessons())
    corrected = [correct_metric(metric, lessons) for metric in design.metrics()]
    metrics = (*corrected, *energies_of(corrected, energy, settings.clock_ns, device))
    shares = _shares(design, device, metrics)
    document = {
        "model": program.summary,
        "device": device.as_dict(),
        "settings": {
            "target": "hls",
            "backend": settings.backend,
            "part": settings.part,
            "clock_ns": settings.clock_ns,
            "io": settings.io,
            "layers": {
                op.name: {
                    "strategy": effective_strategy(op.name, settings),
                    "reuse": reuse_of(op, settings),
                }
                for op in layers_with_multipliers(program)
            },
        },
        "family": design.family,
        "usage": shares,
        "metrics": [asdict(metric) for metric in metrics],
        "findings": list(findings),
    }
    lines = _lines(program, settings, device, design, metrics, shares, findings)
    return Description(document, lines)


def energies_of(
    metrics: Sequence[Metric], energy: Metric, clock_ns: float, device: Device
) -> tuple[Metric, ...]:
    """The energy of a design's arithmetic, and with what its part draws at rest from one inference
    to the next."""
    interval = next(each for each in metrics if each.name == "ii_cycles" and each.layer is None)
    cycles = max(interval.value, 1.0)
    ends = max(interval.low or 1.0, 1.0) / cycles, (interval.high or cycles) / cycles
    return (energy, *power_metrics(energy, device, cycles * clock_ns * 1e-9, ends))


def correct_metric(metric: Metric, lessons: Mapping[str, Correction]) -> Metric:
    """A figure as the user's own runs correct it, with how many they are; a layer's stays."""
    correction = lessons.get(metric.name)
    if correction is None or metric.layer is not None or metric.low is None or metric.high is None:
        return metric
    value, low, high = correction.apply(metric.value, metric.low, metric.high)
    value = float(round(value))
    origin_text = f"estimated, with {correction.runs} of your runs"
    return replace(
        metric, value=value, low=min(low, value), high=max(high, value), note=origin_text
    )


def compare_reports(
    program: Program, reports: Sequence[Metric], settings: HlsSettings, device: Device
) -> tuple[RunLesson, ...]:
    """Figures of a design that tools have reported, beside what is estimated of it."""
    reported: dict[str, float] = {}
    for metric in reports:
        if metric.origin is Origin.SYNTHESISED and metric.layer is None:
            reported.setdefault(metric.name, metric.value)
    if not reported:
        return ()
    design = estimate(program, settings, device)
    name = hashlib.sha256(f"{program.digest} {settings} {sorted(reported.items())}".encode())
    return tuple(
        RunLesson(name.hexdigest(), "hls", design.family, figure, float(value), reported[figure])
        for figure, value in design.figures().items()
        if figure in reported and figure != "latency_us"
    )


def _four_digits(value: float) -> str:
    """No estimate knows more; counts stay whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _shares(
    design: HlsEstimate, device: Device, metrics: Sequence[Metric]
) -> dict[str, dict[str, Any]]:
    """Of each kind that the device offers: used, with its band, and the share of it."""
    names = COMPARED_INTEL if design.intel else COMPARED
    shares = {}
    stated = {metric.name: metric for metric in metrics if metric.layer is None}
    for kind, (_, offered) in usage(design, device).items():
        metric = stated[names[kind]]
        used, low, high = metric.value, metric.low, metric.high
        share = used / offered if offered else (0.0 if not used else float("inf"))
        shares[kind] = {
            "used": round(used, 3), "low": low, "high": high, "offered": offered,
            "share": round(share, 4),
        }  # fmt: skip
    return shares


def fit_words(shares: dict[str, dict[str, Any]]) -> str:
    """Whether the device holds the design, by the bands; what would settle it, where they do not
    say."""

    def list_bands(kinds: list[str]) -> str:
        return ", ".join(
            f"{kind.upper()} {shares[kind]['low']:,.0f} to {shares[kind]['high']:,.0f} of "
            f"{shares[kind]['offered']:,}"
            for kind in kinds
        )

    beyond = [kind for kind, each in shares.items() if each["low"] > each["offered"]]
    if beyond:
        return f"no: {list_bands(beyond)}"
    unsure = [kind for kind, each in shares.items() if each["high"] > each["offered"]]
    if not unsure:
        return "yes: all bands end below what the device offers"
    over = any(shares[kind]["used"] > shares[kind]["offered"] for kind in unsure)
    return (
        f"probably{' not' if over else ''}: {list_bands(unsure)}; synthesis would settle it "
        "(edgeinfer compile --target hls --synth --vsynth)"
    )


def _lines(
    program: Program,
    settings: HlsSettings,
    device: Device,
    design: HlsEstimate,
    metrics: Sequence[Metric],
    shares: dict[str, dict[str, Any]],
    findings: tuple[str, ...],
) -> tuple[str, ...]:
    lines = [
        f"{program.name} on {device.name} ({settings.part}), {settings.backend}, "
        f"{settings.io}, {settings.clock_ns:g} ns: estimated, no tool was run",
        "",
        f"{'layer':<28} {'kind':<9} {'reuse':>6} {'DSP':>8} {'LUT':>10} {'FF':>10} {'BRAM18':>7} "
        f"{'cycles':>8}",
    ]
    for layer in design.layers[:MOST_LAYERS]:
        lines.append(
            f"{layer.name[:28]:<28} {layer.kind:<9} {layer.reuse:>6} {layer.dsp:>8,.0f} "
            f"{layer.lut:>10,.0f} {layer.ff:>10,.0f} {layer.bram18:>7,.0f} "
            f"{layer.latency_cycles:>8,}"
        )
    if len(design.layers) > MOST_LAYERS:
        lines.append(f"... and {len(design.layers) - MOST_LAYERS} more, all of them with --json")
    lines.append("")
    for metric in metrics:
        if metric.layer is None:
            assert metric.low is not None and metric.high is not None, "an estimate has a band"
            lines.append(
                f"{metric.name:<17} {_four_digits(metric.value):>12} {metric.unit:<7} "
                f"between {_four_digits(metric.low)} and {_four_digits(metric.high)}"
                + (f", {metric.state}" if metric.state else "")
                + (f"; {metric.note}" if metric.note else "")
            )
    listed = [
        f"{kind.upper()} {entry['share']:.1%} of {entry['offered']:,.0f}"
        for kind, entry in shares.items()
    ]
    lines += ["", f"of the device   {', '.join(listed)} (LUT and FF after logic synthesis)"]
    lines.append(f"fits            {fit_words(shares)}")
    bands = (
        "are wider than those of any published design, for none has such blocks"
        if design.family == SITES
        else f"hold nine tenths of a published source's figures, left out (kind {design.family!r})"
    )
    lines.append(f"bands           {bands}; docs/estimate.md")
    return (*lines, *(f"finding         {finding}" for finding in findings))
