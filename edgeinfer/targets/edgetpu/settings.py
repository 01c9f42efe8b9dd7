# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about the Edge TPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError
from edgeinfer.targets.edgetpu.int8_settings import Int8Settings
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.rules import NEWEST_RUNTIME, OLDEST_RUNTIME
from edgeinfer.targets.options import COMPILE, option


@dataclass(frozen=True, slots=True)
class EdgeTpuSettings(Int8Settings):
    """Which runtime the rules are for, and how the chip is reached."""

    runtime: int = option(
        NEWEST_RUNTIME, f"runtime version that the rules are for; {NEWEST_RUNTIME} by default"
    )
    link: Link = option(Link.USB, "how the chip is reached; usb by default")
    segments: int = option(1, "how many chips work in a pipeline; 1 by default", verbs=())
    search_delegate: bool = option(
        False,
        "let the vendor's compiler leave operators to the host, one after another, where it fails",
        verbs=(COMPILE,),
        needs="synth",
    )
    time_host: bool = option(
        False,
        "measure on this computer how long the operators take that stay on the host, instead of "
        "estimating it; slower hosts are scaled",
        verbs=(COMPILE,),
    )
    compile_seconds: float = 600.0

    def __post_init__(self) -> None:
        Int8Settings.__post_init__(self)
        if not OLDEST_RUNTIME <= self.runtime <= NEWEST_RUNTIME:
            raise UsageError(
                f"There are no rules for runtime version {self.runtime}.",
                hint=f"Choose {OLDEST_RUNTIME} to {NEWEST_RUNTIME}.",
            )
        if self.compile_seconds <= 0:
            raise UsageError(f"A time of {self.compile_seconds:g} s is too short for the compiler.")

    @classmethod
    def on_device(cls, device: Device, device_name: str) -> dict[str, Any] | None:
        """Nothing more to say of the chip that this is for; None for every other."""
        return {} if device.family == "Edge TPU" else None
