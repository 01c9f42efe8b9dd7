# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A board simulated from pin to pin: bytes go in bit by bit, and what comes out is an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import assets, tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.targets.rtl.board.boards import Board
from edgeinfer.targets.rtl.board.shell_files import FOLDER, TOP
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY
from edgeinfer.targets.rtl.tools.cache import cache_folder
from edgeinfer.targets.rtl.tools.simulate import PROGRAM, RUN_SECONDS
from edgeinfer.targets.rtl.tools.verilator import BuildJob, level_for, program_for

HARNESS = "sim/board.cpp"


@dataclass(frozen=True, slots=True)
class SentBytes:
    """Bytes that go over the line, and whether an answer to them is waited for."""

    content: bytes
    answered: bool = True


def exchange_bytes(
    folder: Path, on: Board, sent: Sequence[SentBytes], patience: int, seed: int = 1
) -> bytes:
    """All bytes that the board in a target's folder answers. `patience`: cycles that an answer may
    take to begin, and for which the line rests where none is waited for."""
    hdl, shell = folder / HDL, folder / FOLDER
    top = (shell / f"{TOP}.v").read_bytes()
    library = {
        path.name: path.read_bytes()
        for path in [*sorted(hdl.glob("*.v")), *sorted(shell.glob("*.v"))]
        if not path.name.startswith("tb_") and not path.name.endswith("_tb.v")
    }
    cycles = 10 * on.divider * sum(len(message.content) for message in sent)
    harness = assets.path(f"{LIBRARY}/{HARNESS}").read_bytes()
    job = BuildJob(TOP, top, harness, library, waveform=False, level=level_for(cycles))
    built = program_for(job, cache_folder())
    with scratch_folder("board") as scratch:
        inward, outward = scratch / "in", scratch / "out"
        inward.write_bytes(
            b"".join(
                int(message.answered).to_bytes(4, "little")
                + len(message.content).to_bytes(4, "little")
                + message.content
                for message in sent
            )
        )
        try:
            tools.run(
                tools.FoundTool(PROGRAM, built, ""),
                [str(on.divider), str(patience), str(seed), inward, outward],
                seconds=RUN_SECONDS,
                folder=hdl,
            )
        except ToolFailedError as error:
            raise DisagreementError(
                f"The simulated board broke its protocol: {error.message}",
                hint="Please report this, with the model.",
            ) from None
        return outward.read_bytes()
