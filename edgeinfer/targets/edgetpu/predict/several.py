# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Several chips for one network, and several networks on one chip.

A pipeline (the compiler's `--num_segments`) cuts a network into segments with about as many bytes
of parameters each, one chip for each; while one works on a sample, the one before it works on the
next. Networks that are compiled together share the memory for parameters, in the order in which
they are given: what the first does not take is the second's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.base.tflite.model import read
from edgeinfer.targets.edgetpu.predict import latency as time
from edgeinfer.targets.edgetpu.predict import memory as room
from edgeinfer.targets.edgetpu.predict.latency import Latency, Link
from edgeinfer.targets.edgetpu.predict.memory import MemoryPlacement
from edgeinfer.targets.edgetpu.predict.prediction import Prediction, prediction_of
from edgeinfer.targets.edgetpu.tflite.ports import layers_beside

MOST_SEGMENTS = 16


@dataclass(frozen=True, slots=True)
class Segment:
    """What one chip of a pipeline does."""

    operators: tuple[int, ...]
    memory: MemoryPlacement
    latencies: tuple[Latency, ...]  # over each link

    def latency(self, link: Link) -> Latency:
        """The time that its chip takes for a sample."""
        return next(latency for latency in self.latencies if latency.link is link)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        usb = self.latency(Link.USB)
        return {
            "first_op": self.operators[0],
            "last_op": self.operators[-1],
            "ops": len(self.operators),
            "cached_bytes": self.memory.cached_bytes,
            "streamed_bytes": self.memory.streamed_bytes,
            "latency_us": round(usb.value_us, 1),
            "latency_us_low": round(usb.low_us, 1),
            "latency_us_high": round(usb.high_us, 1),
        }


def segments_of(prediction: Prediction, count: int) -> tuple[Segment, ...]:
    """The mapped part in segments, the last of which waits for what stays on the host."""
    model, inside = prediction.model, sorted(prediction.mapping.on_chip)
    if not 1 <= count <= MOST_SEGMENTS:
        raise UsageError(
            f"A pipeline has no {count} segments.", hint=f"Choose 1 to {MOST_SEGMENTS}."
        )
    if not inside:
        raise UsageError(
            f"Nothing in {model.source} would run on the Edge TPU, so it is not cut for several.",
            hint=f"See why with: edgeinfer map {model.source}",
        )
    if count > len(inside):
        raise UsageError(
            f"{model.source} has {len(inside)} operators for the chip; they make no {count} "
            f"segments.",
            hint="Ask for fewer.",
        )
    sizes = room.layer_bytes(model, inside, prediction.runtime)
    cycles = {layer.index: layer.cycles for layer in prediction.cycles}
    segments = []
    for number, part in enumerate(_cut_evenly([sizes.get(i, 0) for i in inside], count)):
        own = tuple(inside[place] for place in part)
        memory = room.place_layers(model, own, prediction.runtime)
        moved = time.traffic(model, own, memory)
        usual, work = time.is_usual(model, own), sum(cycles[i] for i in own)
        left = prediction.host if number == count - 1 else ()
        times = tuple(time.latency(work, moved, link, usual=usual, left=left) for link in Link)
        segments.append(Segment(own, memory, times))
    return tuple(segments)


def _cut_evenly(sizes: Sequence[int], count: int) -> list[range]:
    """Places in order, cut where the running sum is nearest to each equal share; none is empty."""
    total = sum(sizes) or len(sizes)
    weights = sizes if sum(sizes) else [1] * len(sizes)
    sums = [0]
    for weight in weights:
        sums.append(sums[-1] + weight)
    cuts = [0]
    for number in range(1, count):
        least, most = cuts[-1] + 1, len(sizes) - (count - number)
        share = total * number / count
        cuts.append(min(range(least, most + 1), key=lambda at: abs(sums[at] - share)))
    cuts.append(len(sizes))
    return [range(low, high) for low, high in itertools.pairwise(cuts)]


def describe_pipeline(segments: Sequence[Segment]) -> tuple[dict[str, Any], list[str]]:
    """The segments, and what the pipeline makes of them: for JSON, and as lines."""
    parts = [segment.document() for segment in segments]
    latency = sum(part["latency_us"] for part in parts)
    slowest = max(parts, key=lambda part: part["latency_us"])
    document = {
        "segments": parts,
        "pipeline_latency_us": round(latency, 1),
        "pipeline_interval_us": slowest["latency_us"],
        "pipeline_interval_us_low": slowest["latency_us_low"],
        "pipeline_interval_us_high": slowest["latency_us_high"],
    }
    lines = [
        f"segment   {number}: operators {part['first_op']} to {part['last_op']}, "
        f"{part['cached_bytes']:,} B cached, {part['streamed_bytes']:,} B streamed, "
        f"{part['latency_us'] / 1e3:.2f} ms"
        for number, part in enumerate(parts)
    ]
    lines.append(
        f"pipeline  {latency / 1e3:.2f} ms for a sample, one every "
        f"{slowest['latency_us'] / 1e3:.2f} ms (estimated, "
        f"{slowest['latency_us_low'] / 1e3:.2f} to {slowest['latency_us_high'] / 1e3:.2f}), USB"
    )
    return document, lines


def predict_together(
    paths: Sequence[Path], runtime: int, *, time_host: bool = False
) -> tuple[Prediction, ...]:
    """Networks that are compiled together."""
    predictions: list[Prediction] = []
    for path in paths:
        used_bytes = sum(prediction.memory.cached_bytes for prediction in predictions)
        predictions.append(
            prediction_of(
                read(path),
                runtime,
                taken_bytes=used_bytes,
                time_host=time_host,
                layers=layers_beside(path),
            )
        )
    return tuple(predictions)
