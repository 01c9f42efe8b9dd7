# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study's journal: a line for each trial, on the disk before anything else happens.

One process writes it. A line that a killed process has left half written is cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.base.errors import InputError, RunBusyError
from edgeinfer.base.fenced import own_file, refuse_links
from edgeinfer.base.plan import writing
from edgeinfer.sweep.trial import TrialOutcome, as_dict, from_dict

NAME = "trials.jsonl"


@dataclass(slots=True)
class StudyJournal:
    """What is known, by the trial's key and whether it was compiled and simulated."""

    path: Path
    descriptor: int
    known: dict[tuple[str, bool], TrialOutcome] = field(default_factory=dict)

    def add(self, carried: TrialOutcome) -> None:
        """Write a trial down."""
        self.known[carried.key, carried.deep] = carried
        line = json.dumps(as_dict(carried), allow_nan=True) + "\n"
        with writing(self.path):
            os.write(self.descriptor, line.encode())
            os.fsync(self.descriptor)


@contextlib.contextmanager
def open_journal(folder: Path) -> Iterator[StudyJournal]:
    """The journal of a study's folder, for one process at a time."""
    path = folder / NAME
    refuse_links(folder)
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        own_file(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(
                f"Another edgeinfer is working on the study {folder}.",
                hint="Wait until it is done, or choose another folder.",
            ) from None
        whole = _whole(path)
        with writing(path):
            os.ftruncate(descriptor, len(whole))
        found = _read(path, whole)
        yield StudyJournal(path, descriptor, {(each.key, each.deep): each for each in found})
    finally:
        os.close(descriptor)


def read(folder: Path) -> list[TrialOutcome]:
    """The trials of a study, in the order in which they were done."""
    path = folder / NAME
    return _read(path, _whole(path)) if path.is_file() else []


def _whole(path: Path) -> bytes:
    held = path.read_bytes()
    return held[: held.rfind(b"\n") + 1]


def _read(path: Path, whole: bytes) -> list[TrialOutcome]:
    found = []
    for number, line in enumerate(whole.decode("utf-8", errors="replace").splitlines(), 1):
        try:
            found.append(from_dict(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number}, does not hold a trial: {error}.",
                hint="Take the line out; the trial is then done again.",
            ) from None
    return found
