# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A journal of jobs: a line for each that is done, on the disk before anything else happens.

One process writes it. A line that a killed process has left half written is cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, cast

from edgeinfer.base.errors import InputError, RunBusyError
from edgeinfer.base.fenced import own_file, refuse_links
from edgeinfer.base.plan import writing
from edgeinfer.workers.kind import LineFormat, Outcome


@dataclass(slots=True)
class Journal(Generic[Outcome]):
    """An open journal, and the outcomes in it, in the order in which they came."""

    path: Path
    descriptor: int
    form: LineFormat[Outcome]
    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Write an outcome down."""
        self.outcomes.append(outcome)
        line = json.dumps(self.form.encode(outcome), allow_nan=True) + "\n"
        with writing(self.path):
            os.write(self.descriptor, line.encode())
            os.fsync(self.descriptor)


@contextlib.contextmanager
def open_journal(path: Path, form: LineFormat[Outcome]) -> Iterator[Journal[Outcome]]:
    """The journal of a folder, for one process at a time."""
    folder = path.parent
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
                f"Another edgeinfer is working on {folder}.",
                hint="Wait until it is done, or choose another folder.",
            ) from None
        whole = _whole(path)
        with writing(path):
            os.ftruncate(descriptor, len(whole))
        yield Journal(path, descriptor, form, _read(path, whole, form))
    finally:
        os.close(descriptor)


def read_outcome(kind: type[Outcome], document: Mapping[str, Any]) -> Outcome:
    """An outcome from a line of a journal; a ValueError names the entry that is none."""
    from pydantic import ValidationError

    try:
        outcome: Outcome = _adapter_of(cast("Any", kind)).validate_python(document)
        return outcome
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


@functools.cache
def _adapter_of(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _whole(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _read(path: Path, whole: bytes, form: LineFormat[Outcome]) -> list[Outcome]:
    outcomes = []
    for number, line in enumerate(whole.decode("utf-8", errors="replace").splitlines(), 1):
        try:
            outcomes.append(form.decode(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number}, does not hold a {form.noun}: {error}.",
                hint=f"Take the line out; the {form.noun} is then done again.",
            ) from None
    return outcomes
