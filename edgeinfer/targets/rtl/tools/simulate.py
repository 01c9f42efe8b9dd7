# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design run cycle by cycle, with gaps and back-pressure: results, taps, each beat's cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError, UsageError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.words import integers_of, words_of
from edgeinfer.targets.rtl.design.netlist import Netlist, Stream
from edgeinfer.targets.rtl.design.timing import idle_design
from edgeinfer.targets.rtl.emit.emit import HDL, Tap, harness_text, module_of, taps_of, top_text
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for
from quantization.fixed import Ints


def beats_of(raw: Ints, stream: Stream) -> NDArray[np.uint8]:
    """A batch of frames as (beats, bytes), each beat in whole 32-bit words."""
    elements = raw.reshape(-1, stream.lanes)
    return words_of(elements, stream.type.bits, beat_bytes(stream))


def frames_of(content: bytes, stream: Stream, shape: tuple[int, ...]) -> Ints:
    """Beats as a batch of frames."""
    beats = np.frombuffer(content, dtype=np.uint8).reshape(-1, beat_bytes(stream))
    raw = integers_of(beats, stream.lanes, stream.type.bits, signed=stream.type.signed)
    return raw.reshape(-1, *shape)


def beat_bytes(stream: Stream) -> int:
    """Bytes of a beat in the simulation's files."""
    return 4 * -(-stream.width // 32)


RUN_SECONDS = 7200.0
PROGRAM = tools.Tool("simulate", "EDGEINFER_SIMULATE", "a design's simulation", "simulate again")


@dataclass(frozen=True, slots=True)
class Conditions:
    """How a simulation is driven. `gaps`: chance that a port stands still in a cycle; where there
    are any, outputs also rest now and then for longer than a frame takes to get through, so that
    every queue fills. `reset_after`: cycles of frames before a reset in their midst (0: none)."""

    gaps: float = 0.3
    seed: int = 1
    reset_after: int = 0
    waveform: Path | None = None


IDEAL = Conditions(gaps=0.0)
STILL = 64  # cycles without a beat, beyond what an idle design needs to get ready
SHORTEST_REST = 16  # cycles that an output's longest rest has at least


@dataclass(frozen=True, slots=True)
class SimulationTrace:
    """What came out, and the cycle of each beat at each port and tap."""

    outputs: Mapping[str, Ints]
    taps: Mapping[str, Ints]
    cycles_in: Mapping[str, NDArray[np.int64]]
    cycles_out: Mapping[str, NDArray[np.int64]]
    cycles_at: Mapping[str, NDArray[np.int64]]  # of taps, by value
    cycles: int
    dropped: Mapping[str, int] = field(default_factory=dict)  # pixels beyond a limit, by port

    def latency(self) -> int:
        """Cycles from the first beat of the first frame in to the last of it out, both counted."""
        first = min(int(times[0]) for times in self.cycles_in.values())
        return max(self.ends(name)[0] for name in self.cycles_out) - first + 1

    def ends(self, output: str) -> list[int]:
        """The cycles in which each frame's last beat left."""
        times = self.cycles_out[output]
        per_frame = len(times) // len(self.outputs[output])
        return [int(when) for when in times[per_frame - 1 :: per_frame]]


def run(
    netlist: Netlist,
    program: Program,
    folder: Path,
    raw: Mapping[str, Ints],
    conditions: Conditions,
    values: Sequence[str] = (),
    expected_cycles: int = 0,
) -> SimulationTrace:
    """Simulate what lies in a target's folder."""
    taps = taps_of(netlist, [value for value in values if value in netlist.values])
    frames = len(next(iter(raw.values())))
    hdl = folder / HDL
    job = BuildJob(
        module_of(netlist),
        top_text(netlist, taps) if taps else _read(hdl / f"{module_of(netlist)}.v"),
        harness_text(netlist, taps),
        _library(netlist, hdl, taps),
        conditions.waveform is not None,
        level_for(expected_cycles * frames),
    )
    built = program_for(job, cache_folder())
    foreseen = idle_design(netlist)
    rest = 2 * expected_cycles + SHORTEST_REST if conditions.gaps else 0
    patience = int((expected_cycles * 4 + 20_000) / (1.0 - conditions.gaps) ** 2) + 2 * rest
    with scratch_folder("rtl") as place:
        for number, port in enumerate(netlist.inputs):
            beats = beats_of(raw[port.name], netlist.streams[port.stream])
            (place / f"in_{number}.bin").write_bytes(beats.tobytes())
        arguments: list[str | Path] = [
            str(frames), str(conditions.seed), str(round(conditions.gaps * 1000)),
            str(rest), str(patience), str(conditions.reset_after),
            ",".join(str(foreseen.beats[port.name]) for port in netlist.outputs),
            str(foreseen.cycles + STILL), place,
        ]  # fmt: skip
        if conditions.waveform is not None:
            arguments.append(conditions.waveform.resolve())
        try:
            done = tools.run(
                tools.FoundTool(PROGRAM, built, ""), arguments, seconds=RUN_SECONDS, folder=hdl
            )
        except ToolFailedError as error:
            raise DisagreementError(
                f"{netlist.name}: the simulated design broke its protocol: {error.message}",
                hint="Please report this, with the model.",
            ) from None
        counts, cycles = (line.split()[1:] for line in done.output.splitlines()[-2:])
        trace = _read_trace(netlist, program, place, taps, int(cycles[0]))
        ports = [block.counter for block in netlist.blocks if block.counter]
        return replace(trace, dropped=dict(zip(ports, map(int, counts), strict=True)))


def _library(netlist: Netlist, hdl: Path, taps: Sequence[Tap]) -> dict[str, bytes]:
    """The blocks as they lie there; those with a probe in them as they are with it."""
    own_files = [name for block in netlist.blocks for name in block.files if name.endswith(".v")]
    paths = [*sorted(hdl.glob("ei_*.v")), *(hdl / name for name in own_files)]
    texts = {path.name: _read(path) for path in paths}
    for block in netlist.blocks:
        probes = [p for t in taps if (p := netlist.probes.get(t.stream)) and p.block == block.name]
        if probes:
            texts.update(block.watched([probe.stream.name for probe in probes]))
    return texts


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"There is no design at {path}.", hint="Compile the model again.")
    return path.read_bytes()


