# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run folder: steps that are done once and remembered by the content they depend on.

A step's record is written after its files, so a process that is killed leaves either a finished
step or none; the next run does what is missing. One process at a time works in a folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import RunBusyError, UsageError
from edgeinfer.base.fenced import inside, own_file, refuse_links
from edgeinfer.base.reads import Reads
from edgeinfer.base.signals import TerminationRequest
from edgeinfer.run.records import StepRecord, read_record

HIDDEN = ".edgeinfer"  # records of steps, and the lock
LOG = logging.getLogger("edgeinfer")


class Progress:
    """Whoever wants to know how far a run is; this one does not look."""

    def start(self, step: str) -> None:
        """A step begins."""

    def advance(self, done: int, total: int) -> None:
        """The current step has handled some of its samples."""

    def say(self, step: str, seconds: float, line: str) -> None:
        """A tool that the current step runs has printed a line."""

    def finish(self, step: str, seconds: float, cached: bool) -> None:
        """A step is done, or was found done."""


@contextlib.contextmanager
def watch_step(progress: Progress, step: str) -> Iterator[None]:
    """Tell of a step that is done outside a run folder."""
    progress.start(step)
    began = time.monotonic()
    yield
    progress.finish(step, time.monotonic() - began, cached=False)


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step yields: files by their path in the run folder (a Path is copied, if the step has
    not made it there), and facts."""

    facts: Mapping[str, Any]
    files: Mapping[str, bytes | Path] = field(default_factory=dict)


@dataclass(slots=True)
class RunFolder:
    """An open run folder; see `open_run`."""

    path: Path
    progress: Progress
    records: dict[str, StepRecord] = field(default_factory=dict)  # of this process, in order

    def step(
        self,
        name: str,
        reads: Reads,
        depends_on: Mapping[str, Any],
        make: Callable[[], StepOutcome],
    ) -> Mapping[str, Any]:
        """The facts of a step: remembered if everything it depends on is as it was, else made.
        `reads`: code, text, libraries and programs; `depends_on`: options and inputs."""
        key = key_of(name, reads, depends_on)
        self.progress.start(name)
        old_record = self.read_record(name)
        if old_record is not None and old_record.key == key and self._intact(old_record):
            record = replace(old_record, cached=True)
            LOG.info("%s: as before", name)
        else:
            record = self._made(name, key, make, old_record)
            LOG.info("%s: done in %.2f s", name, record.seconds)
        self.records[name] = record
        self.progress.finish(name, record.seconds, record.cached)
        return record.facts

    def note_facts(self, name: str, facts: Mapping[str, Any]) -> None:
        """Facts that are found anew each time, in no time."""
        self.records[name] = StepRecord(name, "", 0.0, {}, json.loads(json.dumps(facts)))

    def forget(self, name: str) -> None:
        """A step that has to be done again, whatever it depends on."""
        self._record_path(name).unlink(missing_ok=True)

    def recall_step(self, name: str) -> bool:
        """Take up a step that depends on what its record and the steps before it say, not redone:
        whether there is one, and its files are as it left them."""
        record = self.read_record(name)
        if record is None or not self._intact(record):
            return False
        self.records[name] = replace(record, cached=True)
        return True

    def read_record(self, name: str) -> StepRecord | None:
        """A step's record, or None where there is none that can be read."""
        return read_record(self._record_path(name), name)

    def file(self, name: str) -> Path:
        """A file of the folder that a record names."""
        return inside(self.path, name)

    def _made(
        self, name: str, key: str, make: Callable[[], StepOutcome], old_record: StepRecord | None
    ) -> StepRecord:
        self._record_path(name).unlink(missing_ok=True)
        began = time.monotonic()
        outcome = make()
        for path, content in outcome.files.items():
            if isinstance(content, bytes):
                plan.write_file(self.path / path, content)
            elif content != self.path / path:
                plan.copy_file(content, self.path / path)
        seconds = round(time.monotonic() - began, 3)
        files = {path: plan.sha256_of(self.path / path) for path in outcome.files}
        for stale in set(old_record.files if old_record else ()) - set(files):
            self.file(stale).unlink(missing_ok=True)
        facts = json.loads(json.dumps(outcome.facts))  # the same whether made now or remembered
        record = StepRecord(name, key, seconds, files, facts)
        plan.write_file(self._record_path(name), json.dumps(asdict(record), indent=1))
        return record

    def _record_path(self, name: str) -> Path:
        return self.path / HIDDEN / f"{name}.json"

    def _intact(self, record: StepRecord) -> bool:
        paths = {self.path / path: digest for path, digest in record.files.items()}
        return all(path.is_file() and plan.sha256_of(path) == d for path, d in paths.items())


@contextlib.contextmanager
def open_run(path: Path, progress: Progress, *, new: bool) -> Iterator[RunFolder]:
    """Lock a run folder and log what happens in it. With `new` it is made if it is not there."""
    hidden = path / HIDDEN
    refuse_links(path)
    if new:
        _refuse_foreign(path)
        with plan.writing(path):
            hidden.mkdir(parents=True, exist_ok=True)
    elif not hidden.is_dir():
        what = "is not a run folder" if path.exists() else "is not there"
        raise UsageError(
            f"{path} {what}.", hint=f"Make it with: edgeinfer compile MODEL --target none -o {path}"
        )
    with _lock_folder(path), _log_to_folder(path):
        plan.sweep_partial(path)
        try:
            yield RunFolder(path, progress)
        except KeyboardInterrupt as error:
            how = f"ended by {error.signal_name}" if isinstance(error, TerminationRequest) else ""
            LOG.warning("%s", how or "interrupted")
            raise
        except BaseException:
            LOG.exception("stopped")
            raise


def key_of(name: str, reads: Reads, depends_on: Mapping[str, Any]) -> str:
    """The content hash of a step's name, its options and inputs, and of what it reads."""
    text = json.dumps({"step": name, "reads": reads.digest, **depends_on}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_foreign(path: Path) -> None:
    """A folder full of someone's files is no place for a run."""
    if path.is_dir() and not (path / HIDDEN).is_dir() and any(path.iterdir()):
        raise UsageError(
            f"{path} is not empty and is not a run folder.",
            hint="Choose a folder that is new or empty, or the folder of an earlier run.",
        )


@contextlib.contextmanager
def _lock_folder(path: Path) -> Iterator[None]:
    lock_path = path / HIDDEN / "lock"
    with plan.writing(lock_path):
        own_file(lock_path)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            raise RunBusyError(
                f"Another edgeinfer (process {owner}) is working in {path}.",
                hint="Wait until it is done, or choose another folder.",
            ) from None
        with plan.writing(lock_path):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)  # which also releases it


class _RunLog(logging.FileHandler):
    """The log of a run. Where there is no room for it, the work says so, or ends without it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called by the library, which would print a traceback."""


@contextlib.contextmanager
def _log_to_folder(path: Path) -> Iterator[None]:
    log_path = path / "log.txt"
    with plan.writing(log_path):
        own_file(log_path)
        handler = _RunLog(log_path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    level, propagate = LOG.level, LOG.propagate
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)
        LOG.propagate = propagate
        with contextlib.suppress(OSError):
            handler.close()
