# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Planes that cannot be tagged in reason, named with their numbers before anything is built."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.event.event import PlaneSettings, patch_of
from edgeinfer.event.frames import FrameLayout, hit_shape
from edgeinfer.event.places import count_touched, narrowest
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.prefix import Cut, Obstacle
from edgeinfer.ir.program import Program

MOST_HITS = 0.5  # of a plane's pixels: a busy event has one or two in a hundred
PIXEL_BYTES = 48  # of a plane: ADC counts, integers, row numbers, and what lies between them
PLANES_AT_ONCE = 3
MEMORY = Path("/proc/meminfo")


def check_plane(
    program: Program, cut: Cut | Obstacle | FrameLayout, plane: WirePlane, settings: PlaneSettings
) -> None:
    """Refuse a threshold that makes most of a plane a hit, and a plane that memory cannot hold."""
    if not math.isfinite(settings.threshold_adc):
        raise UsageError(
            f"A threshold of {settings.threshold_adc} ADC divides nothing.",
            hint="Give --threshold-adc a number, such as 4.",
        )
    charged = plane.adc >= settings.threshold_adc
    hits, pixels = int(np.count_nonzero(charged)), plane.adc.size
    if hits > MOST_HITS * pixels:
        raise UsageError(
            f"{hits:,} of the {pixels:,} pixels of {plane.name} ({hits / pixels:.0%}) reach "
            f"{settings.threshold_adc:g} ADC, and each would be a hit.",
            hint="Give a --threshold-adc above the noise: the median of this plane is "
            f"{float(np.median(plane.adc)):.3g} ADC, its largest value "
            f"{float(plane.adc.max()):.3g}.",
        )
    touched = count_touched(charged, cut.reach) if isinstance(cut, Cut) else 0
    needed = estimate_bytes(program, cut, pixels, hits, touched)
    free = available_bytes()
    if needed > free:
        wires, ticks = plane.adc.shape
        raise InputError(
            f"{plane.name}, {wires:,} wires x {ticks:,} pixels with {hits:,} hits, and planes like "
            f"it beside it need about {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are "
            "free.",
            hint="Divide the plane into parts that overlap by half a patch, "
            f"{patch_of(program)[0] // 2} wires, or raise --threshold-adc.",
        )


def estimate_bytes(
    program: Program, cut: Cut | Obstacle | FrameLayout, pixels: int, hits: int, touched: int
) -> int:
    """About how much memory a plane takes, with those that are worked on beside it."""
    outputs = sum(math.prod(hit_shape(program, output.value)) for output in program.outputs)
    rows = 0
    if isinstance(cut, Cut):
        last = cut.channels * narrowest(cut.low, cut.high).itemsize
        # Places, the table while it is put together, and neighbours side by side (floats at worst).
        rows = touched * (16 + 24 * last)
    return PLANES_AT_ONCE * (PIXEL_BYTES * pixels + rows + hits * (16 + 16 * outputs))


def available_bytes() -> int:
    """Memory that a new process may take without swapping; all of it where none can tell."""
    if MEMORY.is_file():
        line = re.search(r"^MemAvailable:\s+(\d+) kB", MEMORY.read_text(), re.MULTILINE)
        if line:
            return int(line[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
