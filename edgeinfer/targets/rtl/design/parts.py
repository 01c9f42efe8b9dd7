# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a design may take of the part that it is for. Parts are devices, told in one place."""

from __future__ import annotations

from dataclasses import replace

from edgeinfer.base.devices import Device, device
from edgeinfer.base.errors import UsageError
from edgeinfer.targets.rtl.settings import Budget, RtlSettings

DEFAULT_MULTIPLIERS = 128


def part_of(settings: RtlSettings) -> Device:
    """The device of the settings; an error where it has no logic to make a design of."""
    device_of_part = device(settings.part)
    if not {"lut", "alm"} & set(device_of_part.budget):
        raise UsageError(
            f"{device_of_part.name} is not an FPGA: a design in RTL cannot be made for it.",
            hint="See edgeinfer devices.",
        )
    return device_of_part


def budget_of(settings: RtlSettings) -> Budget:
    """The budget that was given; what was left open is as the part has it. Memories count as
    blocks: what LUTs could hold besides is small, and wanted for logic."""
    part, limits = part_of(settings), settings.budget
    multipliers = DEFAULT_MULTIPLIERS if limits.multipliers is None else limits.multipliers
    if limits.multipliers is None and part.offers("dsp"):
        multipliers = min(multipliers, part.budget["dsp"])
    bits = part.memory_bits if limits.memory_bits is None else limits.memory_bits
    return replace(limits, multipliers=multipliers, memory_bits=bits)
