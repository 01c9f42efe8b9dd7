# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Workers on this machine: processes of one thread each, as many as the memory allows.

A worker that dies takes its job with it; the job is tried again, and fails when its workers keep
dying. Workers die with their parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Generic

from edgeinfer.workers.kind import Job, JobKind, Outcome

MEMORY_BYTES = 1_500_000_000  # that a worker may come to need
TRIES = 3  # of a job whose workers die
PR_SET_PDEATHSIG = 1


def fitting_jobs() -> int:
    """As many workers as there are processors and memory for."""
    processors = len(os.sched_getaffinity(0))
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(processors, free // MEMORY_BYTES))


@dataclass(slots=True)
class ProcessPool(Generic[Job, Outcome]):
    """Processes that carry out jobs of one kind, made anew when one of them has died."""

    kind: JobKind[Job, Outcome]
    jobs: int
    executor: ProcessPoolExecutor | None = None
    deaths: dict[str, int] = field(default_factory=dict)  # by the job's key

    def carry_out(self, jobs: Sequence[Job], done: Callable[[Outcome], None]) -> None:
        """All jobs; `done` is called with the outcome of each as it ends."""
        waiting = list(jobs)
        while waiting:
            waiting = self._round(waiting, done)

    def _round(self, jobs: list[Job], done: Callable[[Outcome], None]) -> list[Job]:
        """Jobs that a dead worker has left undone."""
        executor = self.executor or self._executor()
        futures: dict[Future[Outcome], Job] = {}
        left: list[Job] = []
        try:
            for job in jobs:
                futures[executor.submit(self.kind.carry_out, job)] = job
        except BrokenProcessPool:
            left += jobs[len(futures) :]
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                job = futures[future]
                try:
                    done(future.result())
                except BrokenProcessPool:
                    left.append(job)
        if left:
            self.close()
            return [job for job in left if not self._gives_up(job, done)]
        return []

    def _gives_up(self, job: Job, done: Callable[[Outcome], None]) -> bool:
        """A job whose worker died: nobody can tell whose fault it was among those together."""
        key = self.kind.key(job)
        self.deaths[key] = self.deaths.get(key, 0) + 1
        if self.deaths[key] < TRIES:
            return False
        reason = "its worker was ended from outside, or ran out of memory"
        done(self.kind.fail(job, f"{reason}, {TRIES} times"))
        return True

    def _executor(self) -> ProcessPoolExecutor:
        self.executor = ProcessPoolExecutor(
            self.jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_alone,
            initargs=(os.getpid(),),
        )
        return self.executor

    def close(self) -> None:
        """End all workers."""
        if self.executor is None:
            return
        workers = list((self.executor._processes or {}).values())
        self.executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            with contextlib.suppress(ValueError, OSError):
                worker.kill()  # its tools end with it
        self.executor = None


@contextlib.contextmanager
def pool(kind: JobKind[Job, Outcome], jobs: int) -> Iterator[ProcessPool[Job, Outcome]]:
    """Workers that end with the block."""
    process_pool = ProcessPool(kind, jobs)
    try:
        yield process_pool
    finally:
        process_pool.close()


def _alone(parent: int) -> None:
    """A worker: one thread, quiet, gone with its parent, deaf to Ctrl-C, which its parent hears."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    os.environ["EDGEINFER_THREADS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
