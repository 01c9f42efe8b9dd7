# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which requests may send their payload: as many at once as there is memory for.

A request is admitted when its headers are there and before its payload is read. HTTP says how long
the payload is; gRPC does not, so there each counts as the longest that may come. A request that
finds no room waits a little. A sender that is slow while others wait is cut off, so that it cannot
keep them out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgeinfer.serve.faults import RequestError, RequestFault

PATIENCE_SECONDS = 10.0  # for which a request waits for room
MOST_WAITING = 128  # requests that wait for room; more are refused at once
SLOW_SECONDS = 5.0  # in which a payload has to come while others wait


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Memory that is set aside for one payload, and how its sender is ended."""

    size_bytes: int
    since: float
    end: Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    size_bytes: int
    admitted: asyncio.Future[None]


class Admission:
    """Memory for payloads that are being received, by whatever protocol."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._shares: set[Share] = set()
        self._waiting: deque[_Waiter] = deque()

    async def enter(self, wanted_bytes: int, end: Callable[[], None]) -> Share:
        """Wait for room for a payload; an error where none comes. `end` is called if the payload
        takes too long."""
        share = self.try_enter(wanted_bytes, end)
        if share is not None:
            return share
        size = min(wanted_bytes, self._limit_bytes)
        if len(self._waiting) >= MOST_WAITING:
            raise self._overload()
        await self._wait(size)
        return self._share(size, end)

    def try_enter(self, wanted_bytes: int, end: Callable[[], None]) -> Share | None:
        """Room for a payload, if there is some now and nobody waits for it."""
        size = min(wanted_bytes, self._limit_bytes)
        if self._waiting or self._held_bytes + size > self._limit_bytes:
            return None
        self._held_bytes += size
        return self._share(size, end)

    def _share(self, size: int, end: Callable[[], None]) -> Share:
        share = Share(size, asyncio.get_running_loop().time(), end)
        self._shares.add(share)
        return share

    def leave(self, share: Share) -> None:
        """The payload is there, or will not come. A second time does nothing."""
        if share in self._shares:
            self._shares.remove(share)
            self._give_back(share.size_bytes)

    async def _wait(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(size, loop.create_future())
        self._waiting.append(waiter)
        patience = loop.call_later(PATIENCE_SECONDS, self._refuse, waiter)
        look = loop.call_later(self._next_slow(), self._end_slow, waiter)
        try:
            await waiter.admitted
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._admit()
            elif not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
                self._give_back(size)  # it came too late
            raise
        finally:
            patience.cancel()
            look.cancel()

    def _next_slow(self) -> float:
        """Seconds until the oldest share is too old."""
        now = asyncio.get_running_loop().time()
        oldest = min((share.since for share in self._shares), default=now)
        return max(0.0, oldest + SLOW_SECONDS - now)

    def _end_slow(self, waiter: _Waiter) -> None:
        """Cut off senders that have been slow while this one waits."""
        loop = asyncio.get_running_loop()
        for share in [s for s in self._shares if loop.time() - s.since >= SLOW_SECONDS]:
            self.leave(share)
            share.end()
        if not waiter.admitted.done():
            loop.call_later(max(self._next_slow(), 0.05), self._end_slow, waiter)

    def _refuse(self, waiter: _Waiter) -> None:
        if not waiter.admitted.done():
            self._waiting.remove(waiter)
            waiter.admitted.set_exception(self._overload())
            self._admit()  # the next one may want less

    def _overload(self) -> RequestError:
        return RequestError(
            RequestFault.OVERLOAD,
            f"The server is receiving as much as it may at once, {self._limit_bytes / 1e6:.1f} MB.",
            hint="Ask again later.",
        )

    def _give_back(self, size: int) -> None:
        self._held_bytes -= size
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            waiter = self._waiting[0]
            if self._held_bytes + waiter.size_bytes > self._limit_bytes:
                return
            self._waiting.popleft()
            if not waiter.admitted.done():
                self._held_bytes += waiter.size_bytes
                waiter.admitted.set_result(None)


def slow_sender() -> RequestError:
    """What a sender is told that was cut off."""
    return RequestError(
        RequestFault.OVERLOAD,
        f"The request did not arrive within {SLOW_SECONDS:g} s while others waited.",
        hint="Ask again later.",
    )
