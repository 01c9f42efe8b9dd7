# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An estimate layer by layer, and of what share of a device: for the terminal, and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.estimate import HlsEstimate, band, estimate
from edgeinfer.targets.hls.estimate.reuse import (
    effective_strategy,
    layers_with_multipliers,
    reuse_of,
)
from edgeinfer.targets.hls.estimate.reuse_choice import COMPARED, COMPARED_INTEL, usage
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.target import Description

MOST_LAYERS = 40  # in the table of a terminal


def describe_design(
    program: Program, settings: HlsSettings, device: Device, findings: tuple[str, ...]
) -> Description:
    """What is estimated of a design whose goals are settled."""
    made = estimate(program, settings, device)
    shares = _shares(made, device)
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
        "family": made.family,
        "usage": shares,
        "metrics": [asdict(metric) for metric in made.metrics()],
        "findings": list(findings),
    }
    return Description(document, _lines(program, settings, device, made, shares, findings))


def _shares(made: HlsEstimate, device: Device) -> dict[str, dict[str, float]]:
    """Of each kind that the device offers: used, with its band, and the share of it."""
    names = COMPARED_INTEL if made.intel else COMPARED
    found = {}
    for kind, (used, offered) in usage(made, device).items():
        low, high = band(made.family, names[kind], used)
        share = used / offered if offered else (0.0 if not used else float("inf"))
        found[kind] = {
            "used": round(used, 3), "low": low, "high": high, "offered": offered,
            "share": round(share, 4),
        }  # fmt: skip
    return found


def _lines(
    program: Program,
    settings: HlsSettings,
    device: Device,
    made: HlsEstimate,
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
    for layer in made.layers[:MOST_LAYERS]:
        lines.append(
            f"{layer.name[:28]:<28} {layer.kind:<9} {layer.reuse:>6} {layer.dsp:>8,.0f} "
            f"{layer.lut:>10,.0f} {layer.ff:>10,.0f} {layer.bram18:>7,.0f} "
            f"{layer.latency_cycles:>8,}"
        )
    if len(made.layers) > MOST_LAYERS:
        lines.append(f"... and {len(made.layers) - MOST_LAYERS} more, all of them with --json")
    lines.append("")
    for metric in made.metrics():
        if metric.layer is None:
            lines.append(
                f"{metric.name:<15} {metric.value:>14,.6g} {metric.unit:<7} "
                f"between {metric.low:,.6g} and {metric.high:,.6g}"
            )
    listed = [
        f"{kind.upper()} {entry['share']:.1%} of {entry['offered']:,.0f}"
        for kind, entry in shares.items()
    ]
    lines += ["", f"of the device   {', '.join(listed)} (LUT and FF after logic synthesis)"]
    lines.append(
        f"bands           hold nine tenths of published designs of the kind {made.family!r}, "
        "each left out; docs/estimate.md"
    )
    return (*lines, *(f"finding         {finding}" for finding in findings))
