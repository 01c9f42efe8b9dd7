# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The host of a board: it loads the bitstream, sends frames, and takes what the board answers. A
board that is simulated from pin to pin has the same host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.targets.boards.boards import BUILD, Board, SerialBoard, ZynqBoard
from edgeinfer.targets.boards.driver import ask_driver, ask_real, loading_refusal, refuse_port
from edgeinfer.targets.boards.messages import read_protocol
from edgeinfer.targets.boards.serial import (
    SerialLine,
    find_port,
    open_port,
    run,
    run_patches,
)
from edgeinfer.targets.boards.wrapper import DESCRIPTION
from edgeinfer.targets.rtl.board.fabric import simulated_fabric
from edgeinfer.targets.rtl.board.simulate import simulated_line
from edgeinfer.targets.rtl.emit.emit import MANIFEST
from edgeinfer.targets.rtl.tools.place import flow_of
from edgeinfer.targets.rtl.tools.programs import LOADER
from edgeinfer.targets.target import PLANE_CYCLES, BoardReply
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
    report_progress: Callable[[int, int], None],
) -> BoardReply:
    """Results of the design in a target's folder, on its board."""
    match on:
        case SerialBoard():
            return _ask_line(
                folder, on, raw, port=port, simulated=simulated, report_progress=report_progress
            )
        case ZynqBoard():
            refuse_port(on, port)
            return _ask_fabric(
                folder, on, raw, simulated=simulated, report_progress=report_progress
            )
        case _:
            assert_never(on)


def _ask_line(
    folder: Path,
    on: SerialBoard,
    raw: Mapping[str, Ints],
    *,
    port: str | None,
    simulated: bool,
    report_progress: Callable[[int, int], None],
) -> BoardReply:
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
        if protocol.records is None:
            replies = run(protocol, opened, raw, report_progress=report_progress)
        else:
            replies = run_patches(
                protocol, protocol.records, opened, raw, report_progress=report_progress
            )
        seconds = time.monotonic() - began
    reply = BoardReply(replies.outputs, replies.cycles, protocol.clock_mhz, seconds, where)
    return reply if protocol.records is None else replace(reply, counted=PLANE_CYCLES)


def _ask_fabric(
    folder: Path,
    on: ZynqBoard,
    raw: Mapping[str, Ints],
    *,
    simulated: bool,
    report_progress: Callable[[int, int], None],
) -> BoardReply:
    if not simulated:
        return ask_real(folder, on, raw, report_progress)
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    cycles = _described_latency(folder) * len(next(iter(raw.values())))
    outputs = max(len(described["outputs"]), 1)  # records of planes come out of one
    package = simulated_fabric(folder, len(described["inputs"]), outputs, cycles=cycles)
    where = f"the {on.title}, its logic simulated from the DMAs' streams on"
    return ask_driver(folder, package, where, raw, report_progress)


def patience_cycles(folder: Path) -> int:
    """How long a simulated board may be silent: a frame takes less, and so does a plane in which
    every pixel is a hit."""
    described = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    plane = described.get("plane")
    most = plane["cycles_most"] if plane else described["latency_cycles"]
    return LEAST_PATIENCE_CYCLES + 4 * int(most)


def _described_latency(folder: Path) -> int:
    """Cycles of a frame; of a plane, those that it takes without a hit."""
    described = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    plane = described.get("plane")
    return int(plane["beats"] if plane else described["latency_cycles"])


def bitstream_of(folder: Path, on: SerialBoard) -> Path:
    """Where the bitstream for a board lies, in a target's folder."""
    return folder / BUILD / f"{on.name}-{flow_of(on.device).bitstream}"


def load_bitstream(folder: Path, on: Board, report: Callable[[str, float, str], None]) -> str:
    """Load the bitstream of a target's folder; an error where there is none, no loader, or no
    board."""
    if not isinstance(on, SerialBoard):
        raise loading_refusal(folder, on)
    bitstream = bitstream_of(folder, on)
    if not bitstream.is_file():
        raise UsageError(
            f"There is no bitstream for the {on.title} in {folder}.",
            hint="Make it with: edgeinfer board build RUN",
        )
    loader = tools.find(LOADER)
    began = time.monotonic()
    try:
        done = tools.run(
            loader, ["-b", on.loader, bitstream], seconds=LOAD_SECONDS,
            report_line=lambda line: report("load", time.monotonic() - began, line),
        )  # fmt: skip
    except ToolFailedError as error:
        raise ToolFailedError(
            f"The bitstream was not loaded onto the {on.title}: {error.message}",
            hint="Is the board plugged in, and may this user use its USB device?",
        ) from None
    return f"{bitstream.name} is on the {on.title} ({done.seconds:.0f} s)."
