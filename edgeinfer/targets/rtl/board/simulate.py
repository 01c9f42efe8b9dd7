# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A board simulated from pin to pin, at the other end of a serial line that a host uses like any
other. The PLL alone is not simulated: the top level gets the design's clock as its crystal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import assets
from edgeinfer.targets.boards.boards import FOLDER, SerialBoard
from edgeinfer.targets.boards.messages import Protocol
from edgeinfer.targets.rtl.board.pipe import SimulationPipe, run_beside
from edgeinfer.targets.rtl.board.shell_files import CLOCK, CRYSTAL, TOP, clock_file
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for

HARNESS = "sim/board.cpp"
SEED = 1


@dataclass(frozen=True, slots=True)
class SimulatedLine:
    """The host's end of a simulated board's line; see `SerialLine`."""

    pipe: SimulationPipe

    def write(self, content: bytes, /) -> None:
        """Send."""
        self.pipe.order(b"W", len(content), content=content)

    def read(self, count: int, /) -> bytes:
        """Receive so many bytes; fewer, if the board says nothing for long."""
        self.pipe.order(b"R", count)
        return self.pipe.take(self.pipe.take_number())

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self.pipe.order(b"F", 0)


@contextlib.contextmanager
def simulated_line(
    folder: Path, on: SerialBoard, protocol: Protocol, *, frames: int, patience: int
) -> Iterator[SimulatedLine]:
    """The board in a target's folder, simulated. `patience`: cycles of silence after which the
    host no longer waits; `frames`: about how many will be sent."""
    sent = frames * (protocol.payload_in() + protocol.payload_out())
    built = program_for(_job(folder, on, 10 * protocol.divider * sent), cache_folder())
    numbers = [str(protocol.divider), str(patience), str(SEED)]
    with run_beside(built, numbers, folder / HDL) as pipe:
        yield SimulatedLine(pipe)


def _job(folder: Path, on: SerialBoard, cycles: int) -> BuildJob:
    """The program that simulates a board: its own files, but for the PLL."""
    shell = folder / FOLDER
    library = {
        path.name: path.read_bytes()
        for path in [*sorted((folder / HDL).glob("*.v")), *sorted(shell.glob("*.v"))]
        if belongs_to_design(path.name) and path.stem != TOP
    }
    library[CLOCK] = clock_file(CRYSTAL)
    rests = b"#define BUTTON_RESTS %d\n" % (on.button == "low")
    harness = rests + assets.path(f"{LIBRARY}/{HARNESS}").read_bytes()
    top = (shell / f"{TOP}.v").read_bytes()
    return BuildJob(TOP, top, harness, library, waveform=False, level=level_for(cycles))
