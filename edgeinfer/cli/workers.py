# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What verbs with many jobs share: how many processes, or which scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edgeinfer.base.signals import TerminationRequest

if TYPE_CHECKING:
    from edgeinfer.workers.cluster import Access

Jobs = Annotated[
    int | None, Parameter(help="processes on this machine; by default as many as suit it")
]


@Parameter(name="*")
@dataclass(frozen=True)
class SchedulerOptions:
    """The options of a Dask scheduler."""

    scheduler: Annotated[
        str | None,
        Parameter(
            name=["--scheduler", "--cluster"],
            help="tls://HOST:PORT of a Dask scheduler whose workers do the jobs; tcp:// on this "
            "machine",
        ),
    ] = None
    tls_ca: Annotated[
        Path | None, Parameter(help="with tls://: the certificate of the cluster's authority")
    ] = None
    tls_cert: Annotated[
        Path | None, Parameter(help="with tls://: the certificate of this client")
    ] = None
    tls_key: Annotated[Path | None, Parameter(help="with tls://: the key of --tls-cert")] = None
    worker_minutes: Annotated[
        float | None,
        Parameter(help="with --scheduler: how long to wait if it has no workers; 10 by default"),
    ] = None


NO_SCHEDULER = SchedulerOptions()


@contextlib.contextmanager
def telling_what_is_kept(kept: str) -> Iterator[None]:
    """Within the block, whoever interrupts the work is told how to go on with it."""
    try:
        yield
    except TerminationRequest as error:
        raise TerminationRequest(error.number, kept) from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept) from None


def scheduler_access(options: SchedulerOptions, jobs: int | None) -> Access | None:
    """The scheduler that is asked for; an error for options that would do nothing."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.workers.cluster import WORKER_MINUTES, Access

    if jobs is not None and jobs < 1:
        raise UsageError(f"{jobs} processes do nothing.", hint="Give 1 or more.")
    if options.scheduler is None:
        if options != NO_SCHEDULER:
            raise UsageError(
                "Certificates and --worker-minutes are for a scheduler, and none is named.",
                hint="Add --scheduler tls://HOST:PORT.",
            )
        return None
    if jobs is not None:
        raise UsageError("--jobs is for this machine, --scheduler for others.", hint="Give one.")
    minutes = WORKER_MINUTES if options.worker_minutes is None else options.worker_minutes
    return Access(options.scheduler, options.tls_ca, options.tls_cert, options.tls_key, minutes)
