# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about a microcontroller."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.edgetpu.int8_settings import Int8Settings
from edgeinfer.targets.options import option


class Cpu(StrEnum):
    """Processors of which there are published times."""

    M4 = "cortex-m4"
    M33 = "cortex-m33"
    M7 = "cortex-m7"


@dataclass(frozen=True, slots=True)
class TfliteMicroSettings(Int8Settings):
    """Which processor, and how fast."""

    cpu: Cpu = option(Cpu.M4, "processor that times are estimated for; cortex-m4 by default")
    cpu_mhz: float = option(120.0, "the processor's clock in MHz; 120 by default")

    def __post_init__(self) -> None:
        Int8Settings.__post_init__(self)
        if not 1 <= self.cpu_mhz <= 2000:
            raise UsageError(f"A microcontroller has no clock of {self.cpu_mhz:g} MHz.")
