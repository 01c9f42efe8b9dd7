# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Thousands of files of planes: one archive of tags for each, by many workers, and a summary.

A file's tags are on the disk before its line is in the journal, and what the journal has is not
done again; whoever ends the work loses at most the files that were being tagged.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import (
    DisagreementError,
    EdgeInferError,
    InputError,
    ToolFailedError,
    UsageError,
)
from edgeinfer.base.plan import sweep_partial, write_file
from edgeinfer.event.event import PlaneSettings, patch_of, scaling_of
from edgeinfer.event.files import FILES, LINES, Failure, FileJob, FileOutcome, TagOrder
from edgeinfer.event.production_page import render_production
from edgeinfer.event.tagger import Way, choose_cut
from edgeinfer.event.wires import read_wires
from edgeinfer.ir.program import Program
from edgeinfer.workers.choice import open_workers
from edgeinfer.workers.cluster import Access
from edgeinfer.workers.journal import Journal, open_journal
from edgeinfer.workers.kind import Workers

JOURNAL, SUMMARY, PAGE = "files.jsonl", "event.json", "index.html"
ENDINGS = (".root", ".npy", ".npz", ".h5", ".hdf5", ".parquet")  # of a folder's files of planes


@dataclass(frozen=True, slots=True)
class Production:
    """Files to tag with one order, and the folder for their tags."""

    order: TagOrder
    model: str
    folder: Path
    jobs: tuple[FileJob, ...]


@dataclass(frozen=True, slots=True)
class FileReading:
    """How files are read and tagged, as a user says it."""

    settings: PlaneSettings
    way: Way = Way.AUTO
    check: int = 32
    wires: Path | None = None


def plan_production(order: TagOrder, model: str, paths: Sequence[Path], folder: Path) -> Production:
    """A job for each file, named by its place below the folder that all have in common."""
    files = _list_files(paths)
    above = Path(os.path.commonpath([file.parent for file in files]))
    order_key = order.key
    jobs: dict[str, FileJob] = {}
    for file in files:
        name = file.relative_to(above).with_suffix("").as_posix()
        if name in jobs:
            raise UsageError(
                f"{jobs[name].file} and {file} would both be tagged into {name}.npz.",
                hint="Give them in two commands, with a folder for each.",
            )
        jobs[name] = FileJob(order, order_key, name, file)
    return Production(order, model, folder, tuple(jobs.values()))


def plan_files(
    program_file: Path, program: Program, reading: FileReading, files: Sequence[Path], folder: Path
) -> Production:
    """The production of a run's tagger; what cannot be is an error before any worker begins."""
    patch_of(program)
    settings = reading.settings
    choose_cut(program, reading.way, settings.margin)
    settings = replace(settings, scaling=scaling_of(program, settings))
    if reading.wires is not None:
        read_wires(reading.wires)
    order = TagOrder(
        program_file.absolute(), program.digest, settings, reading.way, reading.check,
        None if reading.wires is None else reading.wires.absolute(),
    )  # fmt: skip
    return plan_production(order, program.name, files, folder)


def _list_files(paths: Sequence[Path]) -> list[Path]:
    """The files, and those in folders, as absolute paths and each once."""
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS)
            if not inside:
                raise InputError(
                    f"{path} has no files of planes in it.",
                    hint=f"They end in {', '.join(ENDINGS)}.",
                )
            files |= dict.fromkeys(each.absolute() for each in inside if each.is_file())
        elif path.is_file():
            files[path.absolute()] = None
        else:
            raise InputError(f"There is no file {path}.", hint="Check the path.")
    return list(files)


