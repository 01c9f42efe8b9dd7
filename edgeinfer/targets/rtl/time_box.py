# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The time that all tools of a design may take together."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

LEAST_SECONDS = 1.0  # what a tool is given at least, so that it is the one to say that time is up


@dataclass(frozen=True, slots=True)
class TimeBox:
    """So many seconds from now on."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """What the next tool may take."""
        return max(self.began + self.seconds - time.monotonic(), LEAST_SECONDS)

    @property
    def over(self) -> bool:
        """Whether nothing more ought to be begun."""
        return self.left <= LEAST_SECONDS
