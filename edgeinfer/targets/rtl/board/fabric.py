# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The programmable logic of a Zynq board, real or simulated, as the driver in `deploy` sees it. The
driver is the file that goes onto the board; a simulation has a stand-in for the package `pynq`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.targets.rtl.board.pipe import SimulationPipe, run_beside
from edgeinfer.targets.rtl.board.shell_files import FOLDER
from edgeinfer.targets.rtl.board.zynq import AXI_TOP, DEPLOY, HARNESS
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


class SimulatedBuffer(np.ndarray[Any, np.dtype[Any]]):
    """Memory that processors and DMA share."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def invalidate(self) -> None:
        """Nothing is kept back."""

    def freebuffer(self) -> None:
        """Python does that."""


@dataclass(slots=True)
class SimulatedOverlay:
    """What `pynq.Overlay` gives a driver."""

    accelerator: Any
    engines: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        engines: dict[str, Any] = object.__getattribute__(self, "engines")
        if name not in engines:
            raise AttributeError(name)
        return engines[name]

    def free(self) -> None:
        """The simulation ends by itself."""


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


def stand_in(registers: Any, engines: Mapping[str, Any]) -> ModuleType:
    """A package like `pynq`, whose overlay has these registers and DMAs."""
    overlay = SimulatedOverlay(registers, dict(engines))
    package = ModuleType("pynq")
    vars(package)["Overlay"] = lambda path, download=True: overlay
    vars(package)["allocate"] = _allocate
    return package


def _allocate(shape: tuple[int, ...], kind: Any) -> SimulatedBuffer:
    return np.zeros(shape, kind).view(SimulatedBuffer)


@contextlib.contextmanager
def driver_of(folder: Path, package: ModuleType | None, name: str = "driver") -> Iterator[Any]:
    """The driver that goes onto the board, from a target's folder, with a stand-in for `pynq`, or
    with the real one. `name`: that of the file, `planes` for designs for whole planes."""
    with contextlib.ExitStack() as stack:
        if package is not None:
            stack.enter_context(_import_as("pynq", package))
        driver = _execute(folder / DEPLOY / "driver.py")
        if name == "driver":
            yield driver
            return
        stack.enter_context(_import_as("driver", driver))
        yield _execute(folder / DEPLOY / f"{name}.py")


def _execute(path: Path) -> ModuleType:
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


@contextlib.contextmanager
def _import_as(name: str, module: ModuleType) -> Iterator[None]:
    """A module that can be imported by a name."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
