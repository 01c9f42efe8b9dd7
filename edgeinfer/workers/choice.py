# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Who does the jobs: processes of this machine, or a cluster's workers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeinfer.base.errors import UsageError
from edgeinfer.workers.cluster import Access, cluster, warning_of
from edgeinfer.workers.kind import Job, JobKind, Outcome, Workers
from edgeinfer.workers.pool import fitting_jobs, pool


def choose_access(
    jobs: int | None,
    address: str | None,
    tls: tuple[str | Path, str | Path, str | Path] | None,
) -> Access | None:
    """The scheduler that is asked for; an error for what would do nothing. `tls`: the authority's
    certificate, ours, and the key of ours."""
    if jobs is not None and (jobs < 1 or address is not None):
        raise UsageError(
            f"{jobs} processes cannot do it here.", hint="Give 1 or more, or a cluster alone."
        )
    if address is not None:
        ca, certificate, key = map(Path, tls) if tls else (None, None, None)
        return Access(address, ca, certificate, key)
    if tls is not None:
        raise UsageError(
            "Certificates are for a scheduler, and none is named.", hint="Name tls://HOST:PORT."
        )
    return None


@contextlib.contextmanager
def open_workers(
    kind: JobKind[Job, Outcome],
    jobs: int | None,
    access: Access | None,
    warn: Callable[[str], None],
) -> Iterator[Workers[Job, Outcome]]:
    """Workers that end with the block. `warn` is called with what is to be known of a scheduler
    that others can reach."""
    if access is None:
        with pool(kind, jobs or fitting_jobs()) as processes:
            yield processes
        return
    if access.exposed:
        warn(warning_of(access))
    with cluster(access, kind) as workers:
        yield workers
