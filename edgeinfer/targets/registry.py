# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets in a run: which there are, their projects in the run folder, and their simulations.

Another package adds a target of its own by an entry point in the group `edgeinfer.targets` that
yields a `TargetEntry`; docs/hls.md shows how, and which tests it should pass.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.targets.target import Particular, Suits, Target

GROUP = "edgeinfer.targets"


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """How a target is found: its class, the class of its settings, and its simulation's stage."""

    target: str  # "package.module:Class"
    settings: str
    stage: str
    exact: bool = True  # whether the simulation has to equal the engine bit for bit

    def make(self) -> Target[Any]:
        """The target itself."""
        made: Target[Any] = _found(self.target)()
        return made

    def settings_from(self, options: Mapping[str, Any]) -> Any:
        """Settings of the target's kind; what is not given is as the target has it."""
        return _found(self.settings)(**options)

    def knows(self, option: str) -> bool:
        """Whether the target's settings have such a field."""
        return option in {spec.name for spec in fields(_found(self.settings))}

    def on_device(self, device: Device, asked: str) -> dict[str, Any] | None:
        """What a device, by the name it was asked for, says of the settings; None where it is
        nothing for this target."""
        says: Callable[[Device, str], dict[str, Any] | None] | None = getattr(
            _found(self.settings), "on_device", None
        )
        return None if says is None else says(device, asked)


TARGETS = {
    "hls": TargetEntry(
        "edgeinfer.targets.hls.target:HlsTarget",
        "edgeinfer.targets.hls.settings:HlsSettings",
        "csim",
    ),
    "rtl": TargetEntry(
        "edgeinfer.targets.rtl.target:RtlTarget",
        "edgeinfer.targets.rtl.settings:RtlSettings",
        "rtl",
    ),
    "edgetpu": TargetEntry(
        "edgeinfer.targets.edgetpu.target:EdgeTpuTarget",
        "edgeinfer.targets.edgetpu.settings:EdgeTpuSettings",
        "tflite",
        exact=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target with its settings, for one run."""

    name: str
    entry: TargetEntry
    settings: Any

    @property
    def simulated(self) -> bool:
        """Whether its project can be simulated here."""
        target = self.entry.make()
        return target.simulates(self.settings) if isinstance(target, Particular) else True

    @property
    def suits(self) -> Suits | None:
        """The target, if it would have certain formats where a model states none."""
        target = self.entry.make()
        return target if isinstance(target, Suits) else None


@functools.cache
def known() -> dict[str, TargetEntry]:
    """All targets by name: ours, and those that other packages bring."""
    brought = {point.name: point for point in metadata.entry_points(group=GROUP)}
    found = {name: point.load() for name, point in brought.items() if name not in TARGETS}
    return {**TARGETS, **found}


def choose(name: str, options: Mapping[str, Any]) -> Chosen:
    """A target by name, with settings."""
    entry = entry_of(name)
    return Chosen(name, entry, entry.settings_from(options))


def entry_of(name: str) -> TargetEntry:
    """A target by name."""
    entries = known()
    if name not in entries:
        raise UsageError(
            f"There is no target {name!r}.",
            hint=did_you_mean(name, entries) or f"The targets are none, {', '.join(entries)}.",
        )
    return entries[name]


def restored(entry: TargetEntry, told: Mapping[str, Any]) -> Any:
    """Settings from what a record says of them."""
    settings = _found(entry.settings)
    read: Callable[[Mapping[str, Any]], Any] | None = getattr(settings, "from_record", None)
    return read(told) if read is not None else settings(**told)


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
