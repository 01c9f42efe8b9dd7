# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ends that come from outside: SIGTERM and SIGHUP end us as Ctrl-C does, and children end with us.

A batch system sends SIGTERM and kills a little later. What we have started must not go on after us:
a vendor's synthesis would for hours.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP)


class TerminationRequest(KeyboardInterrupt):
    """A signal asked us to end; where Ctrl-C is handled, so is this."""

    def __init__(self, number: int, kept: str = "") -> None:
        super().__init__(kept)
        self.number = number

    @property
    def signal_name(self) -> str:
        """Such as SIGTERM."""
        return signal.Signals(self.number).name


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within the block a signal to end is raised as an exception, once, so that whatever has been
    started is ended too. What was to be ignored, as under nohup, still is."""
    before = {}
    with contextlib.suppress(ValueError):  # not the main thread: signals do not come here
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def postpone_signals() -> Iterator[Callable[[], None]]:
    """Let a signal to end come no earlier than when the function is called that this gives, or at
    the end of the block: for what must not be left half begun."""
    came: list[int] = []
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, lambda number, _: came.append(number))

    def let_come() -> None:
        while before:
            signal.signal(*before.popitem())
        if came:
            signal.raise_signal(came.pop())

    try:
        yield let_come
    finally:
        let_come()


def _end(number: int, _frame: object) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second one would disturb the tidying up
    raise TerminationRequest(number)
