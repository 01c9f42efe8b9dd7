# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Cycles of an int8 network on a Cortex-M with CMSIS-NN's kernels.

Cycles for each product were fitted to published times of MLPerf Tiny's four networks (round 1.1,
Krai's results): on the NUCLEO-L4R5ZI (Cortex-M4, 120 MHz) and the nRF5340 (Cortex-M33, 128 MHz)
with CMSIS-NN by microTVM, which the two figures meet within 4 %; on the NUCLEO-H7A3ZI (Cortex-M7,
280 MHz) with X-CUBE-AI, STMicroelectronics' own kernels, within 26 %. TensorFlow Lite Micro calls
CMSIS-NN through an interpreter and other memories are slower, so that bands are wider than the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.tflite.macs import KernelKind, work_of
from edgeinfer.base.tflite.model import Operator, TfliteModel
from edgeinfer.targets.edgetpu.predict.host import HostLayers, layer_title
from edgeinfer.targets.tflitemicro.settings import Cpu, TfliteMicroSettings


@dataclass(frozen=True, slots=True)
class CpuProfile:
    """What a processor takes for each product, and how far that is to be trusted."""

    shared: float
    depthwise: float
    band: float  # a factor

    def cycles(self, op: Operator) -> float:
        """An operator's cycles."""
        kind, count = work_of(op)
        products = {KernelKind.SHARED: self.shared, KernelKind.DEPTHWISE: self.depthwise}
        return products.get(kind, ELEMENT_CYCLES) * count


ELEMENT_CYCLES: Final = 12.0  # an assumption: load, rescale, limit, store
PROFILES: Final = {
    Cpu.M4: CpuProfile(3.82, 11.6, 1.4),
    Cpu.M33: CpuProfile(3.14, 9.45, 1.4),
    Cpu.M7: CpuProfile(1.43, 4.82, 1.8),
}


def time_metrics(
    model: TfliteModel, settings: TfliteMicroSettings, target: str, layers: HostLayers
) -> tuple[Metric, ...]:
    """Cycles and time of an inference, and the time of each operator. Layers that the file leaves
    to the processor are taken for dense ones."""
    profile, us = PROFILES[settings.cpu], 1 / settings.cpu_mhz
    note = f"{settings.cpu} at {settings.cpu_mhz:g} MHz, with CMSIS-NN"
    parts = [
        *((f"{op.index}:{op.title}", profile.cycles(op)) for op in model.operators),
        *((f"{number}:{layer_title(output)}", profile.shared * layer.products)
          for number, (output, layer) in enumerate(layers.items(), len(model.operators))),
    ]  # fmt: skip
    total = sum(cycles for _, cycles in parts)

    def estimate(name: str, value: float, unit: str, layer: str | None = None) -> Metric:
        return Metric(
            name, value, unit, Origin.ESTIMATED, value / profile.band, value * profile.band,
            state=DesignState.NONE, target=target, layer=layer, note=note,
        )  # fmt: skip

    by_layer = (
        estimate("latency_us", cycles * us, "us", layer) for layer, cycles in parts if cycles
    )
    whole = estimate("cpu_cycles", total, "cycles"), estimate("latency_us", total * us, "us")
    return *whole, *by_layer
