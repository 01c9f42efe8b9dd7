# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A recurrence as one stage: the hardware of its body once, and the time of all its steps.

No published design has been compared with this. A step waits for the one before it, so that nothing
overlaps: a loop takes the longest way through the body's stages, as often as it has steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.targets.hls.estimate.fabric import MULTIPLEXER_LUT
from edgeinfer.targets.hls.estimate.stage import Arrangement, GateCost, HardwareStage, Value

LOOP = "loop"  # the kind of these stages
STATE_CYCLES = 1  # of a step, to keep what the next one reads


def loop_stage(
    a: Arrangement,
    name: str,
    steps: int,
    body: Sequence[HardwareStage],
    sequences: Sequence[Value],
    states: Sequence[Value],
    out: Value,
    reads: tuple[str, ...],
) -> HardwareStage:
    """The stage of a recurrence. States and the entries of a step are in registers; arrays of whole
    sequences are read through multiplexers."""
    whole = 0 if a.streamed else sum(value.all_bits for value in sequences)
    kept = sum(value.all_bits for value in states)
    cycles = steps * (step_cycles(body) + STATE_CYCLES)
    lut = sum(stage.lut for stage in body) + MULTIPLEXER_LUT * whole
    ff = sum(stage.ff for stage in body) + kept + a.output_ff(out)
    dsp = float(sum(stage.dsp for stage in body))
    return HardwareStage(
        name, LOOP, reads, out, dsp, lut, ff, float(sum(stage.bram18 for stage in body)),
        busy_cycles=cycles, fill_cycles=cycles, drain_cycles=cycles,
        reuse=max((stage.reuse for stage in body), default=1), looped=True,
        after=_after_gates(a, body, lut, ff),
    )  # fmt: skip


def step_cycles(body: Sequence[HardwareStage]) -> int:
    """The longest way through the body; no layer takes less than the cycle of its call."""
    done: dict[str, int] = {}
    for stage in body:
        start = max((done[read] for read in stage.reads), default=0)
        done[stage.name] = start + max(stage.busy_cycles, 1)
    return max(done.values(), default=0)


def _after_gates(
    a: Arrangement, body: Sequence[HardwareStage], lut: float, ff: float
) -> GateCost | None:
    """What logic synthesis leaves, where that is known apart for some of the body's stages."""
    pairs = [(stage, stage.after) for stage in body if stage.after is not None]
    if not pairs:
        return None
    rest = (lut - sum(stage.lut for stage, _ in pairs)) * a.fabric.fit["lut_vsynth"]
    other_ff = (ff - sum(stage.ff for stage, _ in pairs)) * a.fabric.fit["ff_vsynth"]
    others = sum(stage.dsp for stage in body if stage.after is None)
    return GateCost(
        others + sum(after.dsp for _, after in pairs),
        rest + sum(after.lut for _, after in pairs),
        other_ff + sum(after.ff for _, after in pairs),
    )
