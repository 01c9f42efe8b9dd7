# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Workers elsewhere, by dask.distributed: trials go out with their files, runs come home.

Workers share no disk with us. Lost workers' trials are tried again; a scheduler that is lost, or
that has no workers for too long, ends the study, which can be resumed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgeinfer.base.errors import EdgeInferError, ToolFailedError, UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.sweep.pool import TRIES, Done
from edgeinfer.sweep.travel import come_home, pack_job, run_on_worker
from edgeinfer.sweep.trial import TrialJob, TrialOutcome, unpack_folder

CONNECT_SECONDS = 20.0
LOOK_SECONDS = 2.0  # between two looks at whether there are workers
WORKER_MINUTES = 10.0  # without a worker that could take a trial
LOST = ("CancelledError", "FutureCancelledError", "FuturesCancelledError", "CommClosedError")
TLS = "tls"


@dataclass(frozen=True, slots=True)
class Access:
    """A scheduler, and how it is spoken to."""

    address: str
    ca: Path | None = None  # who signs the certificates of the cluster
    certificate: Path | None = None  # ours
    key: Path | None = None
    worker_minutes: float = WORKER_MINUTES

    def __post_init__(self) -> None:
        files = (self.ca, self.certificate, self.key)
        encrypted = self.scheme == TLS
        if any(files) and not encrypted:
            raise UsageError(
                f"Certificates are given, but {self.address} is not encrypted.",
                hint="Name the scheduler as tls://HOST:PORT.",
            )
        if encrypted and not all(files):
            raise UsageError(
                f"{self.address} needs --tls-ca, --tls-cert and --tls-key.",
                hint="docs/studies.md shows how to make them.",
            )
        for path in files:
            if path is not None and not path.is_file():
                raise UsageError(f"{path}: there is no such file.")
        if not self.worker_minutes > 0:
            raise UsageError("If you do not wait for workers, none can be used.")

    @property
    def scheme(self) -> str:
        """tcp, tls, or what else Dask speaks."""
        return self.address.partition("://")[0] if "://" in self.address else "tcp"

    @property
    def exposed(self) -> bool:
        """Whether others on the network could read along, and take the scheduler for themselves."""
        if self.scheme in (TLS, "wss", "inproc"):
            return False
        address = self.address if "://" in self.address else f"tcp://{self.address}"
        try:
            host = urlsplit(address).hostname or ""
            return host != "localhost" and not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return True


def warning_of(access: Access) -> str:
    """What is to be known of an exposed scheduler."""
    return (
        f"warning: {access.address} is neither encrypted nor protected: whoever reaches it can "
        f"read model and data and run programs on the workers. Use tls://, see docs/studies.md."
    )


@dataclass(slots=True)
class Cluster:
    """A scheduler's client, and where runs are put when they come home."""

    client: Any
    store: Path
    access: Access

    def carry_out(self, jobs: Sequence[TrialJob], done: Done) -> None:
        """All jobs; `done` is told of each as its run is home."""
        with self.client.as_current():
            waiting = {self._sent(job): job for job in jobs}
            try:
                self._wait(waiting, done)
            except EdgeInferError:
                raise
            except Exception as error:
                if isinstance(error, OSError | TimeoutError) or type(error).__name__ in LOST:
                    raise _lost_error(error) from None
                raise

    def _wait(self, waiting: dict[Any, TrialJob], done: Done) -> None:
        from distributed import wait

        idle_since: float | None = None
        while waiting:
            try:
                found = wait(  # type: ignore[no-untyped-call]
                    list(waiting), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED"
                )
                finished = list(found.done)
            except TimeoutError:
                finished = []
            for future in finished:
                done(self._home(waiting.pop(future), future))
            if finished or self._able(waiting):
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since > 60.0 * self.access.worker_minutes:
                raise _alone(self.access, len(waiting))

    def _able(self, waiting: Mapping[Any, TrialJob]) -> bool:
        """Whether there is a worker that could take one of the trials."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        wanted = [dict(job.study.resources) if job.deep else {} for job in waiting.values()]
        return any(
            all(worker.get("resources", {}).get(name, 0.0) >= n for name, n in needs.items())
            for worker in workers
            for needs in wanted
        )

    def _sent(self, job: TrialJob) -> Any:
        """A trial on its way, with all its files."""
        resources = dict(job.study.resources) if job.deep else {}
        return self.client.submit(
            run_on_worker, *pack_job(job), pure=False, retries=TRIES, resources=resources or None
        )

    def _home(self, job: TrialJob, future: Any) -> TrialOutcome:
        """What came of a trial, its run unpacked into the store."""
        try:
            carried = come_home(*future.result())
        except Exception as error:
            if type(error).__name__ in LOST:
                raise _lost_error(error) from None
            said = f"{type(error).__name__}: {error}"
            return TrialOutcome(dict(job.point), job.key, error=said[:500], deep=job.deep)
        if carried.parcel is not None:
            unpack_folder(carried.parcel, self.store / job.key)
        return replace(carried, point=dict(job.point), key=job.key, deep=job.deep, parcel=None)


def _lost_error(error: BaseException) -> ToolFailedError:
    return ToolFailedError(
        f"The scheduler is lost: {str(error).partition(chr(10))[0] or type(error).__name__}.",
        hint="Finished trials are kept: start a scheduler and add --resume to the same command.",
    )


def _alone(access: Access, left: int) -> ToolFailedError:
    return ToolFailedError(
        f"{access.address} has had no worker for {access.worker_minutes:g} minutes that could "
        f"take one of the {left} trials that are left.",
        hint="Finished trials are kept: start workers, with the resources that the study names, "
        "and add --resume to the same command; --worker-minutes waits longer.",
    )


@contextlib.contextmanager
def cluster(access: Access, store: Path) -> Iterator[Cluster]:
    """A client of a running scheduler."""
    require_extra("cluster", "--scheduler")
    from distributed import Client, Security

    security = None
    if access.scheme == TLS:
        security = Security(  # type: ignore[no-untyped-call]
            require_encryption=True,
            tls_ca_file=str(access.ca),
            tls_client_cert=str(access.certificate),
            tls_client_key=str(access.key),
        )
    try:
        client = Client(  # type: ignore[no-untyped-call]
            access.address, timeout=CONNECT_SECONDS, set_as_default=False, security=security
        )
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise ToolFailedError(
            f"There is no scheduler at {access.address}: {error}.",
            hint="Start one with `dask scheduler`, and workers with `dask worker ADDRESS`; of one "
            "that is there with TLS, check the certificates.",
        ) from None
    try:
        yield Cluster(client, store, access)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=2)  # type: ignore[no-untyped-call]
