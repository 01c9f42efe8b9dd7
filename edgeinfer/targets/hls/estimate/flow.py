# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""When a design is done: its latency and how often it takes a sample.

Three ways to connect layers, as hls4ml chooses them: one pipeline (all elements at hand and
nothing loops), tasks that hand whole tensors on (something loops), and streams.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.targets.hls.estimate.design import Design
from edgeinfer.targets.hls.estimate.fabric import HlsTool
from edgeinfer.targets.hls.estimate.stage import HardwareStage


@dataclass(frozen=True, slots=True)
class DesignTiming:
    """Cycles from a sample's first input to its last output, and between two samples."""

    latency_cycles: int
    ii_cycles: int


def is_one_pipeline(design: Design) -> bool:
    """Whether all layers share one pipeline."""
    return not design.arrangement.streamed and not any(stage.looped for stage in design.stages)


def timing(design: Design) -> DesignTiming:
    """Of the whole design."""
    if not design.stages:
        return DesignTiming(0, 1)
    if design.arrangement.streamed:
        return _stream_timing(design)
    if is_one_pipeline(design):
        return _one_pipeline(design)
    return _tasks(design)


def _one_pipeline(design: Design) -> DesignTiming:
    each = 1 if design.arrangement.fabric.tool is HlsTool.VITIS else 0  # a call takes a cycle more
    done: dict[str, int] = {}
    for stage in design.stages:
        own = stage.cuts
        start = max((done[name] for name in stage.reads), default=0)
        done[stage.name] = start + (own + each if own else 0)
    last = max(done.values())
    return DesignTiming(last + (1 if last else 0), max(stage.turns for stage in design.stages))


def _tasks(design: Design) -> DesignTiming:
    handed = 0 if design.arrangement.fabric.tool is HlsTool.VITIS else 1
    done: dict[str, int] = {}
    for stage in design.stages:
        start = max((done[name] for name in stage.reads), default=0)
        done[stage.name] = start + max(stage.busy_cycles, handed)
    tool = design.arrangement.fabric
    if tool.tool is HlsTool.VITIS and not tool.recent:
        # None takes the next sample before the last one is through: they share its registers.
        busiest = max(stage.busy_cycles for stage in design.stages)
        return DesignTiming(max(done.values()), max(*done.values(), busiest + 1))
    alone = tool.tool is HlsTool.VITIS
    intervals = [_interval(stage, alone=alone) for stage in design.stages]
    return DesignTiming(max(done.values()), max(intervals))


def _interval(stage: HardwareStage, *, alone: bool) -> int:
    """Cycles between two samples of a stage whose loop is pipelined to its end. alone: a stage
    that does not loop, or is folded, is a task that ends before it begins again."""
    if alone and (not stage.looped or stage.reuse > 1):
        return stage.busy_cycles + 1
    if not stage.looped:
        return 1
    return max(stage.busy_cycles - stage.cuts - 2, stage.reuse)


def _stream_timing(design: Design) -> DesignTiming:
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for stage in design.stages:
        start = max((first[name] for name in stage.reads), default=0)
        ended = max((last[name] for name in stage.reads), default=0)
        first[stage.name] = start + stage.fill_cycles
        last[stage.name] = max(ended + stage.drain_cycles, start + stage.busy_cycles)
    busiest = max(max(stage.busy_cycles, stage.turns) for stage in design.stages)
    placed = [*design.inputs, *(stage.out for stage in design.stages)]
    if design.arrangement.fabric.tool is HlsTool.VITIS or any(v.positions > 1 for v in placed):
        return DesignTiming(max(last.values()), busiest + 1)
    return DesignTiming(max(last.values()), max(stage.reuse for stage in design.stages))
