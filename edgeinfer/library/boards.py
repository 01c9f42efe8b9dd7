# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run's design on its board: bitstream, loading, samples sent and held against the engine."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.api import Data, Run
from edgeinfer.library.answers import LibraryAnswer, folder_of
from edgeinfer.run import board as room
from edgeinfer.run.board import BoardBuild, BoardPort, BoardTrial
from edgeinfer.run.folder import open_run
from edgeinfer.run.in_memory import data_file
from edgeinfer.run.notebook import notebook_progress
from edgeinfer.targets.registry import known_targets


def list_boards() -> LibraryAnswer:
    """The boards that there are: part, clock, line, and what they need."""
    boards = [board for entry in known_targets().values() for board in entry.make().boards()]
    return LibraryAnswer(
        {"boards": [board.document for board in boards]},
        tuple(line for board in boards for line in board.lines),
    )


def build_board(run: Run | str | Path, *, minutes: float = 60.0) -> BoardBuild:
    """The bitstream of a run's design with its shell, pins and clock; `minutes` that all tools
    together may take."""
    with open_run(folder_of(run), notebook_progress(), new=False) as run_folder:
        return room.build_board(run_folder, minutes)


def load_board(run: Run | str | Path) -> str:
    """Put the bitstream of a run onto the board, with openFPGALoader; what that says."""
    with open_run(folder_of(run), notebook_progress(), new=False) as run_folder:
        return room.load_board(run_folder)


def run_board(
    run: Run | str | Path,
    data: Data = None,
    *,
    samples: int | None = None,
    drawn: bool = False,
    port: str | None = None,
    simulate: bool = False,
) -> BoardTrial:
    """Samples sent to a board, or to a board that is simulated pin by pin; `agreement` says whether
    every bit is the engine's. With `drawn`, as `board test` does, the samples are drawn from all
    that the inputs can hold. Without `samples`, what a simulation does in seconds, or all."""
    count = room.sample_count(samples, drawn=drawn, simulated=simulate)
    with open_run(folder_of(run), notebook_progress(), new=False) as run_folder:
        return room.run_board(
            run_folder,
            data=data_file(data),
            count=count,
            port=BoardPort(port, simulate),
            drawn=drawn,
        )
