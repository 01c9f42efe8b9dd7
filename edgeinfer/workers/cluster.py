# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Workers elsewhere, by dask.distributed: jobs go out with their files, outcomes come home.

Workers share no disk with us. Lost workers' jobs are tried again; a scheduler that is lost, or
that has no workers for too long, ends the work, which can be resumed. Jobs go out a few at a time,
for their files are in memory until they are done.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic
from urllib.parse import urlsplit

from edgeinfer.base.errors import EdgeInferError, ToolFailedError, UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.workers.kind import Job, JobKind, Outcome
from edgeinfer.workers.pool import TRIES

CONNECT_SECONDS = 20.0
LOOK_SECONDS = 2.0  # between two looks at whether there are workers
WORKER_MINUTES = 10.0  # without a worker that could take a job
MOST_OUT_EACH = 3  # jobs that are out for each thread of a worker
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
class Cluster(Generic[Job, Outcome]):
    """A scheduler's client, for jobs of one kind."""

    client: Any
    kind: JobKind[Job, Outcome]
    access: Access

    def carry_out(self, jobs: Sequence[Job], done: Callable[[Outcome], None]) -> None:
        """All jobs; `done` is called with the outcome of each as it comes home."""
        with self.client.as_current():
            try:
                self._wait(jobs, done)
            except EdgeInferError:
                raise
            except Exception as error:
                if isinstance(error, OSError | TimeoutError) or type(error).__name__ in LOST:
                    raise self._lost_error(error) from None
                raise

    def _wait(self, jobs: Sequence[Job], done: Callable[[Outcome], None]) -> None:
        from distributed import wait

        idle_since: float | None = None
        left = list(reversed(jobs))
        out: dict[Any, Job] = {}
        while left or out:
            threads = sum(worker.get("nthreads", 1) for worker in self._workers())
            while left and len(out) < MOST_OUT_EACH * max(threads, 1):
                job = left.pop()
                out[self._send(job)] = job
            try:
                ended = wait(  # type: ignore[no-untyped-call]
                    list(out), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED"
                )
                finished = list(ended.done)
            except TimeoutError:
                finished = []
            for future in finished:
                done(self._bring_home(out.pop(future), future))
            if finished or self._is_able(out):
                idle_since = None
                continue
            idle_since = idle_since or time.monotonic()
            if time.monotonic() - idle_since > 60.0 * self.access.worker_minutes:
                raise self._alone_error(len(left) + len(out))

    def _workers(self) -> list[Mapping[str, Any]]:
        return list(self.client.scheduler_info(n_workers=-1)["workers"].values())

    def _is_able(self, out: Mapping[Any, Job]) -> bool:
        """Whether there is a worker that could take one of the jobs."""
        needs_of_jobs = [self.kind.needs(job) for job in out.values()]
        return any(
            all(worker.get("resources", {}).get(name, 0.0) >= n for name, n in needs.items())
            for worker in self._workers()
            for needs in needs_of_jobs
        )

    def _send(self, job: Job) -> Any:
        """A job on its way, with all its files."""
        text, files = self.kind.pack(job)
        return self.client.submit(
            self.kind.carry_out_packed, text, files,
            pure=False, retries=TRIES, resources=dict(self.kind.needs(job)) or None,
        )  # fmt: skip

    def _bring_home(self, job: Job, future: Any) -> Outcome:
        """What came of a job."""
        try:
            return self.kind.bring_home(job, *future.result())
        except EdgeInferError:
            raise
        except Exception as error:
            if type(error).__name__ in LOST:
                raise self._lost_error(error) from None
            return self.kind.fail(job, f"{type(error).__name__}: {error}"[:500])

    def _lost_error(self, error: BaseException) -> ToolFailedError:
        return ToolFailedError(
            f"The scheduler is lost: {str(error).partition(chr(10))[0] or type(error).__name__}.",
            hint=f"Each {self.kind.noun} that is finished is kept: start a scheduler and "
            f"{self.kind.go_on}.",
        )

    def _alone_error(self, left: int) -> ToolFailedError:
        return ToolFailedError(
            f"{self.access.address} has had no worker for {self.access.worker_minutes:g} minutes "
            f"that could take a {self.kind.noun}; {left} are left.",
            hint=f"Each {self.kind.noun} that is finished is kept: start workers, with the "
            f"resources that are asked for, and {self.kind.go_on}; --worker-minutes waits longer.",
        )


@contextlib.contextmanager
def cluster(access: Access, kind: JobKind[Job, Outcome]) -> Iterator[Cluster[Job, Outcome]]:
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
        yield Cluster(client, kind, access)
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=2)  # type: ignore[no-untyped-call]
