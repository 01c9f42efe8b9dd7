# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The boards that a design can be put onto, each a file of what it carries."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from edgeinfer.base import assets
from edgeinfer.base.errors import UsageError, did_you_mean

BOARDS = "firmware/rtl/boards"


@dataclass(frozen=True, slots=True)
class Board:
    """A board that a design can be put onto."""

    name: str
    title: str
    part: str
    clock_hz: int
    baud: int
    size: str
    package: str
    speed: str
    loader: str

    @property
    def divider(self) -> int:
        """Cycles of a bit."""
        return self.clock_hz // self.baud

    @property
    def clock_mhz(self) -> float:
        """Of the shell and the design."""
        return self.clock_hz / 1e6


def boards() -> tuple[str, ...]:
    """All there are."""
    return tuple(sorted(path.stem for path in assets.path(BOARDS).glob("*.toml")))


def board(name: str) -> Board:
    """A board by its name."""
    if name not in boards():
        raise UsageError(
            f"There is no shell for the board {name!r}.",
            hint=did_you_mean(name, boards()) or f"Known are {', '.join(boards())}.",
        )
    return Board(name, **tomllib.loads(assets.text(f"{BOARDS}/{name}.toml")))
