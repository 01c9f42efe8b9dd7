# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What would become of a `.tflite` file on the Edge TPU: mapping, memory and time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.tflite.flat import FlatError
from edgeinfer.base.tflite.model import TfliteModel, broken_file_error, read
from edgeinfer.targets.edgetpu.predict import latency as time
from edgeinfer.targets.edgetpu.predict import memory as room
from edgeinfer.targets.edgetpu.predict.host import (
    NO_LAYERS,
    HostLayers,
    HostTime,
    host_times,
    layer_times,
)
from edgeinfer.targets.edgetpu.predict.host_timing import (
    measure_host_times,
    measure_layer_times,
)
from edgeinfer.targets.edgetpu.predict.instructions import INSTRUCTION_BAND
from edgeinfer.targets.edgetpu.predict.latency import Latency, LayerCycles, Link, Traffic
from edgeinfer.targets.edgetpu.predict.mapping import Mapping, doubts, mapping_of
from edgeinfer.targets.edgetpu.predict.memory import MemoryPlacement
from edgeinfer.targets.edgetpu.predict.rules import NEWEST_RUNTIME, OLDEST_RUNTIME, Status
from edgeinfer.targets.edgetpu.tflite.compiled import CUSTOM_OP
from edgeinfer.targets.edgetpu.tflite.ports import layers_beside

