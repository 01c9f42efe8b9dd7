# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The programmable logic of a Zynq board, simulated, as the driver in `deploy` sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.targets.boards.boards import FOLDER
from edgeinfer.targets.boards.dma import simulate_board
from edgeinfer.targets.boards.wrapper import AXI_TOP
from edgeinfer.targets.rtl.board.pipe import SimulationPipe, run_beside
from edgeinfer.targets.rtl.board.zynq import HARNESS
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for

CYCLES_AT_ONCE = 20_000  # that the clock runs while a driver waits
SEED = 1


@dataclass(frozen=True, slots=True)
class SimulatedFabric:
    """The design in its simulator, whose clock runs on while a driver waits."""

    pipe: SimulationPipe
    buffers: dict[int, Any] = field(default_factory=dict)  # of packets that are to come

    def read(self, address: int) -> int:
        """A register's value."""
        self.pipe.order(b"r", address, 0)
        return self.pipe.take_number()

    def write(self, address: int, value: int) -> None:
        """Set a register."""
        self.pipe.order(b"w", address, value)

    def reset(self) -> None:
        """The DMAs forget what they hold."""
        self.pipe.order(b"X", 0, 0)

    def send(self, number: int, buffer: Any) -> None:
        """To an input."""
        content = np.asarray(buffer).tobytes()
        self.pipe.order(b"T", number, len(content), content=content)

    def has_sent(self, number: int) -> bool:
        """Whether the design has taken it, some cycles later."""
        self.pipe.order(b"C", CYCLES_AT_ONCE, 0)
        self.pipe.order(b"B", number, 0)
        return self.pipe.take_number() == 0

    def receive(self, number: int, buffer: Any) -> None:
        """From an output."""
        self.buffers[number] = buffer
        self.pipe.order(b"G", number, buffer.nbytes)

    def has_received(self, number: int) -> bool:
        """Whether it has come, some cycles later."""
        self.pipe.order(b"C", CYCLES_AT_ONCE, 0)
        self.pipe.order(b"S", number, 0)
        done, count = self.pipe.take_number(), self.pipe.take_number()
        if done:
            content = np.frombuffer(self.pipe.take(count), np.uint8)
            buffer = self.buffers.pop(number, None)
            if buffer is not None:
                buffer[:count] = content
        return bool(done)


@contextlib.contextmanager
def simulated_fabric(
    folder: Path, inputs: int, outputs: int, *, cycles: int, gaps: float = 0.0
) -> Iterator[ModuleType]:
    """A stand-in for the package `pynq` with the design of a target's folder in its logic. `gaps`:
    chance that a stream stands still in a cycle; `cycles`: about how many will be simulated."""
    shell = folder / FOLDER
    library = {
        path.name: path.read_bytes()
        for path in [*sorted((folder / HDL).glob("*.v")), *sorted(shell.glob("*.v"))]
        if belongs_to_design(path.name) and path.stem != AXI_TOP
    }
    top = (shell / f"{AXI_TOP}.v").read_bytes()
    harness = (folder / HARNESS).read_bytes()
    job = BuildJob(AXI_TOP, top, harness, library, waveform=False, level=level_for(cycles))
    built = program_for(job, cache_folder())
    with run_beside(built, [str(round(1000 * gaps)), str(SEED)], folder / HDL) as pipe:
        yield simulate_board(SimulatedFabric(pipe), inputs, outputs)
