# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The DMAs of a simulated Zynq board, as the driver in `deploy` knows them from `pynq`."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from edgeinfer.targets.boards.driver import stand_in

DMA_RESET = 4


class SimulatedLogic(Protocol):
    """What is in the logic of a board: registers, and a DMA for each of its streams."""

    def read(self, address: int) -> int:
        """A register's value."""

    def write(self, address: int, value: int) -> None:
        """Set a register."""

    def reset(self) -> None:
        """Of all DMAs."""

    def send(self, number: int, buffer: Any) -> None:
        """Send all of a buffer to an input as a packet."""

    def has_sent(self, number: int) -> bool:
        """Whether all was taken, after some time."""

    def receive(self, number: int, buffer: Any) -> None:
        """Take a packet of at most as many bytes as a buffer has from an output."""

    def has_received(self, number: int) -> bool:
        """Whether a whole packet has come, after some time; it is in the buffer then."""


@dataclass(frozen=True, slots=True)
class SimulatedChannel:
    """A DMA's channel to an input of the logic or from an output."""

    logic: SimulatedLogic
    number: int
    sends: bool
    error: bool = False

    def start(self) -> None:
        """It is ready as soon as it is reset."""

    def transfer(self, buffer: Any) -> None:
        """Send or receive a packet."""
        (self.logic.send if self.sends else self.logic.receive)(self.number, buffer)

    @property
    def idle(self) -> bool:
        """Whether the packet has gone through."""
        return (self.logic.has_sent if self.sends else self.logic.has_received)(self.number)

    def wait(self) -> None:
        """Until it has."""
        while not self.idle:
            pass


@dataclass(frozen=True, slots=True)
class SimulatedDma:
    """An AXI DMA, with the one of its channels that it has."""

    logic: SimulatedLogic
    sendchannel: SimulatedChannel | None = None
    recvchannel: SimulatedChannel | None = None

    def write(self, offset: int, value: int) -> None:
        """A reset of one is a reset of all here: the driver resets all of them."""
        if value & DMA_RESET:
            self.logic.reset()

    def read(self, offset: int) -> int:
        """A reset is over at once."""
        return 0


def simulate_board(logic: SimulatedLogic, inputs: int, outputs: int) -> ModuleType:
    """A stand-in for the package `pynq` with a logic of so many inputs and outputs."""
    into = [
        SimulatedDma(logic, sendchannel=SimulatedChannel(logic, k, True)) for k in range(inputs)
    ]
    out_of = [
        SimulatedDma(logic, recvchannel=SimulatedChannel(logic, k, False)) for k in range(outputs)
    ]
    engines = {f"dma_in_{k}": dma for k, dma in enumerate(into)}
    return stand_in(logic, engines | {f"dma_out_{k}": dma for k, dma in enumerate(out_of)})
