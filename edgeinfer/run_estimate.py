# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's cost on a device without any tool: its Program, the settings, figures with bands."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.devices import Device
from edgeinfer.errors import UsageError
from edgeinfer.ir.program import Program
from edgeinfer.load import load
from edgeinfer.run_lower import lowered_as_asked
from edgeinfer.run_samples import Simulation, samples_of
from edgeinfer.targets.hls.estimate import Estimate, band, estimate
from edgeinfer.targets.hls.estimate_stage import Arithmetic
from edgeinfer.targets.hls.preflight import preflight
from edgeinfer.targets.hls.reuse import effective_strategy, layers_with_multipliers, reuse_of
from edgeinfer.targets.hls.reuse_choice import COMPARED, COMPARED_INTEL, chosen, usage
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.zoo import ENTRIES, is_name, resolve


@dataclass(frozen=True, slots=True)
class Estimated:
    """What the verb answers."""

    program: Program
    settings: HlsSettings
    device: Device
    estimate: Estimate
    findings: tuple[str, ...]

    def shares(self) -> dict[str, dict[str, float]]:
        """Of each kind that the device offers: used, with its band, and the share of it."""
        names = COMPARED_INTEL if self.estimate.intel else COMPARED
        found = {}
        for kind, (used, offered) in usage(self.estimate, self.device).items():
            low, high = band(self.estimate.family, names[kind], used)
            share = used / offered if offered else (0.0 if not used else float("inf"))
            found[kind] = {
                "used": round(used, 3), "low": low, "high": high, "offered": offered,
                "share": round(share, 4),
            }  # fmt: skip
        return found

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        layers = layers_with_multipliers(self.program)
        settings = self.settings
        return {
            "model": {
                "name": self.program.name,
                "parameters": self.program.parameters,
                "macs": self.program.macs,
                "program": self.program.digest,
            },
            "device": self.device.as_dict(),
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
                    for op in layers
                },
            },
            "family": self.estimate.family,
            "usage": self.shares(),
            "metrics": [asdict(metric) for metric in self.estimate.metrics()],
            "findings": list(self.findings),
        }


def program_for(model: Path, bits: int | None, recipe: Path | None) -> tuple[Program, list[str]]:
    """A model's Program, and what was assumed to get it."""
    if is_name(model) and ENTRIES[str(model)].reference is None:
        return _untrained(str(model), bits, recipe)
    found = load(resolve(model))
    shown = None
    if is_name(model):
        shown = lambda: samples_of(Simulation(str(model)), found.graph)  # noqa: E731
    loaded, lowered = lowered_as_asked(found, recipe, bits, shown)
    return lowered.program, [*loaded.findings, *lowered.findings]


def _untrained(name: str, bits: int | None, recipe: Path | None) -> tuple[Program, list[str]]:
    """A reference model whose weights do not ship, with fresh ones: costs hardly differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.keras"
        ENTRIES[name].build().save(path)
        program, findings = program_for(path, bits, recipe)
    said = f"{name}: its weights do not ship with the package; these figures are for fresh ones."
    return program, [said, *findings]


def estimate_model(
    model: Path,
    settings: HlsSettings,
    device: Device,
    *,
    bits: int | None = None,
    recipe: Path | None = None,
    latency_us: float | None = None,
    fit: bool = False,
    arithmetic: Arithmetic = Arithmetic.EXACT,
) -> Estimated:
    """A model's figures; with a latency, or to fit the device, reuse factors are chosen first."""
    if not any(device.offers(kind) for kind in ("lut", "alm")):
        raise UsageError(
            f"{device.name} is no FPGA, so an HLS design cannot be estimated for it.",
            hint="edgeinfer devices lists the parts.",
        )
    program, findings = program_for(model, bits, recipe)
    if latency_us is not None or fit:
        settings = chosen(program, settings, device, latency_us=latency_us).settings
    made = estimate(program, settings, device, arithmetic=arithmetic)
    found = (*findings, *preflight(program, settings, device))
    return Estimated(program, replace(settings), device, made, found)