def carry_out_production(
    production: Production,
    workers: Workers[FileJob, FileOutcome],
    advance: Callable[[int, int], None],
) -> dict[str, Any]:
    """Tag what has no tags yet; the summary, which is also written with its page. `advance` is
    called with how many files are done, and of how many."""
    folder, began = production.folder, time.monotonic()
    with open_journal(folder / JOURNAL, LINES) as journal:
        _refuse_other_order(production, journal)
        sweep_partial(folder)
        outcomes_by_point = {each.key: each for each in journal.outcomes}
        outcomes: dict[str, FileOutcome] = {}
        left = []
        for job in production.jobs:
            outcome = outcomes_by_point.get(job.key)
            # Names come from our own jobs: the journal's may lead out of the folder.
            if outcome is not None and _is_whole(folder / f"{job.name}.npz", outcome):
                outcomes[job.name] = replace(outcome, name=job.name)
            else:
                left.append(job)
        resumed = len(outcomes)
        advance(resumed, len(production.jobs))

        def keep(outcome: FileOutcome) -> None:
            if not outcome.failure:
                write_file(folder / f"{outcome.name}.npz", outcome.tags)
            kept = replace(outcome, tags=b"")
            journal.add(kept)
            outcomes[kept.name] = kept
            advance(len(outcomes), len(production.jobs))

        if left:
            workers.carry_out(left, keep)
        document = describe_production(production, outcomes, time.monotonic() - began, resumed)
        write_file(folder / SUMMARY, json.dumps(document, indent=1) + "\n")
        write_file(folder / PAGE, render_production(document))
    return document


def tag_all(
    production: Production,
    jobs: int | None,
    access: Access | None,
    advance: Callable[[int, int], None],
) -> dict[str, Any]:
    """Tag what has no tags yet by processes, or by a cluster's workers: the summary, or an error
    where files could not be tagged."""
    with open_workers(FILES, jobs, access, warnings.warn) as workers:
        document = carry_out_production(production, workers, advance)
    failed = production_error(document)
    if failed is not None:
        raise failed
    return document


def _refuse_other_order(production: Production, journal: Journal[FileOutcome]) -> None:
    """A folder holds the tags of one model and one way to read planes."""
    order_key = production.order.key
    if any(each.order_key != order_key for each in journal.outcomes):
        raise UsageError(
            f"{production.folder} holds files that another model has tagged, or this one with "
            "other settings.",
            hint="Choose another folder with -o, or remove this one.",
        )


def _is_whole(path: Path, outcome: FileOutcome) -> bool:
    """Whether a file's tags are there, as they were written."""
    if outcome.failure or not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == outcome.sha256


def describe_production(
    production: Production, outcomes: dict[str, FileOutcome], seconds: float, resumed: int
) -> dict[str, Any]:
    """The summary as JSON has it: the totals, and each file in the order in which it was given."""
    files = [
        {
            "file": str(job.file),
            "output": None if outcome.failure else f"{job.name}.npz",
            "sha256": outcome.sha256 or None,
            "seconds": outcome.seconds,
            "planes": list(outcome.planes),
            "failure": None if outcome.failure is None else outcome.failure.value,
            "reason": outcome.reason or None,
        }
        for job in production.jobs
        for outcome in [outcomes[job.name]]
    ]
    planes = [plane for outcome in outcomes.values() for plane in outcome.planes]
    return {
        "model": production.model,
        "program": production.order.digest,
        "settings": {
            "threshold_adc": production.order.settings.threshold_adc,
            "scaling": production.order.settings.scaling,
        },
        "seconds": round(seconds, 3),
        "resumed": resumed,
        "failed": sum(outcome.failure is not None for outcome in outcomes.values()),
        "planes": len(planes),
        "hits": sum(plane["hits"] for plane in planes),
        "checked_one_by_one": sum(plane["checked_one_by_one"] for plane in planes),
        "files": files,
    }


def production_error(document: dict[str, Any]) -> EdgeInferError | None:
    """The error of files that have no tags; the gravest of their reasons decides its kind."""
    failed = [each for each in document["files"] if each["failure"]]
    if not failed:
        return None
    kinds: dict[Failure, type[EdgeInferError]] = {
        Failure.DISAGREEMENT: DisagreementError,
        Failure.WORKER: ToolFailedError,
        Failure.INPUT: InputError,
    }
    failures = {Failure(each["failure"]) for each in failed}
    gravest = next(kind for kind in kinds if kind in failures)
    first = next(each for each in failed if each["failure"] == gravest.value)
    return kinds[gravest](
        f"{len(failed)} of {len(document['files'])} files could not be tagged; "
        f"{Path(first['file']).name}: {first['reason']}",
        hint="All others are written. The same command again tries the ones that failed.",
    )
