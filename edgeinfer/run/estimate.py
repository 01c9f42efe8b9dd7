# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's cost on a target without any tool: its Program, the settings, figures with bands."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base import devices
from edgeinfer.base.metrics import Metric
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.run.defaults import plain
from edgeinfer.run.emit import refused
from edgeinfer.run.lower import lowered_as_asked
from edgeinfer.run.samples import Simulation, samples_of
from edgeinfer.targets.hls.estimate.estimate import Estimate, band, estimate
from edgeinfer.targets.hls.estimate.reuse import (
    effective_strategy,
    layers_with_multipliers,
    reuse_of,
)
from edgeinfer.targets.hls.estimate.reuse_choice import COMPARED, COMPARED_INTEL, usage
from edgeinfer.targets.hls.estimate.stage import Arithmetic
from edgeinfer.targets.hls.preflight import preflight
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.registry import Chosen
from edgeinfer.targets.target import Advises, Placed, Settles, Suits
from edgeinfer.zoo import ENTRIES, is_name, resolve


@dataclass(frozen=True, slots=True)
class Figures:
    """What a target says of a Program."""

    program: Program
    target: str
    settings: Any
    device: devices.Device | None
    metrics: tuple[Metric, ...]
    findings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": _model(self.program),
            "device": None if self.device is None else self.device.as_dict(),
            "settings": {"target": self.target, **asdict(self.settings)},
            "metrics": [asdict(metric) for metric in self.metrics],
            "findings": list(self.findings),
        }


def _model(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "parameters": program.parameters,
        "macs": program.macs,
        "program": program.digest,
    }


@dataclass(frozen=True, slots=True)
class HlsFigures:
    """What is estimated of an HLS design, layer by layer, and of what share of a device."""

    program: Program
    settings: HlsSettings
    device: devices.Device
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
            "model": _model(self.program),
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


def program_for(
    model: Path, bits: int | None, recipe: Path | None, suits: Sequence[Suits] = ()
) -> tuple[Program, list[str]]:
    """A model's Program, and what was assumed to get it."""
    if is_name(model) and ENTRIES[str(model)].reference is None:
        return _untrained(str(model), bits, recipe, suits)
    found = load(resolve(model))
    simulation = Simulation(str(model))
    shown = (lambda: samples_of(simulation, found.graph)) if is_name(model) else None
    loaded, lowered = lowered_as_asked(
        found, recipe, None if bits is None else plain(bits), shown, suits
    )
    return lowered.program, [*loaded.findings, *lowered.findings]


def _untrained(
    name: str, bits: int | None, recipe: Path | None, suits: Sequence[Suits]
) -> tuple[Program, list[str]]:
    """A reference model whose weights do not ship, with fresh ones: costs hardly differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.keras"
        ENTRIES[name].build().save(path)
        program, findings = program_for(path, bits, recipe, suits)
    said = f"{name}: its weights do not ship with the package; these figures are for fresh ones."
    return program, [said, *findings]


def estimate_hls(
    model: Path,
    settings: HlsSettings,
    *,
    bits: int | None = None,
    recipe: Path | None = None,
    arithmetic: Arithmetic = Arithmetic.EXACT,
) -> HlsFigures:
    """A model as an HLS design; where the settings state a goal, reuse factors are chosen first."""
    device = devices.device(settings.part)
    program, findings = program_for(model, bits, recipe)
    settings = HlsTarget().settled(program, settings)
    made = estimate(program, settings, device, arithmetic=arithmetic)
    found = (*findings, *preflight(program, settings, device))
    return HlsFigures(program, settings, device, made, found)


def estimate_target(
    model: Path, chosen: Chosen, *, bits: int | None = None, recipe: Path | None = None
) -> Figures:
    """A model on any target, as that says itself."""
    target, settings = chosen.entry.make(), chosen.settings
    suits = (target,) if isinstance(target, Suits) else ()
    program, said = program_for(model, bits, recipe, suits)
    refused(program, chosen)
    if isinstance(target, Settles):
        settings = target.settled(program, settings)
    advice = target.advice(program, settings) if isinstance(target, Advises) else ()
    device = target.place_of(settings).device if isinstance(target, Placed) else None
    metrics = target.estimate(program, settings)
    return Figures(program, chosen.name, settings, device, metrics, (*said, *advice))
