# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about the Edge TPU."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.errors import UsageError
from edgeinfer.targets.edgetpu.latency import Link
from edgeinfer.targets.edgetpu.rules import NEWEST_RUNTIME, OLDEST_RUNTIME


@dataclass(frozen=True, slots=True)
class EdgeTpuSettings:
    """Which runtime the rules are for, and how the chip is reached."""

    runtime: int = NEWEST_RUNTIME
    link: Link = Link.USB
    compile_seconds: float = 600.0

    def __post_init__(self) -> None:
        if not OLDEST_RUNTIME <= self.runtime <= NEWEST_RUNTIME:
            raise UsageError(
                f"There are no rules for runtime version {self.runtime}.",
                hint=f"Choose {OLDEST_RUNTIME} to {NEWEST_RUNTIME}.",
            )
        if self.compile_seconds <= 0:
            raise UsageError(f"A time of {self.compile_seconds:g} s lets no compiler finish.")
