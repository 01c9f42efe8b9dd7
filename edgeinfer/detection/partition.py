# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a detector is divided: what runs where, how long each part takes, and what passes between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeinfer.base.metrics import Origin
from edgeinfer.detection.boxes import PROPOSALS
from edgeinfer.detection.networks import IntegerNetwork
from edgeinfer.report.timings import TimingBand
from quantization.fixed import Fixed

_TRUNK_READ, _HEADS_READ = ("place", "edges", "features"), ("kind", "edges", "mask")
_HOST = {
    "propose": "read boxes, and thin them out",
    "crop": "cut the features out (RoIAlign)",
    "decide": "refine boxes, and thin them out",
    "paste": "put the masks back",
}


@dataclass(frozen=True, slots=True)
class HardwareTime:
    """How long a target takes for all that an image asks of it."""

    target: str
    image_us: float
    low_us: float | None
    high_us: float | None
    origin: str


@dataclass(frozen=True, slots=True)
class DetectorPart:
    """A part of the detector, for one image."""

    name: str
    where: str  # accelerator or host
    about: str
    calls: int  # for an image
    bytes_in: int | None  # None: it stays in the host's memory
    bytes_out: int | None
    seconds: float  # an image, measured on this machine's processor
    origin: str
    hardware: tuple[HardwareTime, ...] = ()


def divide_detector(
    trunk: IntegerNetwork,
    heads: IntegerNetwork,
    seconds: Mapping[str, float],
    images: int,
    timings: tuple[Sequence[TimingBand], Sequence[TimingBand]],
) -> tuple[DetectorPart, ...]:
    """The parts in their order; `seconds`: of all images, by part."""

    def network(
        name: str, of: IntegerNetwork, about: str, calls: int, read: Sequence[str],
        bands: Sequence[TimingBand],
    ) -> DetectorPart:  # fmt: skip
        return DetectorPart(
            name, "accelerator", f"{of.name}: {about}", calls, calls * _input_bytes(of),
            calls * _output_bytes(of, read), seconds[name] / images, Origin.MEASURED.value,
            tuple(time for band in bands if (time := _hardware_time(band, calls)) is not None),
        )  # fmt: skip

    def host(name: str) -> DetectorPart:
        return DetectorPart(
            name, "host", _HOST[name], 1, None, None, seconds[name] / images, Origin.MEASURED.value
        )

    return (
        network("trunk", trunk, "features and proposals", 1, _TRUNK_READ, timings[0]),
        host("propose"),
        host("crop"),
        network("heads", heads, "kind, edges and mask", PROPOSALS, _HEADS_READ, timings[1]),
        host("decide"),
        host("paste"),
    )


def _hardware_time(band: TimingBand, calls: int) -> HardwareTime | None:
    seconds = band.event_seconds(calls)
    if seconds is None:
        return None
    value, low, high = (None if each is None else each * 1e6 for each in seconds)
    assert value is not None
    return HardwareTime(band.title, value, low, high, str(band.latency.origin))


def _bytes_of(type_: Fixed) -> int:
    return -(-type_.bits // 8)


def _input_bytes(network: IntegerNetwork) -> int:
    return math.prod(network.input_shape) * _bytes_of(network.input_type)


def _output_bytes(network: IntegerNetwork, read: Sequence[str]) -> int:
    program = network.program
    return sum(
        math.prod(program.shapes[out.value]) * _bytes_of(program.type(out.value))
        for out in program.outputs
        if out.name in read
    )


def partition_sentences(document: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parts as lines of text."""
    lines = []
    for part in document:
        times = "" if part["calls"] == 1 else f"{part['calls']} times an image, "
        moved = ""
        if part["bytes_in"] is not None:
            moved = f"; {part['bytes_in']:,} bytes in, {part['bytes_out']:,} out"
        lines.append(
            f"{part['name']:<8} {part['where']:<12} {times}{1e3 * part['seconds']:.2f} ms an image "
            f"on this processor ({part['origin']}){moved}: {part['about']}"
        )
        for each in part["hardware"]:
            band = ""
            if each["low_us"] is not None and each["high_us"] is not None:
                band = f", {each['low_us']:,.0f} to {each['high_us']:,.0f}"
            lines.append(
                f"           {each['target']}: {each['image_us']:,.1f} us an image "
                f"({each['origin']}{band})"
            )
    return lines
