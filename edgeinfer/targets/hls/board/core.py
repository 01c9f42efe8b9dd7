# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Zynq board with an hls4ml project in its logic, as the driver in `deploy` sees it, simulated:
the C simulation of the function that becomes the IP, behind registers and DMA of the same manners.
It knows no cycles."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.base import plan, tools
from edgeinfer.base.code import fill_template
from edgeinfer.base.names import Identifier
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.boards.boards import FOLDER
from edgeinfer.targets.boards.dma import simulate_board
from edgeinfer.targets.boards.wrapper import DESCRIPTION
from edgeinfer.targets.hls.board.files import TEMPLATES, core_values
from edgeinfer.targets.hls.csim import build
from edgeinfer.targets.hls.project import manifest

RUN_SECONDS = 24 * 3600.0
CORE = tools.Tool("C-simulation", "", "the compiled project", "edgeinfer compile")
ID_LOW, ID_HIGH, VERSION, CONTROL, BATCH, FRAMES_IN, FRAMES_OUT = range(0, 28, 4)
SHORT_PACKETS, LONG_PACKETS, FLAGS, CYCLES, CLOCK_KHZ = range(28, 48, 4)
COUNTERS = (FRAMES_IN, FRAMES_OUT, SHORT_PACKETS, LONG_PACKETS)


@dataclass(slots=True)
class SimulatedCore:
    """The program of the core, what it counts, and what its DMAs hold."""

    program: Path
    weights: Path
    described: dict[str, Any]
    values: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, bytes] = field(default_factory=dict)
    buffers: dict[int, Any] = field(default_factory=dict)

    def read(self, address: int) -> int:
        """A register's value."""
        identity = int(self.described["identity"], 16)
        fixed: dict[int, int] = {
            ID_LOW: identity & 0xFFFFFFFF,
            ID_HIGH: identity >> 32,
            VERSION: 1,
            CLOCK_KHZ: round(self.described["clock_mhz"] * 1000),
        }
        return fixed.get(address, self.values.get(address, 0))

    def write(self, address: int, value: int) -> None:
        """Set a register."""
        if address == CONTROL:
            self.values = {BATCH: self.values.get(BATCH, 1)}
        elif address == BATCH:
            self.values[BATCH] = value

    def reset(self) -> None:
        """The DMAs forget what they hold."""
        self.inputs, self.buffers = {}, {}

    def send(self, number: int, buffer: Any) -> None:
        """To an input."""
        self.inputs[number] = np.asarray(buffer).tobytes()
        self._advance()

    def has_sent(self, number: int) -> bool:
        """Whether the core has read it."""
        return number not in self.inputs

    def receive(self, number: int, buffer: Any) -> None:
        """From an output."""
        self.buffers[number] = buffer
        self._advance()

    def has_received(self, number: int) -> bool:
        """Whether the core has written it."""
        return number not in self.buffers

    def _advance(self) -> None:
        """Compute a packet, if all inputs have one and all outputs have room."""
        inputs, outputs = self.described["inputs"], self.described["outputs"]
        if len(self.inputs) < len(inputs) or len(self.buffers) < len(outputs):
            return
        frames = self.values.get(BATCH, 1)
        beats = [
            _strip_padding(self._whole(k, port, frames), port) for k, port in enumerate(inputs)
        ]
        for k, content in enumerate(self._run(beats, frames)):
            padded = np.zeros((len(content), _beat_bytes(outputs[k])), np.uint8)
            padded[:, : content.shape[1]] = content
            self.buffers[k][: padded.size] = padded.reshape(-1)
        for register in (FRAMES_IN, FRAMES_OUT):
            self._count(register, frames)
        self.reset()

    def _whole(self, number: int, port: dict[str, Any], frames: int) -> bytes:
        """A packet of the right length: zeros for what is missing, nothing for what is too much,
        and either is counted."""
        length = frames * _beats(port) * _beat_bytes(port)
        content = self.inputs[number]
        if len(content) < length:
            self._count(SHORT_PACKETS, 1)
        if len(content) > length:
            self._count(LONG_PACKETS, 1)
        return content[:length].ljust(length, b"\0")

    def _count(self, register: int, more: int) -> None:
        self.values[register] = self.values.get(register, 0) + more

    def _run(self, inputs: list[Any], frames: int) -> list[Any]:
        outputs = self.described["outputs"]
        with scratch_folder("core") as scratch:
            into, out = scratch / "in", scratch / "out"
            parts = [content.reshape(frames, -1) for content in inputs]
            plan.write_file(into, np.concatenate(parts, axis=1).tobytes())
            core = tools.FoundTool(CORE, self.program.resolve(), "")
            words: list[str | Path] = [str(frames), self.weights, into, out]
            tools.run(core, words, seconds=RUN_SECONDS, folder=scratch)
            frames_read = np.frombuffer(out.read_bytes(), np.uint8).reshape(frames, -1)
        sizes = [_beats(port) * _packed_bytes(port) for port in outputs]
        ends = np.cumsum(sizes)[:-1]
        return [
            part.reshape(-1, _packed_bytes(port))
            for part, port in zip(np.split(frames_read, ends, axis=1), outputs, strict=True)
        ]


@contextlib.contextmanager
def simulated_core(folder: Path) -> Iterator[ModuleType]:
    """A stand-in for the package `pynq` with the project of a target's folder in its logic."""
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    weights = (folder / "firmware" / "weights").resolve()
    core = SimulatedCore(build_core(folder), weights, described)
    yield simulate_board(core, len(described["inputs"]), len(described["outputs"]))


def build_core(folder: Path) -> Path:
    """Compile the function that becomes the IP, unless the same content was compiled before."""
    project = manifest.read(folder)
    values = core_values(project)
    values["weights"] = [
        {"variable": Identifier(weight.variable), "size": int(weight.size)}
        for weight in project.weights
    ]
    source = fill_template(f"{TEMPLATES}/core.cpp.j2", values)
    return build.build_source(
        folder, source, [folder / FOLDER], build.TYPES[project.backend], "core"
    )


def _beats(port: dict[str, Any]) -> int:
    """Of a frame."""
    return int(np.prod(port["shape"], dtype=int)) // int(port["lanes"])


def _beat_bytes(port: dict[str, Any]) -> int:
    """Of a beat in memory."""
    return int(port["word_bytes"]) * int(port["words"])


def _packed_bytes(port: dict[str, Any]) -> int:
    """Of a beat at the core."""
    return -(-int(port["lanes"]) * int(port["bits"]) // 8)


def _strip_padding(content: bytes, port: dict[str, Any]) -> Any:
    """Beats as the core takes them."""
    beats = np.frombuffer(content, np.uint8).reshape(-1, _beat_bytes(port))
    return np.ascontiguousarray(beats[:, : _packed_bytes(port)])
