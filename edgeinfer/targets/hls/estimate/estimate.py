# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Latency and resources of the HLS design of a Program, without any tool, each with its band.

The figures stand for what the HLS tool reports after C synthesis. `lut_vsynth` and `ff_vsynth`
stand for what is left after logic synthesis, which shares and trims. ``docs/estimate.md`` says
what is modelled and how far it was off on published designs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgeinfer.base.devices import Device
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.design import Design, design_of
from edgeinfer.targets.hls.estimate.fabric import HlsTool, Store, constants, fabric
from edgeinfer.targets.hls.estimate.flow import DesignTiming, is_one_pipeline, timing
from edgeinfer.targets.hls.estimate.loop import LOOP
from edgeinfer.targets.hls.estimate.reuse import effective_strategy
from edgeinfer.targets.hls.estimate.sites import SITES
from edgeinfer.targets.hls.estimate.stage import Arrangement, GateCost, HardwareStage
from edgeinfer.targets.hls.settings import HlsSettings, Strategy

TOOL = "edgeinfer"
UNITS = {
    "latency_cycles": "cycles",
    "ii_cycles": "cycles",
    "latency_us": "us",
    "dsp": "DSP",
    "lut": "LUT",
    "ff": "FF",
    "bram18": "BRAM18",
    "lut_vsynth": "LUT",
    "ff_vsynth": "FF",
    "dsp_vsynth": "DSP",
    "alm": "ALM",
    "m20k": "M20K",
    "m10k": "M10K",
}
AFTER_GATES = "_vsynth"
RESOURCES = ("dsp", "lut", "ff", "bram18")
CALLED = {  # figures whose errors are those of another one
    "alm": "lut_vsynth",
    "m20k": "bram18",
    "m10k": "bram18",
}
INTEL_MEMORY_KBIT = {"m20k": 20, "m10k": 10}
ELSEWHERE = "no published design"  # the family of whatever was never compared
UNSEEN = 2.0  # times that ends lie further off where blocks were never seen in any tool's report


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """One layer's hardware, with the FIFOs that it writes to."""

    name: str
    kind: str
    dsp: float
    lut: float
    ff: float
    bram18: float
    latency_cycles: int
    reuse: int
    fifo_bram18: float = 0.0  # how much of the block RAM is FIFOs
    after: GateCost | None = None  # what logic synthesis leaves, where that is known apart


@dataclass(frozen=True, slots=True)
class HlsEstimate:
    """A whole design's figures."""

    family: str  # of designs with which it shares its error band
    timing: DesignTiming
    clock_ns: float
    dsp: float
    lut: float
    ff: float
    bram18: float
    layers: tuple[LayerEstimate, ...]
    memory: str | None = None  # what Intel's part has in place of block RAM

    @property
    def intel(self) -> bool:
        """Whether the part counts ALMs in place of LUTs."""
        return self.memory is not None

    def figures(self, fit: dict[str, float] | None = None) -> dict[str, float]:
        """By the metrics' names; with other constants than those that ship."""
        fit = fit if fit is not None else constants()["fit"]
        values = {
            "latency_cycles": float(self.timing.latency_cycles),
            "ii_cycles": float(self.timing.ii_cycles),
            "latency_us": self.timing.latency_cycles * self.clock_ns / 1000,
        }
        apart = [layer for layer in self.layers if layer.after is not None]
        afters = [layer.after for layer in apart if layer.after is not None]
        after = {
            "dsp_vsynth": self.dsp + _difference(apart, "dsp"),
            "lut_vsynth": (self.lut - sum(layer.lut for layer in apart)) * fit["lut_vsynth"]
            + sum(layer.lut for layer in afters),
            "ff_vsynth": (self.ff - sum(layer.ff for layer in apart)) * fit["ff_vsynth"]
            + sum(layer.ff for layer in afters),
        }
        if self.memory is not None:
            return values | {
                "dsp": math.ceil(self.dsp / 2),  # a block multiplies two pairs of 18 x 19 bits
                "alm": after["lut_vsynth"] / 2,  # an ALM holds two bits of an adder
                "ff": after["ff_vsynth"],
                self.memory: math.ceil(self.bram18 * 18 / INTEL_MEMORY_KBIT[self.memory]),
            }
        own = {"dsp": self.dsp, "lut": self.lut, "ff": self.ff, "bram18": self.bram18}
        return values | own | after

    def metrics(self) -> tuple[Metric, ...]:
        """The design's, then each layer's."""
        metrics = [self._metric(name, value) for name, value in self.figures().items()]
        if self.intel:
            return tuple(metrics)
        for layer in self.layers:
            for name in ("latency_cycles", "dsp", "lut", "ff", "bram18"):
                metrics.append(self._metric(name, getattr(layer, name), layer.name))
        return tuple(metrics)

    def _metric(self, name: str, value: float, layer: str | None = None) -> Metric:
        value = round(value, 4) if name == "latency_us" else float(round(value))
        if name == "latency_us":
            ends = band(self.family, "latency_cycles", float(self.timing.latency_cycles))
            state, (low, high) = (
                DesignState.NONE,
                (round(end * self.clock_ns / 1000, 4) for end in ends),
            )
        else:
            counted = "ff_vsynth" if self.intel and name == "ff" else name
            state, (low, high) = stage_of(counted), band(self.family, counted, value)
        return Metric(
            name,
            value,
            UNITS[name],
            Origin.ESTIMATED,
            low=low,
            high=high,
            tool=TOOL,
            target="hls",
            layer=layer,
            state=state,
        )


