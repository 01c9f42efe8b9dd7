# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A board simulated from pin to pin, at the other end of a serial line that a host uses like any
other. The PLL alone is not simulated: the top level gets the design's clock as its crystal."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import assets, tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.rtl.board.boards import Board
from edgeinfer.targets.rtl.board.messages import Protocol
from edgeinfer.targets.rtl.board.shell_files import CLOCK, CRYSTAL, FOLDER, TOP, clock_file
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.simulate import PROGRAM, RUN_SECONDS
from edgeinfer.targets.rtl.tools.synthesis import belongs_to_design
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for

HARNESS = "sim/board.cpp"
LOOK_SECONDS = 0.2  # between two looks whether the simulation still runs
SEED = 1


@dataclass(slots=True)
class SimulatedLine:
    """The host's end of a simulated board's line; see `SerialLine`."""

    inward: int
    outward: int
    simulation: Future[tools.ToolRun]

    def write(self, content: bytes, /) -> None:
        """Send."""
        self._order(b"W", len(content), content)

    def read(self, count: int, /) -> bytes:
        """Receive so many bytes; fewer, if the board says nothing for long."""
        self._order(b"R", count)
        return self._take(int.from_bytes(self._take(4), "little"))

    def reset_input_buffer(self) -> None:
        """Forget what has come."""
        self._order(b"F", 0)

    def _order(self, letter: bytes, number: int, content: bytes = b"") -> None:
        left = letter + number.to_bytes(4, "little") + content
        while left:
            _, writable, _ = select.select([], [self.inward], [], LOOK_SECONDS)
            self._check()
            if writable:
                left = left[os.write(self.inward, left) :]

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            readable, _, _ = select.select([self.outward], [], [], LOOK_SECONDS)
            part = os.read(self.outward, count - len(found)) if readable else b""
            if not part:
                self._check()
            found += part
        return found

    def _check(self) -> None:
        """An error where the simulation has ended before the host has."""
        if not self.simulation.done():
            return
        try:
            self.simulation.result()
        except ToolFailedError as error:
            raise DisagreementError(
                f"The simulated board broke its protocol: {error.message}",
                hint="Please report this, with the model.",
            ) from None
        raise ToolFailedError("The simulated board has ended.", hint="Please report this.")


@contextlib.contextmanager
def simulated_line(
    folder: Path, on: Board, protocol: Protocol, *, frames: int, patience: int
) -> Iterator[SimulatedLine]:
    """The board in a target's folder, simulated. `patience`: cycles of silence after which the
    host no longer waits; `frames`: about how many will be sent."""
    sent = frames * (protocol.payload_in() + protocol.payload_out())
    built = program_for(_job(folder, on, 10 * protocol.divider * sent), cache_folder())
    with scratch_folder("board") as scratch, ThreadPoolExecutor(1) as pool:
        inward, outward = scratch / "in", scratch / "out"
        os.mkfifo(inward)
        os.mkfifo(outward)
        given = os.open(inward, os.O_RDWR | os.O_NONBLOCK)  # so that no opening waits
        taken = os.open(outward, os.O_RDONLY | os.O_NONBLOCK)
        simulation = pool.submit(
            tools.run,
            tools.FoundTool(PROGRAM, built, ""),
            [str(protocol.divider), str(patience), str(SEED), inward, outward],
            seconds=RUN_SECONDS,
            folder=folder / HDL,
        )
        try:
            yield SimulatedLine(given, taken, simulation)
        finally:
            os.close(given)  # which ends the simulation
            os.close(taken)


def _job(folder: Path, on: Board, cycles: int) -> BuildJob:
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
