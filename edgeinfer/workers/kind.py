# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What workers have to know of the jobs that they do: a kind of jobs, as a record of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")
GivenJob = TypeVar("GivenJob", contravariant=True)
MadeOutcome = TypeVar("MadeOutcome", covariant=True)
Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class JobKind(Generic[Job, Outcome]):
    """How a job is named and done, here and on a machine that shares no disk with us.

    What travels is text and files, so that what comes home is read as data from anyone.
    """

    noun: str  # what a job is called in messages
    go_on: str  # what to do to go on where the work was ended, as a command to the user
    key: Callable[[Job], str]  # jobs of the same key are the same job
    carry_out: Callable[[Job], Outcome]
    fail: Callable[[Job, str], Outcome]  # the outcome of a job that could not be done
    pack: Callable[[Job], tuple[str, Files]]
    carry_out_packed: Callable[[str, Files], tuple[str, bytes]]
    bring_home: Callable[[Job, str, bytes], Outcome]  # a ValueError where it is no outcome
    needs: Callable[[Job], Mapping[str, float]]  # resources of a cluster's worker


@dataclass(frozen=True, slots=True)
class LineFormat(Generic[Outcome]):
    """How outcomes are written in a journal."""

    noun: str
    encode: Callable[[Outcome], Mapping[str, Any]]
    decode: Callable[[Mapping[str, Any]], Outcome]  # a ValueError where it is no outcome


class Workers(Protocol[GivenJob, MadeOutcome]):
    """Whoever carries out jobs."""

    def carry_out(self, jobs: Sequence[GivenJob], done: Callable[[MadeOutcome], None]) -> None:
        """All jobs; `done` is called with the outcome of each as it ends."""
        ...
