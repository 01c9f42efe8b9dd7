# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whether a client of HTTP/2 is still there, which TCP alone does not say for many minutes.

A silent client is asked. One that reads a large answer slowly finds the question behind all that
was sent before, of which its system and ours hold megabytes. So what it takes counts as a sign of
life, too, and it has the longer to answer the more of it may lie unread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

KEEPALIVE_SECONDS = 60.0  # after which a silent connection is asked whether it is still there
ANSWERLESS_SECONDS = 20.0  # after which it is not
MOST_UNREAD_BYTES = 8_000_000  # that the buffers of two systems may hold on the way


class Sign(Enum):
    """What is known of a client."""

    HERE = auto()
    SILENT = auto()  # so it is to be asked
    SLOW = auto()  # it was asked; what it has taken meanwhile is a sign of life
    GONE = auto()


@dataclass(slots=True)
class Presence:
    """What a client has let us know, from one look to the next. `slowest_bytes_per_s`: how fast it
    reads at least."""

    slowest_bytes_per_s: float
    has_heard: bool = False  # something since the last look
    written_bytes: int = 0  # for it
    _has_asked: bool = False
    _taken_bytes: int = 0  # of those, that our system had taken of us
    _heard_bytes: int = 0  # of those, what had been taken before the client was last heard
    _patient_until: float = 0.0

    def look(self, now: float, waiting_bytes: int) -> Sign:
        """What the client is, given how much of what was written has not gone on its way yet."""
        taken_bytes = self.written_bytes - waiting_bytes
        if self.has_heard:  # perhaps before anything of this was written
            self._heard_bytes = self._taken_bytes
        if taken_bytes > self._taken_bytes:
            unread_bytes = min(taken_bytes - self._heard_bytes, MOST_UNREAD_BYTES)
            self._patient_until = now + unread_bytes / self.slowest_bytes_per_s
        self._taken_bytes = taken_bytes
        is_slow = self._has_asked and not self.has_heard
        self._has_asked = not self.has_heard
        self.has_heard = False
        if not is_slow:
            return Sign.SILENT if self._has_asked else Sign.HERE
        return Sign.SLOW if now < self._patient_until else Sign.GONE

    @staticmethod
    def wait_seconds(sign: Sign) -> float:
        """How long until the next look."""
        return KEEPALIVE_SECONDS if sign is Sign.HERE else ANSWERLESS_SECONDS
