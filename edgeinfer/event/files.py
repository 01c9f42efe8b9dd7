# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A file of planes as a job: what a worker needs to tag it, and what comes of it."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import DisagreementError, EdgeInferError, InputError, UsageError
from edgeinfer.base.plan import write_file
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.event.checked import CheckedTagger, build_checked, check_planes, tag_checked
from edgeinfer.event.event import PlaneSettings
from edgeinfer.event.frames import FrameLayout
from edgeinfer.event.planes import of_data
from edgeinfer.event.prefix import Cut, Obstacle
from edgeinfer.event.results import keep_tags, pack_tags, plane_figures
from edgeinfer.event.tagger import Way, choose_cut
from edgeinfer.event.wires import read_wires
from edgeinfer.ir import store
from edgeinfer.ir.program import Program
from edgeinfer.workers.journal import read_outcome
from edgeinfer.workers.kind import Files, JobKind, LineFormat

PROGRAM, WIRES, DATA = "program", "wires.npy", "data"  # what travels, by these names


class Failure(StrEnum):
    """Why a file has no tags."""

    INPUT = "input"  # the file, or a setting that does not suit it
    WORKER = "worker"  # the machine, or a process that was ended
    DISAGREEMENT = "disagreement"  # an integer differs from that of the patch


@dataclass(frozen=True, slots=True)
class TagOrder:
    """What is the same for all files: the tagger, and how planes are read and tagged."""

    program: Path
    digest: str  # of the program
    settings: PlaneSettings
    way: Way = Way.AUTO
    check: int = 0
    wires: Path | None = None

    @property
    def key(self) -> str:
        """A digest of all that decides the tags of a file."""
        wires = None if self.wires is None else hashlib.sha256(self.wires.read_bytes()).hexdigest()
        decides = [self.digest, asdict(self.settings), wires]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class FileJob:
    """A file to tag with an order."""

    order: TagOrder
    order_key: str
    name: str  # where its tags go, below the folder of all, without an ending
    file: Path

    @property
    def key(self) -> str:
        """The file as it is now: a file that was changed is tagged again."""
        about = self.file.stat()
        named = [self.order_key, self.name, about.st_size, about.st_mtime_ns]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What came of a file."""

    name: str
    key: str
    order_key: str
    planes: tuple[dict[str, Any], ...] = ()  # the figures of each
    sha256: str = ""  # of the archive with its tags
    seconds: float = 0.0
    failure: Failure | None = None
    reason: str = ""
    tags: bytes = b""  # the archive, until it is written


def tag_file(job: FileJob) -> FileOutcome:
    """Tag all planes of a file by one thread. Whatever goes wrong is part of the outcome."""
    begin = time.monotonic()
    outcome = FileOutcome(job.name, job.key, job.order_key)
    try:
        order = job.order
        program, cut, checked = _build_tagger(
            _Source(order.digest, order.way, order.check, order.settings.margin, order.program)
        )
        channel_of = None if order.wires is None else read_wires(order.wires)
        settings = order.settings
        planes = check_planes(program, cut, of_data(job.file, channel_of), settings)
        rows = [
            keep_tags(tags, checks)
            for tags, checks in tag_checked(checked, planes, settings, threads=1)
        ]
        if not rows:
            raise InputError(f"{job.file} holds no planes.")
        tags = pack_tags(program, rows)
        figures = tuple(plane_figures(program, row) for row in rows)
        digest = hashlib.sha256(tags).hexdigest()
        outcome = replace(outcome, planes=figures, tags=tags, sha256=digest)
    except EdgeInferError as error:
        outcome = replace(outcome, failure=_failure_of(error), reason=str(error))
    except Exception as error:  # one file must not end the work on thousands
        reason = f"{type(error).__name__}: {error}"[:500]
        outcome = replace(outcome, failure=Failure.WORKER, reason=reason)
    return replace(outcome, seconds=round(time.monotonic() - begin, 3))


def _failure_of(error: EdgeInferError) -> Failure:
    if isinstance(error, DisagreementError):
        return Failure.DISAGREEMENT
    return Failure.INPUT if isinstance(error, UsageError) else Failure.WORKER


@dataclass(frozen=True, slots=True)
class _Source:
    """What a tagger is built from; the digest says all about the file."""

    digest: str
    way: Way
    check: int
    margin: int | None
    path: Path = field(compare=False)


@functools.lru_cache(maxsize=1)
def _build_tagger(source: _Source) -> tuple[Program, Cut | Obstacle | FrameLayout, CheckedTagger]:
    """The tagger of a program, built once a process."""
    program = store.load(source.path.read_bytes(), str(source.path))
    cut = choose_cut(program, source.way, source.margin)
    return program, cut, build_checked(program, cut, source.check)


def _pack(job: FileJob) -> tuple[str, Files]:
    """A job as text, and the content of its files."""
    files = {PROGRAM: job.order.program.read_bytes(), DATA: job.file.read_bytes()}
    if job.order.wires is not None:
        files[WIRES] = job.order.wires.read_bytes()
    text = {
        "name": job.name, "file": job.file.name, "order_key": job.order_key,
        "digest": job.order.digest, "settings": asdict(job.order.settings),
        "way": job.order.way.value, "check": job.order.check,
    }  # fmt: skip
    return json.dumps(text), files


def _tag_packed(text: str, files: Files) -> tuple[str, bytes]:
    """On a worker that has no disk in common with us."""
    job = json.loads(text)
    with scratch_folder("files") as scratch:
        places = {name: scratch / name for name in (PROGRAM, WIRES) if name in files}
        # The ending of the file says what it is; its folder has nothing else in it.
        data = scratch / DATA / Path(job["file"]).name
        for name, place in places.items():
            write_file(place, files[name])
        write_file(data, files[DATA])
        order = TagOrder(
            places[PROGRAM], job["digest"], PlaneSettings(**job["settings"]),
            Way(job["way"]), job["check"], places.get(WIRES),
        )  # fmt: skip
        outcome = tag_file(FileJob(order, job["order_key"], job["name"], data))
    return json.dumps(_encode(outcome)), outcome.tags


def _bring_home(job: FileJob, text: str, parcel: bytes) -> FileOutcome:
    """An outcome, which belongs to our own file."""
    if not isinstance(text, str) or not isinstance(parcel, bytes):
        raise ValueError("a worker sent no text and file")
    outcome = _decode(json.loads(text))
    if not outcome.failure and hashlib.sha256(parcel).hexdigest() != outcome.sha256:
        raise ValueError("the tags were damaged on their way")
    return replace(outcome, name=job.name, key=job.key, order_key=job.order_key, tags=parcel)


def _encode(outcome: FileOutcome) -> dict[str, Any]:
    text = asdict(replace(outcome, tags=b""))
    del text["tags"]
    return text


def _decode(text: Mapping[str, Any]) -> FileOutcome:
    """A ValueError where it is no outcome."""
    unknown = set(text) - {spec.name for spec in fields(FileOutcome)} | set(text) & {"tags"}
    if unknown:
        raise ValueError(f"there is an unknown {min(unknown)!r}")
    outcome = read_outcome(FileOutcome, text)
    for plane in outcome.planes:
        if not all(isinstance(plane.get(name), int) for name in ("hits", "checked_one_by_one")):
            raise ValueError("the figures of a plane are none")
    return outcome


def _fail(job: FileJob, reason: str) -> FileOutcome:
    return FileOutcome(job.name, job.key, job.order_key, failure=Failure.WORKER, reason=reason)


def _key(job: FileJob) -> str:
    return job.key


def _needs(job: FileJob) -> Mapping[str, float]:
    return {}


FILES = JobKind(
    "file", "give the same command again", _key, tag_file, _fail,
    _pack, _tag_packed, _bring_home, _needs,
)  # fmt: skip
LINES = LineFormat("file", _encode, _decode)
