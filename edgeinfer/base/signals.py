# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ends that come from outside: SIGTERM and SIGHUP end us as Ctrl-C does, and children end with us.

A batch system sends SIGTERM and kills a little later. What we have started must not go on after us:
a vendor's synthesis would for hours.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

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


def _end(number: int, _frame: object) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second one would disturb the tidying up
    raise TerminationRequest(number)