def stage_of(name: str) -> DesignState:
    """After which step of the tools a figure's resources are counted; none for times."""
    if name.endswith(AFTER_GATES) or name in ("alm", *INTEL_MEMORY_KBIT):
        return DesignState.LOGIC_SYNTHESIS
    return DesignState.C_SYNTHESIS if name in RESOURCES else DesignState.NONE


def estimate(
    program: Program,
    settings: HlsSettings,
    device: Device,
    *,
    only: dict[str, HardwareStage] | None = None,
    fit: dict[str, float] | None = None,
) -> HlsEstimate:
    """The figures of a project with these settings on a device.

    only: stages that are known already. fit: other constants than those that ship.
    """
    arrangement = Arrangement(
        fabric(settings, device.fabric, fit), settings.io, settings.arithmetic
    )
    design = design_of(program, settings, arrangement, only)
    return sum_stages(design, settings, device)


def sum_stages(design: Design, settings: HlsSettings, device: Device) -> HlsEstimate:
    """A design's stages added up, with what holds them together."""
    layers, fit = [], design.arrangement.fabric.fit
    for stage in design.stages:
        stores = [store for name, store in design.between if name == stage.name]
        layers.append(
            LayerEstimate(
                stage.name,
                stage.kind,
                stage.dsp,
                stage.lut + sum(store.lut for store in stores),
                stage.ff + sum(store.ff for store in stores),
                stage.bram18 + sum(store.bram18 for store in stores),
                stage.cuts if is_one_pipeline(design) else stage.busy_cycles,
                stage.reuse,
                float(sum(store.bram18 for store in stores)),
                stage.after and _with_stores(stage.after, stores, fit),
            )
        )
    when = timing(design)
    return HlsEstimate(
        family_of(design, settings),
        when,
        settings.clock_ns,
        float(sum(layer.dsp for layer in layers)),
        float(sum(layer.lut for layer in layers)),
        float(sum(layer.ff for layer in layers)) + _held_ff(design, when),
        float(sum(layer.bram18 for layer in layers)),
        tuple(layers),
        memory=intel_memory(device),
    )


def intel_memory(device: Device) -> str | None:
    """What an Intel part has in place of block RAM; None for other parts."""
    if device.offers("alm") is None:
        return None
    return next(kind for kind in INTEL_MEMORY_KBIT if device.offers(kind) is not None)


def _held_ff(design: Design, when: DesignTiming) -> float:
    """Registers of the inputs, and of what a pipeline hands from layer to layer."""
    if design.arrangement.streamed:
        return 0.0
    if design.arrangement.fabric.tool is HlsTool.VITIS and not is_one_pipeline(design):
        return 0.0
    inputs = sum(value.all_bits for value in design.inputs)
    handed = sum(stage.out.all_bits for stage in design.stages if stage.cuts)
    return float(inputs + (handed if when.latency_cycles and is_one_pipeline(design) else 0))


def _with_stores(after: GateCost, stores: Sequence[Store], fit: Mapping[str, float]) -> GateCost:
    """What logic synthesis leaves of a stage, with the FIFOs that it writes to."""
    return replace(
        after,
        lut=after.lut + sum(store.lut for store in stores) * fit["lut_vsynth"],
        ff=after.ff + sum(store.ff for store in stores) * fit["ff_vsynth"],
    )


def _difference(layers: Sequence[LayerEstimate], name: str) -> float:
    """What logic synthesis adds to a figure of layers, or takes away."""
    return float(sum(getattr(layer.after, name) - getattr(layer, name) for layer in layers))


def family_of(design: Design, settings: HlsSettings) -> str:
    """Designs that share mechanisms, and so their errors."""
    kinds = {stage.kind for stage in design.stages}
    if SITES in kinds:
        return SITES
    if LOOP in kinds:
        return f"{LOOP}s"  # which none of the published designs has
    main = "conv" if "conv" in kinds else "dense" if "dense" in kinds else "pool"
    folded = {effective_strategy(s.name, settings) for s in design.stages if s.reuse > 1}
    how = ""
    if folded:
        how = ", resource" if Strategy.RESOURCE in folded else ", shared"
    return f"{design.arrangement.io}, {main}{how}"


def band(family: str, name: str, value: float) -> tuple[float, float]:
    """Where the figure lies in all likelihood, from the residuals of the family's designs."""
    figure = CALLED.get(name, name)
    bands = constants()["bands"]
    of_family = bands.get(family) or bands.get(family.partition(",")[0]) or bands[ELSEWHERE]
    low, high = of_family.get(figure, bands[ELSEWHERE][figure])
    if family == SITES:
        low, high = low / UNSEEN, high * UNSEEN
    slack = constants()["slack"].get(figure, 0.0)
    ends = max(min(value * low, value - slack), 0.0), max(value * high, value + slack)
    return float(math.floor(ends[0])), float(math.ceil(ends[1]))


def estimate_metrics(program: Program, settings: HlsSettings, device: Device) -> tuple[Metric, ...]:
    """Latency and resources, each with its error band; in under a second, without any tool."""
    return estimate(program, settings, device).metrics()


def with_reuse(settings: HlsSettings, reuse: dict[str, int]) -> HlsSettings:
    """The settings with other reuse factors on top."""
    merged = dict(settings.reuse_of) | reuse
    return replace(settings, reuse_of=tuple(sorted(merged.items())))
