# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Trials that are done on other machines: they go out and come home as JSON and files, so that what
comes home is read as data from anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from edgeinfer.sweep.study import Study
from edgeinfer.sweep.trial import (
    TrialJob,
    TrialOutcome,
    as_dict,
    carry_out_trial,
    from_dict,
    unpack_folder,
)
from edgeinfer.workers.kind import Files, JobKind, LineFormat


def pack_job(job: TrialJob) -> tuple[str, Files]:
    """A trial as text, and its model and data by their content."""
    document = {
        "study": asdict(job.study),
        "point": job.point,
        "model": job.model,
        "deep": job.deep,
        "data": job.data,
    }
    return json.dumps(document), {
        name: content if isinstance(content, bytes) else Path(content).read_bytes()
        for name, content in job.files.items()
    }


def run_on_worker(text: str, files: Files) -> tuple[str, bytes]:
    """On a worker: the trial, what came of it as text, and its run folder packed up."""
    outcome = carry_out_trial(_unpack_job(text, files))
    return json.dumps(as_dict(outcome)), outcome.parcel or b""


def come_home(text: str, parcel: bytes) -> TrialOutcome:
    """What came of a trial; a ValueError where it is no such thing."""
    if not isinstance(text, str) or not isinstance(parcel, bytes):
        raise ValueError("a worker sent no text and file")
    outcome = from_dict(json.loads(text) | {"parcel": None})
    return replace(outcome, parcel=parcel) if parcel else outcome


def _unpack_job(text: str, files: Files) -> TrialJob:
    from pydantic import TypeAdapter

    document = json.loads(text)
    study = TypeAdapter(Study).validate_python(document["study"])
    point = tuple((name, value) for name, value in document["point"])
    return TrialJob(
        study, point, document["model"], files, None, document["deep"], document["data"]
    )


def _bring_home(job: TrialJob, text: str, parcel: bytes) -> TrialOutcome:
    """What came of a trial, its run unpacked into the store."""
    outcome = come_home(text, parcel)
    if outcome.parcel is not None and job.store is not None:
        unpack_folder(outcome.parcel, Path(job.store) / job.key)
    return replace(outcome, point=dict(job.point), key=job.key, deep=job.deep, parcel=None)


def _fail(job: TrialJob, reason: str) -> TrialOutcome:
    return TrialOutcome(dict(job.point), job.key, error=reason, deep=job.deep)


def _needs(job: TrialJob) -> Mapping[str, float]:
    return dict(job.study.resources) if job.deep else {}


def _key(job: TrialJob) -> str:
    return job.key


TRIALS = JobKind(
    "trial", "add --resume to the same command", _key, carry_out_trial, _fail,
    pack_job, run_on_worker, _bring_home, _needs,
)  # fmt: skip
LINES = LineFormat("trial", as_dict, from_dict)
