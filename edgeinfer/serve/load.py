# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How much a server takes: many clients that each ask again as soon as they are answered."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeinfer.base.errors import EdgeInferError, ToolFailedError
from edgeinfer.serve.client import Client, Identity
from edgeinfer.serve.connect import ClientLibrary, connect

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """How a server is loaded."""

    clients: int
    seconds: float
    warmup_seconds: float
    library: ClientLibrary = ClientLibrary.OWN  # which prepared the request


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What so many clients saw, measured at the clients."""

    clients: int
    samples_per_request: int
    requests: int
    seconds: float
    latencies_ms: dict[str, float]  # by percentile: "p50"
    errors: dict[str, int]  # by what the server said

    @property
    def samples_per_second(self) -> float:
        """The rate."""
        return self.requests * self.samples_per_request / self.seconds

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "concurrency": self.clients,
            "samples_per_request": self.samples_per_request,
            "requests": self.requests,
            "seconds": self.seconds,
            "samples_per_second": self.samples_per_second,
            "latency_ms": self.latencies_ms,
            "errors": self.errors,
        }


@dataclass(slots=True)
class _ClientLog:
    """What one client saw within the time that counts."""

    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def load_server(
    url: str, identity: Identity, prepared: Any, samples: int, settings: LoadSettings
) -> LoadResult:
    """Send one request again and again by so many connections at once."""
    begin = time.perf_counter() + settings.warmup_seconds
    end = begin + settings.seconds
    logs = [_ClientLog() for _ in range(settings.clients)]
    threads = []
    for log in logs:
        # each thread connects for itself: tritonclient's objects belong to one
        connecting = functools.partial(connect, url, identity, settings.library)
        arguments = (connecting, prepared, begin, end, log)
        threads.append(threading.Thread(target=_ask_until, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = np.array([seconds for log in logs for seconds in log.latencies])
    errors = sum((log.errors for log in logs), Counter[str]())
    if not latencies.size:
        reason = next(iter(errors), "nothing")
        raise ToolFailedError(f"{url} answered no request in {settings.seconds:g} s: {reason}")
    percentiles_ms = np.percentile(latencies, PERCENTILES) * 1e3
    names = [f"p{percentile}" for percentile in PERCENTILES]
    return LoadResult(
        settings.clients,
        samples,
        latencies.size,
        settings.seconds,
        dict(zip(names, percentiles_ms.tolist(), strict=True)),
        dict(errors),
    )


def _ask_until(
    connecting: Callable[[], Client], prepared: Any, begin: float, end: float, log: _ClientLog
) -> None:
    """Ask until the end; what is answered between begin and end counts."""
    client = connecting()
    try:
        while (start := time.perf_counter()) < end:
            try:
                client.send(prepared)
            except EdgeInferError as error:
                log.errors[str(error)] += 1
                time.sleep(0.01)  # a server that refuses at once is not asked all the harder
                continue
            done = time.perf_counter()
            if begin <= done <= end:
                log.latencies.append(done - start)
    finally:
        client.close()