TARGET = "edgetpu"
ON_THIS_COMPUTER = "on this computer, by TensorFlow Lite's built-in kernels on one thread"


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Everything that is predicted of a file."""

    model: TfliteModel
    runtime: int
    mapping: Mapping
    memory: MemoryPlacement
    roomy: MemoryPlacement  # with as much room for parameters as was ever seen
    narrow: MemoryPlacement  # with as little
    cycles: tuple[LayerCycles, ...]
    host: tuple[HostTime, ...]  # what is not mapped, and layers behind the file
    traffic: Traffic
    latencies: tuple[Latency, ...]
    findings: tuple[str, ...]

    @property
    def _placements(self) -> tuple[MemoryPlacement, ...]:
        return self.memory, self.roomy, self.narrow

    def _chip_us(self, cycles: float) -> float:
        return cycles / time.PROFILES[Link.USB].clock_mhz

    def latency(self, link: Link) -> Latency:
        """The time over one link."""
        return next(latency for latency in self.latencies if latency.link is link)

    def document(self) -> dict[str, Any]:
        """For JSON; `latency_us` is over USB."""
        usb = self.latency(Link.USB)
        placed = {layer.index: layer for layer in self.memory.layers}
        cycles = {layer.index: layer.cycles for layer in self.cycles}
        hosted = {part.index: part for part in self.host}
        ops = []
        for mapped in self.mapping.operators:
            op = mapped.operator
            layer = placed.get(op.index)
            ops.append(
                {
                    "index": op.index,
                    "op": op.title,
                    "version": op.version,
                    "status": mapped.status.value,
                    "reason": mapped.reason,
                    "remedy": mapped.remedy,
                    "cached_bytes": layer.bytes if layer is not None and layer.cached else 0,
                    "streamed_bytes": layer.bytes if layer is not None and not layer.cached else 0,
                    "cycles": round(cycles.get(op.index, 0.0)),
                    "time_us": _round_us(
                        hosted[op.index].value_us
                        if op.index in hosted
                        else self._chip_us(cycles[op.index])
                    ),
                    "time_origin": _origin_of(hosted.get(op.index)).value,
                }
            )
        return {
            "source": self.model.source,
            "origin": Origin.ESTIMATED.value,
            "runtime_version": self.runtime,
            "accepted": not self.mapping.refused,
            "mapped": len(self.mapping.on_chip),
            "ops": ops,
            "host_layers": [
                {
                    "index": part.index,
                    "op": part.op,
                    "time_us": _round_us(part.value_us),
                    "time_origin": _origin_of(part).value,
                }
                for part in self.host
                if part.index >= len(ops)
            ],
            "cached_bytes": self.memory.cached_bytes,
            "cached_bytes_low": min(m.cached_bytes for m in self._placements),
            "cached_bytes_high": max(m.cached_bytes for m in self._placements),
            "streamed_bytes": self.memory.streamed_bytes,
            "streamed_bytes_low": self.roomy.streamed_bytes,
            "streamed_bytes_high": self.narrow.streamed_bytes,
            "capacity_bytes": self.memory.capacity_bytes,
            "capacity_bytes_low": self.narrow.capacity_bytes,
            "capacity_bytes_high": self.roomy.capacity_bytes,
            "instruction_bytes": self.traffic.instructions,
            "instruction_bytes_low": round(self.traffic.instructions / INSTRUCTION_BAND),
            "instruction_bytes_high": round(self.traffic.instructions * INSTRUCTION_BAND),
            "input_bytes": self.traffic.inputs,
            "output_bytes": self.traffic.outputs,
            "latency_us": round(usb.value_us, 1),
            "latency_us_low": round(usb.low_us, 1),
            "latency_us_high": round(usb.high_us, 1),
            "latency": {
                latency.link.value: {
                    "value_us": round(latency.value_us, 1),
                    "low_us": round(latency.low_us, 1),
                    "high_us": round(latency.high_us, 1),
                    "host_us": round(latency.host_us, 1),
                }
                for latency in self.latencies
            },
            "findings": list(self.findings),
        }

    def metrics(self, link: Link = Link.USB) -> tuple[Metric, ...]:
        """The figures, each with its band; `latency_us` is over `link`."""
        on_chip, total = len(self.mapping.on_chip), len(self.mapping.operators)
        cached = sorted(m.cached_bytes for m in self._placements)
        streamed = sorted(m.streamed_bytes for m in self._placements)
        instructions = self.traffic.instructions
        spread = INSTRUCTION_BAND
        metrics = [
            _estimate("mapped_ops", on_chip, "", on_chip, total if on_chip else on_chip),
            _estimate("cached_bytes", self.memory.cached_bytes, "B", cached[0], cached[-1]),
            _estimate("streamed_bytes", self.memory.streamed_bytes, "B", streamed[0], streamed[-1]),
            _estimate(
                "instruction_bytes", instructions, "B", instructions / spread, instructions * spread
            ),
        ]
        for time_ in self.latencies:
            band = (time_.low_us, time_.high_us)
            names = [f"latency_{time_.link.value.replace('-', '_')}_us"]
            names += ["latency_us"] if time_.link is link else []
            metrics += [_estimate(name, time_.value_us, "us", *band) for name in names]
        layers = {layer.index: layer for layer in self.memory.layers}
        for cycles in self.cycles:
            layer = f"{cycles.index}:{cycles.op}"
            us = self._chip_us(cycles.cycles)
            band = (us * (1 - time.BAND), us * (1 + time.BAND))
            metrics.append(_estimate("latency_us", us, "us", *band, layer=layer))
            if cycles.index in layers:
                size = layers[cycles.index].bytes
                where = "cached" if layers[cycles.index].cached else "streamed"
                metrics.append(
                    _estimate(f"{where}_bytes", size, "B", size * 0.95, size * 1.05, layer)
                )
        for part in self.host:
            if part.value_us is not None:
                ends = part.low_us, part.high_us
                layer = f"{part.index}:{part.op}"
                metrics.append(
                    Metric(
                        "latency_us", part.value_us, "us", _origin_of(part), *ends,
                        state=DesignState.NONE, target=TARGET, layer=layer,
                        note=ON_THIS_COMPUTER if part.measured else None,
                    )
                )  # fmt: skip
        return tuple(metrics)


def predict(path: Path, runtime: int = NEWEST_RUNTIME, *, time_host: bool = False) -> Prediction:
    """What would become of a file, and of what the host computes behind it."""
    model = read(path)
    return prediction_of(model, runtime, time_host=time_host, layers=layers_beside(path))


def prediction_of(
    model: TfliteModel,
    runtime: int = NEWEST_RUNTIME,
    *,
    taken_bytes: int = 0,
    time_host: bool = False,
    layers: HostLayers = NO_LAYERS,
) -> Prediction:
    """What would become of a model that was read, where others have taken some of the memory. With
    `time_host`, what stays on the host is run on this computer. `layers` are what the host computes
    of the file's outputs, by name."""
    if not OLDEST_RUNTIME <= runtime <= NEWEST_RUNTIME:
        raise UsageError(
            f"There are no rules for runtime version {runtime}.",
            hint=f"Choose {OLDEST_RUNTIME} to {NEWEST_RUNTIME}.",
        )
    if any(op.custom == CUSTOM_OP for op in model.operators):
        raise InputError(
            f"{model.source} is compiled for the Edge TPU already, so nothing is left to predict.",
            hint=f"See what it holds with: edgeinfer inspect {model.source}",
        )
    try:
        return _prediction(model, runtime, taken_bytes, time_host, layers)
    except FlatError as error:
        raise broken_file_error(model.source, error) from None


