# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about an Ethos-U."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeinfer.targets.edgetpu.int8_settings import Int8Settings
from edgeinfer.targets.options import option


class Accelerator(StrEnum):
    """The configurations that Vela knows: a kind of NPU, and its multipliers."""

    U55_32 = "ethos-u55-32"
    U55_64 = "ethos-u55-64"
    U55_128 = "ethos-u55-128"
    U55_256 = "ethos-u55-256"
    U65_256 = "ethos-u65-256"
    U65_512 = "ethos-u65-512"
    U85_128 = "ethos-u85-128"
    U85_256 = "ethos-u85-256"
    U85_512 = "ethos-u85-512"
    U85_1024 = "ethos-u85-1024"
    U85_2048 = "ethos-u85-2048"

    @property
    def macs_per_cycle(self) -> int:
        """How many products the configuration makes in a cycle."""
        return int(self.value.rpartition("-")[2])


@dataclass(frozen=True, slots=True)
class EthosUSettings(Int8Settings):
    """Which NPU the file is compiled for."""

    accelerator: Accelerator = option(
        Accelerator.U55_128, "Ethos-U configuration; ethos-u55-128 by default"
    )
    compile_seconds: float = 600.0
