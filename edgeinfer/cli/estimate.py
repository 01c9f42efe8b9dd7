# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of costs: ``estimate`` and ``devices``."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.targets import EdgeTpuOptions, Goals, HlsOptions, RtlOptions, chosen, routes_for
from edgeinfer.cli.terminal import answer
from edgeinfer.cli.verbs import Json, ModelFile, RecipeFile

if TYPE_CHECKING:
    from edgeinfer.base.devices import Device
    from edgeinfer.run.estimate import Figures, HlsFigures

MOST_LAYERS = 40  # in the table of a terminal


def devices(*, json: Json = False) -> None:
    """Parts and boards with their budgets, and where the figures stand."""
    from edgeinfer.base import devices as known

    rows = [device.as_dict() for device in known.devices()]
    lines = [_described(device) for device in known.devices()]
    answer(json_text.dumps(rows, indent=2), "\n".join(lines), as_json=json)


def estimate(
    model: ModelFile,
    /,
    *,
    target: Annotated[
        str | None, Parameter(help="hls, rtl or edgetpu; without it, what the device is for")
    ] = None,
    bits: Annotated[
        int | None, Parameter(help="width for a model that states no formats; 16 without it")
    ] = None,
    recipe: RecipeFile = None,
    goals: Goals = Goals(),  # noqa: B008  # immutable
    hls: HlsOptions = HlsOptions(),  # noqa: B008  # immutable
    rtl: RtlOptions = RtlOptions(),  # noqa: B008  # immutable
    edgetpu: EdgeTpuOptions = EdgeTpuOptions(),  # noqa: B008  # immutable
    arithmetic: Annotated[
        Literal["exact", "hls4ml"],
        Parameter(
            help="hls: exact, the bit-exact project; hls4ml, with accumulators cut to the layer's "
            "type and tables of 1,024 entries, as hls4ml makes by itself"
        ),
    ] = "exact",
    json: Json = False,
) -> None:
    """Latency and resources without any tool, in seconds, each with its error band."""
    from edgeinfer.run.estimate import estimate_hls, estimate_target
    from edgeinfer.targets.hls.estimate.stage import Arithmetic

    routes_for(rtl, route=False)
    name = _target_for(goals) if target is None else target
    (wanted,) = chosen([name], goals, hls=hls, rtl=rtl, edgetpu=edgetpu)
    if name == "hls":
        found = estimate_hls(
            model, wanted.settings, bits=bits, recipe=recipe, arithmetic=Arithmetic(arithmetic)
        )
        answer(json_text.dumps(found.as_dict(), indent=2), _told(found), as_json=json)
        return
    if arithmetic != "exact":
        raise UsageError("--arithmetic is an option of the target hls.", hint="Leave it out.")
    figures = estimate_target(model, wanted, bits=bits, recipe=recipe)
    answer(json_text.dumps(figures.as_dict(), indent=2), _listed(figures), as_json=json)


def _target_for(goals: Goals) -> str:
    """The target that the device is for; hls where several are, or none is named."""
    from edgeinfer.base.devices import device
    from edgeinfer.targets.registry import known

    if not goals.device:
        return "hls"
    part = device(goals.device[0])
    fits = [name for name, entry in known().items() if entry.on_device(part, part.name) is not None]
    return fits[0] if fits else "hls"


def _listed(found: Figures) -> str:
    where = f" on {found.device.name}" if found.device else ""
    lines = [f"{found.program.name}{where}, target {found.target}: no tool was run", ""]
    rows = [metric for metric in found.metrics if metric.layer is None]
    width = max((len(metric.name) for metric in rows), default=0)
    for metric in rows:
        band = ""
        if metric.low is not None and metric.high is not None:
            band = f", between {metric.low:,.6g} and {metric.high:,.6g}"
        lines.append(
            f"{metric.name:<{width}} {metric.value:>14,.6g} {metric.unit:<9} {metric.origin}{band}"
        )
    layers = {metric.layer for metric in found.metrics if metric.layer}
    if layers:
        lines.append(f"figures of {len(layers)} layers are told with --json")
    return "\n".join([*lines, *(f"finding {finding}" for finding in found.findings)])


def _told(found: HlsFigures) -> str:
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
