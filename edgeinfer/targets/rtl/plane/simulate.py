# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Planes through a design, cycle by cycle: the outputs of every hit, and the cycles they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.boards.words import integers_of, words_of
from edgeinfer.targets.rtl.emit.emit import HARNESS, HDL
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.files import PlanePort, hit_bits, hit_port, output_ports, top_of
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.simulate import PROGRAM, RUN_SECONDS, Conditions
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for
from quantization.fixed import Ints

WORD_BITS = 32  # of the simulation's files
PATIENCE = 20_000  # cycles without a beat, beside what a plane with hits everywhere may take


@dataclass(frozen=True, slots=True)
class PlaneRun:
    """What came of planes: the hits of all of them, in the order in which they left."""

    plane: NDArray[np.int64]
    wire: NDArray[np.int64]
    pixel: NDArray[np.int64]
    outputs: Mapping[str, Ints]
    ends: NDArray[np.int64]  # the cycle in which each plane ended, from the first beat on
    latency: int  # cycles from the first hit's pixel to the end of its outputs
    cycles: int


def run_planes(
    design: PlaneDesign,
    folder: Path,
    planes: Sequence[tuple[Ints, NDArray[np.bool_]]],
    conditions: Conditions,
) -> PlaneRun:
    """Simulate what lies in a target's folder. A plane is raw integers (wires, pixels), and which
    of them are hits."""
    hdl = folder / HDL
    module = top_of(design)
    cycles = design.geometry.beats * len(planes)
    library = {p.name: p.read_bytes() for p in sorted(hdl.glob("*.v")) if p.stem != module}
    job = BuildJob(
        module, (hdl / f"{module}.v").read_bytes(), (folder / HARNESS).read_bytes(), library,
        waveform=False, level=level_for(cycles),
    )  # fmt: skip
    built = program_for(job, cache_folder())
    walk = len(design.engine.first.weights) * design.engine.passes
    rest = 64 * walk if conditions.gaps else 0
    patience = int((PATIENCE + 4 * walk) / (1.0 - conditions.gaps) ** 2) + 4 * rest
    with scratch_folder("rtl") as place:
        beats = np.concatenate([plane_beats(design, *plane) for plane in planes])
        (place / "in.bin").write_bytes(beats.tobytes())
        arguments: list[str | Path] = [
            str(len(planes)), str(conditions.seed), str(round(conditions.gaps * 1000)), str(rest),
            str(patience), str(conditions.reset_after), str(_first_beat(design, planes)), place,
        ]  # fmt: skip
        try:
            done = tools.run(
                tools.FoundTool(PROGRAM, built, ""), arguments, seconds=RUN_SECONDS, folder=hdl
            )
        except ToolFailedError as error:
            raise DisagreementError(
                f"{design.name}: the simulated design broke its protocol: {error.message}",
                hint="Please report this, with the model.",
            ) from None
        latency, cycles = (int(word) for word in done.output.split()[-3::2])
        return _read_run(design, place, latency, cycles)


def plane_beats(design: PlaneDesign, raw: Ints, hits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A plane as the design takes it: line by line of time, a hit's bit on top of each pixel."""
    bits, at_once = design.pixel.bits, design.geometry.size.at_once
    pixels = (raw & ((1 << bits) - 1)) | (hits.astype(np.int64) << bits)
    elements = pixels.T.reshape(-1, at_once)
    return words_of(elements, bits + 1, _beat_bytes(at_once * (bits + 1)))


def _beat_bytes(bits: int) -> int:
    return WORD_BITS // 8 * -(-bits // WORD_BITS)


def _first_beat(design: PlaneDesign, planes: Sequence[tuple[Ints, NDArray[np.bool_]]]) -> int:
    """The beat with the first hit, of all planes together; the first one where there is none."""
    marks = np.concatenate([hits.T.reshape(-1) for _, hits in planes])
    return int(np.argmax(marks)) // design.geometry.size.at_once


def _read_run(design: PlaneDesign, place: Path, latency: int, cycles: int) -> PlaneRun:
    hit_beats = np.fromfile(place / "out_0.bin", dtype="<u4").astype(np.int64)
    wire_bits, line_bits = hit_bits(design)
    words = hit_beats.reshape(-1, -(-hit_port(design).bits // WORD_BITS))
    joined = sum(words[:, n] << (WORD_BITS * n) for n in range(words.shape[1]))
    assert isinstance(joined, np.ndarray)  # a beat has a word
    ended = (joined >> (wire_bits + line_bits)) & 1 == 1
    plane = np.cumsum(ended)[~ended]
    hits = joined[~ended]
    shapes = design.rest.shapes
    values = {output.name: output.value for output in design.rest.outputs}
    outputs = {
        port.name: _frames(place / f"out_{number}.bin", port, shapes[values[port.name]])
        for number, port in enumerate(output_ports(design), start=1)
    }
    return PlaneRun(
        plane,
        hits & ((1 << wire_bits) - 1),
        (hits >> wire_bits) & ((1 << line_bits) - 1),
        outputs,
        np.fromfile(place / "ends.cyc", dtype="<i8"),
        latency,
        cycles,
    )


def _frames(path: Path, port: PlanePort, shape: tuple[int, ...]) -> Ints:
    assert port.type is not None  # outputs of the network have one
    beats = np.fromfile(path, dtype=np.uint8).reshape(-1, _beat_bytes(port.bits))
    raw = integers_of(beats, port.lanes, port.type.bits, signed=port.type.signed)
    return raw.reshape(-1, *shape)
