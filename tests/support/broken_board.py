# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Zynq boards on which something is wrong, as the driver in `deploy` sees them."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

from edgeinfer.targets.boards.driver import stand_in


@dataclass
class OtherRegisters:
    """Registers in which a design's number can be read, and counters that stand still."""

    identity: int

    def read(self, address: int) -> int:
        return {0: self.identity & 0xFFFFFFFF, 4: self.identity >> 32, 8: 1}.get(address, 0)

    def write(self, address: int, value: int) -> None: ...


@dataclass
class BrokenChannel:
    """A DMA's channel that refuses a transfer, or has an error in the middle of one."""

    busy: bool

    idle, error = False, True

    def start(self) -> None: ...

    def transfer(self, buffer: object) -> None:
        if self.busy:
            raise RuntimeError("DMA channel not idle")


def broken_board(identity: int, *, busy: bool = False) -> ModuleType:
    """What takes the place of `pynq` on a board where something is wrong."""
    channel = BrokenChannel(busy)
    dma = SimpleNamespace(
        sendchannel=channel, recvchannel=channel, write=lambda *_: None, read=lambda *_: 0
    )
    return stand_in(OtherRegisters(identity), {"dma_in_0": dma, "dma_out_0": dma})
