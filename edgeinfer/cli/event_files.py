# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``event`` for many files: tags beside tags in one folder, by processes or a cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.terminal import answer, progress, tell
from edgeinfer.cli.workers import SchedulerOptions, scheduler_access, telling_what_is_kept

if TYPE_CHECKING:
    from edgeinfer.event.production import FileReading

KEPT = "The files that were finished are kept: give the same command again."


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What is asked for: which files, how they are tagged, and by how many."""

    run: Path
    files: tuple[Path, ...]
    folder: Path
    reading: FileReading
    jobs: int | None
    scheduler: SchedulerOptions


def tag_files(request: FilesRequest, *, json: bool) -> None:
    """One archive of tags for each file; an error at the end where files have none."""
    from edgeinfer.event.files import FILES
    from edgeinfer.event.production import carry_out_production, plan_files, production_error
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.result import PROGRAM
    from edgeinfer.run.trial import stored_program
    from edgeinfer.workers.choice import open_workers

    access = scheduler_access(request.scheduler, request.jobs)
    with progress() as watcher:
        with open_run(request.run, watcher, new=False) as run:
            program = stored_program(run)
        production = plan_files(
            request.run / PROGRAM, program, request.reading, request.files, request.folder
        )
        watcher.start("files")
        begin = time.perf_counter()
        with (
            telling_what_is_kept(KEPT),
            open_workers(FILES, request.jobs, access, tell) as workers,
        ):
            document = carry_out_production(production, workers, watcher.advance)
        watcher.finish("files", time.perf_counter() - begin, cached=False)
    lines = list_lines(document, request.folder)
    answer(document, lines, as_json=json, indent=1)
    failed = production_error(document)
    if failed is not None:
        raise failed


def list_lines(document: dict[str, Any], folder: Path) -> list[str]:
    """The summary as lines of text."""
    from edgeinfer.event.production import PAGE, SUMMARY

    done = len(document["files"]) - document["failed"]
    return [
        f"{done:,} of {len(document['files']):,} files tagged, {document['planes']:,} planes, "
        f"{document['hits']:,} hits, in {document['seconds']:.1f} s; {document['resumed']:,} "
        "files were done before",
        f"checked   {document['checked_one_by_one']:,} hits one by one, identical",
        f"written   {folder / SUMMARY}, {folder / PAGE}",
    ]


def refuse_idle(options: Sequence[str], files: bool) -> None:
    """An error for options that do nothing with files, or without them."""
    if not options:
        return
    names = ", ".join(options)
    if files:
        raise UsageError(f"{names}: not for files of planes.", hint="Leave it out.")
    raise UsageError(f"{names}: only for files of planes.", hint="Name the files after the run.")
