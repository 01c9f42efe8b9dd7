# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Rewrites before the engine emits anything: less work, the very same integers.

Dead ops go, clips join the requantisation beside them, and requantisations move behind maximum
pools, where fewer elements are left to round. Values that somebody reads from outside keep their
names and their meaning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgeinfer.ir.bounds import bound_op
from edgeinfer.ir.engine.site_sets import SiteSet
from edgeinfer.ir.ops import (
    Clip,
    Op,
    Pool,
    PoolKind,
    Requant,
    Shape,
    inputs_of,
)
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed, Overflow, Quantizer, requantize
from quantization.ranges import Interval, hull, requantize_range

Limits = tuple[int | None, int | None]
_OPEN: Limits = (None, None)


@dataclass(frozen=True, slots=True)
class RewrittenProgram:
    """The ops that are left, all that is proved of them, and the clips folded into requants."""

    ops: tuple[Op, ...]
    ranges: dict[str, Interval]
    shapes: dict[str, Shape]
    limits: dict[str, Limits]  # by name of a Requant: also clipped to these, on its own grid
    site_sets: dict[str, SiteSet] = field(
        default_factory=dict
    )  # as rows: `shapes` has those of a row
    images: dict[str, Shape] = field(default_factory=dict)  # the whole shapes of what is held so

    @property
    def types(self) -> dict[str, Fixed]:
        """Types by value."""
        return {op.name: op.type for op in self.ops}


def rewrite_program(
    program: Program, proved: Mapping[str, Interval], kept: Sequence[str]
) -> RewrittenProgram:
    """The Program as the engine computes it; `kept` are the values that are read from outside."""
    ops = _alive(program.ops, kept)
    state = RewrittenProgram(ops, dict(proved), dict(program.shapes), {})
    while (smaller := _one_step(state, kept)) is not None:
        state = smaller
    return state


def _alive(ops: Sequence[Op], kept: Sequence[str]) -> tuple[Op, ...]:
    needed = set(kept)
    for op in reversed(ops):
        if op.name in needed:
            needed.update(inputs_of(op))
    return tuple(op for op in ops if op.name in needed)


def _one_step(state: RewrittenProgram, kept: Sequence[str]) -> RewrittenProgram | None:
    """The first rewrite that applies, or None."""
    readers = Counter(x for op in state.ops for x in inputs_of(op))
    by_name = {op.name: op for op in state.ops}
    for op in state.ops:
        match op:
            case Clip() | Requant() | Pool(kind=PoolKind.MAX):
                source = by_name[op.x]
            case _:  # the rewrites below start at these three kinds only
                continue
        if readers[source.name] > 1 or source.name in kept:
            continue
        match source, op:
            case Requant(), Clip() if _monotone(source, state.ranges[source.x], state):
                return _clip_after(state, source, op)
            case Clip(), Requant() if _monotone(op, _with_limits(source, state), state):
                return _clip_before(state, source, op)
            case ((Requant() | Clip()), Pool()) if _monotone(source, state.ranges[source.x], state):
                return _pool_first(state, source, op)
            case _:  # no rewrite is known for these two
                pass
    return None


def _with_limits(clip: Clip, state: RewrittenProgram) -> Interval:
    """What goes into a clip, and what comes out: a limit may lie beyond all that goes in."""
    return hull(state.ranges[clip.x], state.ranges[clip.name])


def _monotone(op: Requant | Clip, x: Interval, state: RewrittenProgram) -> bool:
    """Whether a larger input never yields a smaller y, over a range of inputs."""
    if isinstance(op, Clip) or op.overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return True
    free = Quantizer(Fixed(True, 63, 63 - op.type.frac), op.rounding)
    y = requantize_range(x, state.types[op.x].frac, free)
    return op.type.raw_min <= y.bottom and y.top <= op.type.raw_max


def clip_number(value: int, limits: Limits) -> int:
    """A number brought between the limits."""
    low, high = limits
    raised = value if low is None else max(value, low)
    return raised if high is None else min(raised, high)


def _join_limits(inner: Limits, outer: Limits) -> Limits:
    """Two clips, one after the other, as one."""
    low, high = (None if limit is None else clip_number(limit, outer) for limit in inner)
    return (outer[0] if low is None else low, outer[1] if high is None else high)


def _clip_after(state: RewrittenProgram, requant: Requant, clip: Clip) -> RewrittenProgram:
    limits = _join_limits(state.limits.get(requant.name, _OPEN), (clip.low, clip.high))
    merged = replace(requant, name=clip.name)
    return _swap_neighbours(state, (requant, clip), (merged,), {clip.name: limits})


def _clip_before(state: RewrittenProgram, clip: Clip, requant: Requant) -> RewrittenProgram:
    frac, input_range = state.types[clip.x].frac, state.ranges[clip.name]
    quantizer = Quantizer(requant.type, requant.rounding, requant.overflow)

    def after(limit: int) -> int:
        return int(requantize(np.asarray(limit), frac, quantizer))

    low = None if clip.low is None else after(input_range.bottom)
    high = None if clip.high is None else after(input_range.top)
    limits = _join_limits((low, high), state.limits.get(requant.name, _OPEN))
    merged = replace(requant, x=clip.x)
    return _swap_neighbours(state, (clip, requant), (merged,), {requant.name: limits})


def _pool_first(state: RewrittenProgram, step: Requant | Clip, pool: Pool) -> RewrittenProgram:
    early = replace(pool, name=f"{pool.name} of {step.x}", x=step.x, type=state.types[step.x])
    late = replace(step, name=pool.name, x=early.name)
    limits = {pool.name: state.limits[step.name]} if step.name in state.limits else {}
    swapped = _swap_neighbours(state, (step, pool), (early, late), limits)
    swapped.shapes[early.name] = state.shapes[pool.name]
    swapped.ranges[early.name] = bound_op(early, state.ranges, state.types, state.shapes)
    return swapped


def _swap_neighbours(
    state: RewrittenProgram, old: tuple[Op, Op], new: tuple[Op, ...], limits: dict[str, Limits]
) -> RewrittenProgram:
    """The ops with two neighbours in the flow replaced, at the place of the later one."""
    ops: list[Op] = []
    for op in state.ops:
        if op is old[1]:
            ops.extend(new)
        elif op is not old[0]:
            ops.append(op)
    return RewrittenProgram(
        tuple(ops), dict(state.ranges), dict(state.shapes), state.limits | limits
    )
