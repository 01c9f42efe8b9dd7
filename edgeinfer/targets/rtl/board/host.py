# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The host of a board: it loads the bitstream, sends frames, and takes what the board answers. A
board that is simulated from pin to pin has the same host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.targets.rtl.board.boards import Board
from edgeinfer.targets.rtl.board.messages import read_protocol
from edgeinfer.targets.rtl.board.serial import SerialLine, find_port, open_port, run
from edgeinfer.targets.rtl.board.simulate import simulated_line
from edgeinfer.targets.rtl.emit.emit import MANIFEST
from edgeinfer.targets.rtl.tools.place import flow_of
from edgeinfer.targets.rtl.tools.programs import LOADER
from edgeinfer.targets.rtl.tools.routing import BUILD
from edgeinfer.targets.target import BoardReply
from quantization.fixed import Ints

LOAD_SECONDS = 300.0
LEAST_PATIENCE_CYCLES = 1_000_000  # that a simulated board may think before it answers


def ask(
    folder: Path,
    on: Board,
    raw: Mapping[str, Ints],
    *,
    port: str | None,
    simulated: bool,
    advanced: Callable[[int, int], None],
) -> BoardReply:
    """Results of the design in a target's folder, on its board."""
    protocol = read_protocol(folder)
    line: AbstractContextManager[SerialLine]
    if simulated:
        where = f"the {on.title}, simulated from pin to pin"
        frames = len(next(iter(raw.values())))
        line = simulated_line(folder, on, protocol, frames=frames, patience=patience_cycles(folder))
    else:
        chosen = port or find_port(on)
        where = f"the {on.title} at {chosen}"
        line = open_port(chosen, protocol.baud)
    with line as opened:
        began = time.monotonic()
        found = run(protocol, opened, raw, advanced=advanced)
        seconds = time.monotonic() - began
    return BoardReply(found.outputs, found.cycles, protocol.clock_mhz, seconds, where)


def patience_cycles(folder: Path) -> int:
    """How long a simulated board may be silent: a frame takes less."""
    described = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return LEAST_PATIENCE_CYCLES + 4 * int(described["latency_cycles"])


def bitstream_of(folder: Path, on: Board) -> Path:
    """Where the bitstream for a board lies, in a target's folder."""
    return folder / BUILD / f"{on.name}-{flow_of(on.device).bitstream}"


def load_bitstream(folder: Path, on: Board, said: Callable[[str, float, str], None]) -> str:
    """Load the bitstream of a target's folder; an error where there is none, no loader, or no
    board."""
    bitstream = bitstream_of(folder, on)
    if not bitstream.is_file():
        raise UsageError(
            f"There is no bitstream for the {on.title} in {folder}.",
            hint="Make it with: edgeinfer board build RUN",
        )
    found = tools.find(LOADER)
    began = time.monotonic()
    try:
        done = tools.run(
            found, ["-b", on.loader, bitstream], seconds=LOAD_SECONDS,
            said=lambda line: said("load", time.monotonic() - began, line),
        )  # fmt: skip
    except ToolFailedError as error:
        raise ToolFailedError(
            f"The bitstream was not loaded onto the {on.title}: {error.message}",
            hint="Is the board plugged in, and may this user use its USB device?",
        ) from None
    return f"{bitstream.name} is on the {on.title} ({done.seconds:.0f} s)."