def _prediction(
    model: TfliteModel,
    runtime: int,
    taken_bytes: int,
    time_host: bool,
    layers: HostLayers,
) -> Prediction:
    mapping = mapping_of(model, runtime)
    inside = mapping.on_chip
    memory, roomy, narrow = (
        room.place_layers(model, inside, runtime, max(capacity - taken_bytes, 0))
        for capacity in (
            room.CAPACITY_BYTES, room.MOST_CAPACITY_BYTES, room.LEAST_CAPACITY_BYTES,
        )
    )  # fmt: skip
    cycles = time.layer_cycles(model, inside)
    traffic = time.traffic(model, inside, memory)
    usual = time.is_usual(model, inside)
    total = sum(layer.cycles for layer in cycles)
    count = len(model.operators)
    left = (
        (*measure_host_times(model, inside), *measure_layer_times(layers, count))
        if time_host
        else (*host_times(model, inside), *layer_times(layers, count))
    )
    return Prediction(
        model,
        runtime,
        mapping,
        memory,
        roomy,
        narrow,
        cycles,
        left,
        traffic,
        tuple(
            time.latency(total, traffic, link, usual=usual, left=left, on_chip=bool(inside))
            for link in Link
        ),
        (
            *_file_findings(model),
            *_findings(mapping, memory),
            *doubts(mapping),
            *_host_findings(left),
            *room.warnings(model, inside),
        ),
    )


def _file_findings(model: TfliteModel) -> list[str]:
    """What of a file is not judged, or not as it will be run."""
    findings = []
    if model.subgraphs > 1:
        findings.append(
            f"The file has {model.subgraphs} subgraphs, and this is about the first. The others "
            f"(bodies of loops and branches, further signatures) are not judged."
        )
    for tensor in model.inputs:
        if tensor.open_axes:
            shown = " x ".join(
                "?" if axis in tensor.open_axes else str(size)
                for axis, size in enumerate(tensor.shape)
            )
            shape_text = " x ".join(map(str, tensor.shape))
            findings.append(
                f"The input {tensor.name} leaves sizes open ({shown}). The chip's are fixed: the "
                f"file is judged with {shape_text}, as it holds them. Convert it with the sizes "
                f"that you will use."
            )
    return findings


def _findings(mapping: Mapping, memory: MemoryPlacement) -> list[str]:
    """What a user should know."""
    findings = [f"{refused}: it would not compile the file." for refused in mapping.refused]
    left = [m for m in mapping.operators if not m.on_chip]
    if not mapping.operators:
        findings.append("The file has no operators.")
    elif len(left) == len(mapping.operators):
        findings.append("Nothing would run on the Edge TPU.")
    elif left:
        first = next((m for m in left if m.status is not Status.LATER), left[0])
        findings.append(
            f"{len(left)} of {len(mapping.operators)} operators stay on the host; "
            f"{first.operator.title} {first.operator.index}: {first.reason}. {first.remedy}"
        )
    if memory.streamed_bytes:
        findings.append(
            f"{memory.streamed_bytes / 1e6:.1f} MB of parameters do not stay on the chip and "
            f"travel at every inference."
        )
    return findings


def _host_findings(left: Collection[HostTime]) -> list[str]:
    """What the host adds, and what is not known of it."""
    timed = [part for part in left if part.value_us is not None]
    unknown = [f"{part.op} {part.index}" for part in left if part.value_us is None]
    findings = []
    if timed:
        slowest = max(timed, key=lambda part: part.value_us or 0.0)
        total = sum(part.value_us or 0.0 for part in timed)
        took = f"{total / 1e3:.3g} ms" if total >= 100 else f"{total:.3g} us"
        how = f"measured {ON_THIS_COMPUTER}" if slowest.measured else "estimated"
        which = f"{slowest.op} {slowest.index}"
        if len(timed) > 1:
            which = f"{len(timed)} operators, most of all {which},"
        findings.append(
            f"On the host, {which} {'take' if len(timed) > 1 else 'takes'} {took} of the latency "
            f"({how}); older kernels or processors take longer."
        )
    if unknown:
        findings.append(
            f"How long {', '.join(unknown)} takes on the host is not known, and the latency does "
            f"not count it."
        )
    return findings


def _origin_of(part: HostTime | None) -> Origin:
    return Origin.MEASURED if part is not None and part.measured else Origin.ESTIMATED


def _round_us(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _estimate(
    name: str, value: float, unit: str, low: float, high: float, layer: str | None = None
) -> Metric:
    return Metric(
        name,
        value,
        unit,
        Origin.ESTIMATED,
        low,
        high,
        state=DesignState.NONE,
        target=TARGET,
        layer=layer,
    )