def _read_trace(
    netlist: Netlist, program: Program, place: Path, taps: Sequence[Tap], cycles: int
) -> SimulationTrace:
    streams, shapes = netlist.streams, program.shapes
    by_name = {output.name: output.value for output in program.outputs}

    def times(name: str) -> NDArray[np.int64]:
        return np.fromfile(place / f"{name}.cyc", dtype="<i8")

    outputs, cycles_out = {}, {}
    for number, port in enumerate(netlist.outputs):
        content = (place / f"out_{number}.bin").read_bytes()
        shape = shapes[by_name[port.name]]
        outputs[port.name] = frames_of(content, streams[port.stream], shape)
        cycles_out[port.name] = times(f"out_{number}")
    values, cycles_at = {}, {}
    frames = len(next(iter(outputs.values())))
    for number, tap in enumerate(taps):
        stream = netlist.carrier(tap.stream)
        content = (place / f"tap_{number}.bin").read_bytes()
        kept = frames * stream.beats * 4 * -(-stream.width // 32)
        values[tap.value] = frames_of(content[:kept], stream, shapes[tap.value])
        cycles_at[tap.value] = times(f"tap_{number}")[: frames * stream.beats]
    cycles_in = {port.name: times(f"in_{number}") for number, port in enumerate(netlist.inputs)}
    return SimulationTrace(outputs, values, cycles_in, cycles_out, cycles_at, cycles)
