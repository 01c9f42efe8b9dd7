# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Workers elsewhere, by dask.distributed: trials go out with their files, runs come home.

Workers share no disk with us. Lost workers' trials are tried again; a scheduler that is lost ends
the study, which can be resumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.sweep.pool import TRIES, Done
from edgeinfer.sweep.trial import Carried, Job, carried_out, unpacked

CONNECT_SECONDS = 20.0
LOST = ("CancelledError", "FutureCancelledError", "CommClosedError")


@dataclass(slots=True)
class Cluster:
    """A scheduler's client, and where runs are put when they come home."""

    client: Any
    store: Path

    def carry_out(self, jobs: Sequence[Job], done: Done) -> None:
        """All jobs; `done` is told of each as its run is home."""
        from distributed import as_completed

        with self.client.as_current():
            futures = {self._sent(job): job for job in jobs}
            try:
                for future in as_completed(futures):  # type: ignore[no-untyped-call]
                    done(self._home(futures[future], future))
            except (OSError, TimeoutError) as error:
                raise _lost(error) from None

    def _sent(self, job: Job) -> Any:
        """A trial on its way, with all its files."""
        abroad = replace(job, store=None, files=_held(job.files))
        resources = dict(job.study.resources) if job.deep else {}
        return self.client.submit(
            carried_out, abroad, pure=False, retries=TRIES, resources=resources or None
        )

    def _home(self, job: Job, future: Any) -> Carried:
        """What came of a trial, its run unpacked into the store."""
        try:
            carried: Carried = future.result()
        except Exception as error:
            if type(error).__name__ in LOST:
                raise _lost(error) from None
            said = f"{type(error).__name__}: {error}"
            return Carried(dict(job.point), job.key, error=said[:500], deep=job.deep)
        if carried.parcel is not None:
            unpacked(carried.parcel, self.store / carried.key)
        return replace(carried, key=job.key, parcel=None)


def _held(files: Mapping[str, bytes | str]) -> dict[str, bytes | str]:
    """Files by their content, for machines that do not have them."""
    return {
        name: held if isinstance(held, bytes) else Path(held).read_bytes()
        for name, held in files.items()
    }


def _lost(error: BaseException) -> ToolFailedError:
    return ToolFailedError(
        f"The scheduler is lost: {error or type(error).__name__}.",
        hint="What is home is kept: start a scheduler and add --resume to the same command.",
    )


@contextlib.contextmanager
def cluster(address: str, store: Path) -> Iterator[Cluster]:
    """A client of a running scheduler."""
    try:
        from distributed import Client
    except ImportError:
        raise ToolMissingError(
            "--scheduler needs the package distributed, which is not installed.",
            hint="Get it with: pip install 'edgeinfer[cluster]'",
        ) from None
    try:
        client = Client(  # type: ignore[no-untyped-call]
            address, timeout=CONNECT_SECONDS, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError) as error:
        raise ToolFailedError(
            f"There is no scheduler at {address}: {error}.",
            hint="Start one with `dask scheduler`, and workers with `dask worker ADDRESS`.",
        ) from None
    try:
        yield Cluster(client, store)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=2)  # type: ignore[no-untyped-call]
