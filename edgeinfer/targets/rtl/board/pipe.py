# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A simulation that runs beside its host: orders go to it through one pipe, and what it answers
comes back through another."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.rtl.tools.simulate import PROGRAM, RUN_SECONDS

LOOK_SECONDS = 0.2  # between two looks whether the simulation still runs


@dataclass(slots=True)
class SimulationPipe:
    """The host's ends of the pipes."""

    inward: int
    outward: int
    simulation: Future[tools.ToolRun]

    def order(self, letter: bytes, *numbers: int, content: bytes = b"") -> None:
        """A letter, numbers of 32 bits, and bytes."""
        left = letter + b"".join(n.to_bytes(4, "little") for n in numbers) + content
        while left:
            _, writable, _ = select.select([], [self.inward], [], LOOK_SECONDS)
            self._check()
            if writable:
                left = left[os.write(self.inward, left) :]

    def take(self, count: int) -> bytes:
        """So many bytes of what is answered."""
        parts: list[bytes] = []
        while count:
            readable, _, _ = select.select([self.outward], [], [], LOOK_SECONDS)
            part = os.read(self.outward, count) if readable else b""
            if not part:
                self._check()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def take_number(self) -> int:
        """A number of 32 bits."""
        return int.from_bytes(self.take(4), "little")

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
def run_beside(program: Path, arguments: list[str], folder: Path) -> Iterator[SimulationPipe]:
    """Run a simulation in a folder, its last two arguments the pipes."""
    with scratch_folder("board") as scratch, ThreadPoolExecutor(1) as pool:
        inward, outward = scratch / "in", scratch / "out"
        os.mkfifo(inward)
        os.mkfifo(outward)
        inward_end = os.open(inward, os.O_RDWR | os.O_NONBLOCK)  # so that no opening waits
        outward_end = os.open(outward, os.O_RDONLY | os.O_NONBLOCK)
        simulation = pool.submit(
            tools.run, tools.FoundTool(PROGRAM, program, ""), [*arguments, inward, outward],
            seconds=RUN_SECONDS, folder=folder,
        )  # fmt: skip
        try:
            yield SimulationPipe(inward_end, outward_end, simulation)
        finally:
            os.close(inward_end)  # which ends the simulation
            os.close(outward_end)
