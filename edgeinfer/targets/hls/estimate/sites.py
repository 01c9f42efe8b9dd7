# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Blocks for sites as `nnet_sites.h` lays them out. No published design has been compared with
these: what is estimated of a design with one has the widest band."""

from __future__ import annotations

import math

from edgeinfer.ir.ops import Sites
from edgeinfer.targets.hls.estimate.elementwise import passing_stage
from edgeinfer.targets.hls.estimate.fabric import adder_luts, compare_luts
from edgeinfer.targets.hls.estimate.stage import Arrangement, HardwareStage, Value

SITES = "sites"  # the kind of these stages


def first_stage(
    a: Arrangement, op: Sites, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A comparison for each channel, and a count of the pixels so far: in arrays, a chain of as
    many additions as there are pixels."""
    f, at_once = a.fabric, 1 if a.streamed else x.positions
    counted = min(op.most or x.positions, x.positions).bit_length()
    each = x.channels * compare_luts(f, x.bits) + adder_luts(f, counted) + compare_luts(f, counted)
    cuts = 1 if a.streamed else math.ceil(x.positions * f.add_ns / f.usable_ns)
    return passing_stage(a, op.name, SITES, reads, x, out, lut=at_once * each, cuts=cuts)
