# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of costs: ``estimate`` and ``devices``."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.cli_terminal import answer
from edgeinfer.cli_verbs import Json, ModelFile, RecipeFile

if TYPE_CHECKING:
    from edgeinfer.devices import Device
    from edgeinfer.run_estimate import Estimated

DEVICE = "xczu7ev"  # where none is named
MOST_LAYERS = 40  # in the table of a terminal
Backends = Literal["Vitis", "Vivado", "Quartus", "oneAPI", "Catapult", "Libero"]


def devices(*, json: Json = False) -> None:
    """Parts and boards with their budgets, and where the figures stand."""
    from edgeinfer import devices as known

    rows = [device.as_dict() for device in known.devices()]
    lines = [_described(device) for device in known.devices()]
    answer(json_text.dumps(rows, indent=2), "\n".join(lines), as_json=json)


def estimate(
    model: ModelFile,
    /,
    *,
    device: Annotated[str, Parameter(help="a part or a board, see edgeinfer devices")] = DEVICE,
    target: Annotated[Literal["hls"], Parameter(help="hls: the design that hls4ml makes")] = "hls",
    bits: Annotated[
        int | None, Parameter(help="width for a model that states no formats; 16 without it")
    ] = None,
    recipe: RecipeFile = None,
    io: Annotated[
        Literal["io_stream", "io_parallel"],
        Parameter(help="positions one after the other, or all elements at once"),
    ] = "io_stream",
    strategy: Annotated[
        Literal["latency", "resource", "distributed_arithmetic"],
        Parameter(help="what multiplications are arranged for"),
    ] = "latency",
    reuse: Annotated[int, Parameter(help="multiplications that share a multiplier")] = 1,
    clock_ns: Annotated[float, Parameter(help="the clock's period")] = 5.0,
    latency_us: Annotated[
        float | None,
        Parameter(help="choose reuse factors: the smallest design that is done in this time"),
    ] = None,
    fit: Annotated[
        bool, Parameter(negative="", help="choose reuse factors: the fastest design that fits")
    ] = False,
    backend: Annotated[Backends, Parameter(help="whose compiler the project is for")] = "Vitis",
    arithmetic: Annotated[
        Literal["exact", "hls4ml"],
        Parameter(
            help="exact: the bit-exact project; hls4ml: with accumulators cut to the layer's type "
            "and tables of 1,024 entries, as hls4ml makes by itself"
        ),
    ] = "exact",
    json: Json = False,
) -> None:
    """Latency and resources without any tool, in seconds, each with its error band."""
    from edgeinfer import devices as known
    from edgeinfer.run_estimate import estimate_model
    from edgeinfer.targets.hls.estimate_stage import Arithmetic
    from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType, Strategy

    part = known.device(device)
    settings = HlsSettings(
        Backend(backend),
        known.part_of(device),
        clock_ns,
        IoType(io),
        Strategy(strategy),
        reuse,
    )
    found = estimate_model(
        model,
        settings,
        part,
        bits=bits,
        recipe=recipe,
        latency_us=latency_us,
        fit=fit,
        arithmetic=Arithmetic(arithmetic),
    )
    answer(json_text.dumps(found.as_dict(), indent=2), _told(found), as_json=json)


def _told(found: Estimated) -> str:
    settings, made = found.settings, found.estimate
    lines = [
        f"{found.program.name} on {found.device.name} ({settings.part}), {settings.backend}, "
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
    shares = [
        f"{kind.upper()} {entry['share']:.1%} of {entry['offered']:,.0f}"
        for kind, entry in found.shares().items()
    ]
    lines += ["", f"of the device   {', '.join(shares)} (LUT and FF after logic synthesis)"]
    lines.append(
        f"bands           from published designs of the kind {made.family!r}; docs/estimate.md"
    )
    lines += [f"finding         {finding}" for finding in found.findings]
    return "\n".join(lines)


def _described(device: Device) -> str:
    budget = ", ".join(f"{count:,} {kind}" for kind, count in device.budget.items())
    boards = f" ({', '.join(device.boards)})" if device.boards else ""
    return f"{device.name:<10} {device.vendor} {device.family}, {device.part}{boards}: {budget}"
