# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Towers: steps that several values go through alike, with the same weights. Where they are, in a
network of any kind whose steps say what they read and what they do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Kinds = dict[str, int]  # by step; steps of one kind do the same to what steps of one kind make


@dataclass(frozen=True, slots=True)
class TowerStep:
    """A step of a network as far as towers are concerned: what it makes, what it reads, and what it
    does, which is the same for steps that do the same."""

    name: str
    reads: tuple[str, ...]
    form: Hashable  # None: it is never a part of a tower
    macs: int = 0
    begins: bool = False  # a layer with weights, which makes a tower of what follows it
    is_constant: bool = False


@dataclass(frozen=True, slots=True)
class TowerCall:
    """One use of a tower: the values that it reads, and its steps with the last one last. `form`
    has of each step its kind and the places of what it reads."""

    entries: tuple[str, ...]
    steps: tuple[str, ...]
    form: tuple[tuple[int, ...], ...]


Tower = tuple[TowerCall, ...]


def form_of(step: Any, leaving_out: Collection[str]) -> Hashable:
    """What a step does, by its class and its fields but for those that name things."""
    stated = (
        _content(getattr(step, each.name)) for each in fields(step) if each.name not in leaving_out
    )
    return (type(step).__name__, *stated)


def _content(value: Any) -> Hashable:
    if not isinstance(value, np.ndarray):
        return str(value)
    numbers = np.ascontiguousarray(value, "<i8" if value.dtype.kind in "iu" else "<f8")
    return value.shape, hashlib.sha256(numbers.tobytes()).hexdigest()


def largest_tower(
    steps: Sequence[TowerStep], outputs: Collection[str], beside: Collection[str] = ()
) -> Tower:
    """The calls of the tower that saves the most multiplications where it is made once; no calls
    where there is no tower. Steps `beside` are never in one."""
    kinds = _kinds_of(steps, set(beside))
    by_name = {step.name: step for step in steps}
    ends: dict[int, list[str]] = {}
    for name, kind in kinds.items():
        if not by_name[name].is_constant:
            ends.setdefault(kind, []).append(name)
    best: Tower = ()
    best_saving = (0, 0)
    for names in ends.values():
        calls = tuple(_call_to(name, steps, kinds) for name in names)
        macs = sum(by_name[name].macs for name in calls[0].steps)
        saving = (macs * (len(calls) - 1), len(calls[0].steps))
        if saving > best_saving and _is_tower(calls, steps, outputs):
            best, best_saving = calls, saving
    return best


def steps_behind(steps: Sequence[TowerStep], values: Collection[str]) -> set[str]:
    """These values, and everything that depends on them."""
    reached = set(values)
    for step in steps:
        if reached.intersection(step.reads):
            reached.add(step.name)
    return reached


def values_of(calls: Tower, steps: Sequence[TowerStep]) -> set[str]:
    """What the calls make; constants are there without them."""
    constants = {step.name for step in steps if step.is_constant}
    return {name for call in calls for name in call.steps} - constants


def _kinds_of(steps: Sequence[TowerStep], outside: set[str]) -> Kinds:
    """The kinds of steps that layers with the same weights, called several times, lead to: each is
    there several times. A layer reads anything that its form fits."""
    uses = Counter(step.form for step in steps if step.begins)
    outside = outside | {step.name for step in steps if step.begins and uses[step.form] == 1}
    while True:
        kinds = _number_steps(steps, outside)
        count = Counter(kinds.values())
        single = {
            step.name
            for step in steps
            if step.name in kinds
            and not step.is_constant
            and count[kinds[step.name]] == 1
            and all(x not in kinds or count[kinds[x]] > 1 for x in step.reads)
        }
        if not single:
            return kinds
        outside = outside | single


def _number_steps(steps: Sequence[TowerStep], outside: set[str]) -> Kinds:
    """The same where some steps are known to have no equal."""
    numbers: dict[Hashable, int] = {}
    kinds: Kinds = {}
    leading: set[str] = set()
    for step in steps:
        key: Hashable
        if step.form is None or step.name in outside:
            continue
        if step.is_constant:
            key = step.form
        elif leading.intersection(step.reads) and all(x in kinds for x in step.reads):
            key = (step.form, tuple(kinds[x] for x in step.reads))
            leading.add(step.name)
        elif step.begins:
            key = (step.form, "begins")
            leading.add(step.name)
        else:
            continue
        kinds[step.name] = numbers.setdefault(key, len(numbers))
    return kinds


def _call_to(last: str, steps: Sequence[TowerStep], kinds: Kinds) -> TowerCall:
    """What of a tower leads to a step."""
    needed, inside = {last}, list[TowerStep]()
    for step in reversed(steps):
        if step.name in needed and step.name in kinds:
            inside.append(step)
            needed.update(step.reads)
    inside.reverse()
    names = tuple(step.name for step in inside)
    made = set(names)
    entries = tuple(dict.fromkeys(x for step in inside for x in step.reads if x not in made))
    places = {name: place for place, name in enumerate((*entries, *names))}
    form = tuple((kinds[step.name], *(places[x] for x in step.reads)) for step in inside)
    return TowerCall(entries, names, form)


def _is_tower(calls: Tower, steps: Sequence[TowerStep], outputs: Collection[str]) -> bool:
    """Whether the calls do the same, in steps of their own of which only the last is read
    elsewhere, and none waits for another."""
    if len(calls) < 2 or any(call.form != calls[0].form for call in calls):
        return False
    inside = values_of(calls, steps)
    if len(inside) < sum(len(values_of((call,), steps)) for call in calls):
        return False
    hidden = inside - {call.steps[-1] for call in calls}
    if hidden.intersection(outputs):
        return False
    if any(hidden.intersection(step.reads) for step in steps if step.name not in inside):
        return False
    behind = steps_behind(steps, inside)
    return not any(entry in behind for call in calls for entry in call.entries)
