# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The programmable logic of a Zynq board, simulated, as the driver in `deploy` sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.targets.boards.boards import FOLDER
from edgeinfer.targets.boards.driver import stand_in
from edgeinfer.targets.boards.wrapper import AXI_TOP
from edgeinfer.targets.rtl.board.pipe import SimulationPipe, run_beside
from edgeinfer.targets.rtl.board.zynq import HARNESS
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for

CYCLES_AT_ONCE = 20_000  # that the clock runs while a driver waits
DMA_RESET = 4
SEED = 1


@dataclass(frozen=True, slots=True)
class SimulatedRegisters:
    """The design's registers."""

    pipe: SimulationPipe

    def read(self, address: int) -> int:
        """A register's value."""
        self.pipe.order(b"r", address, 0)
        return self.pipe.take_number()

    def write(self, address: int, value: int) -> None:
        """Set a register."""
        self.pipe.order(b"w", address, value)


@dataclass(slots=True)
class SimulatedSender:
    """A DMA's channel to the design."""

    pipe: SimulationPipe
    number: int
    error: bool = False

    def start(self) -> None:
        """It is ready as soon as it is reset."""

    def transfer(self, buffer: Any) -> None:
        """Send all of a buffer as a packet."""
        content = np.asarray(buffer).tobytes()
        self.pipe.order(b"T", self.number, len(content), content=content)

    @property
    def idle(self) -> bool:
        """Whether all was sent; the clock runs on meanwhile."""
        self.pipe.order(b"C", CYCLES_AT_ONCE, 0)
        self.pipe.order(b"B", self.number, 0)
        return self.pipe.take_number() == 0

    def wait(self) -> None:
        """Let the clock run until all was sent."""
        while not self.idle:
            pass


@dataclass(slots=True)
class SimulatedReceiver:
    """A DMA's channel from the design."""

    pipe: SimulationPipe
    number: int
    error: bool = False
    buffer: Any = None

    def start(self) -> None:
        """It is ready as soon as it is reset."""

    def transfer(self, buffer: Any) -> None:
        """Take a packet of at most as many bytes as a buffer has."""
        self.buffer = buffer
        self.pipe.order(b"G", self.number, buffer.nbytes)

    @property
    def idle(self) -> bool:
        """Whether a whole packet has come; the clock runs on meanwhile."""
        self.pipe.order(b"C", CYCLES_AT_ONCE, 0)
        self.pipe.order(b"S", self.number, 0)
        done, count = self.pipe.take_number(), self.pipe.take_number()
        if done and self.buffer is not None:
            self.buffer[:count] = np.frombuffer(self.pipe.take(count), np.uint8)
            self.buffer = None
        elif done:
            self.pipe.take(count)
        return bool(done)

    def wait(self) -> None:
        """Let the clock run until a packet has come."""
        while not self.idle:
            pass


@dataclass(frozen=True, slots=True)
class SimulatedDma:
    """An AXI DMA, with the one of its channels that it has."""

    pipe: SimulationPipe
    sendchannel: SimulatedSender | None = None
    recvchannel: SimulatedReceiver | None = None

    def write(self, offset: int, value: int) -> None:
        """A reset of one is a reset of all here: the driver resets all of them."""
        if value & DMA_RESET:
            self.pipe.order(b"X", 0, 0)

    def read(self, offset: int) -> int:
        """A reset is over at once."""
        return 0


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
        engines = {
            f"dma_in_{k}": SimulatedDma(pipe, sendchannel=SimulatedSender(pipe, k))
            for k in range(inputs)
        } | {
            f"dma_out_{k}": SimulatedDma(pipe, recvchannel=SimulatedReceiver(pipe, k))
            for k in range(outputs)
        }
        yield stand_in(SimulatedRegisters(pipe), engines)
