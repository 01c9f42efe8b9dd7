# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets in a run: which there are, their projects in the run folder, and their simulations.

Another package adds a target of its own by an entry point in the group `edgeinfer.targets` that
yields a `TargetEntry`; docs/hls.md shows how, and which tests it should pass.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from typing import Any

from edgeinfer import plan
from edgeinfer.devices import Device
from edgeinfer.errors import UsageError, did_you_mean
from edgeinfer.run import RunFolder
from edgeinfer.targets.protocol import Particular, Suits, Target

GROUP = "edgeinfer.targets"
EDITED = "not as emitted"  # said of files that someone has changed; `explain` repeats it


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


def remembered(folder: RunFolder, program: str) -> list[Chosen]:
    """The targets that a run was compiled for. A project that someone has edited since counts: it
    is what will be simulated, and a finding says so."""
    found = []
    for name, entry in known().items():
        record = folder.recorded(emission(name))
        if record is None or record.facts.get("program") != program:
            continue
        changed = changed_files(folder, record.files)
        facts = dict(record.facts)
        if changed:
            facts["findings"] = [
                *facts["findings"],
                f"{name}: {_listed(changed)} {EDITED}; what is there was simulated.",
            ]
        folder.records[emission(name)] = replace(record, cached=True, facts=facts)
        found.append(Chosen(name, entry, restored(entry, record.facts["settings"])))
    return found


def restored(entry: TargetEntry, told: Mapping[str, Any]) -> Any:
    """Settings from what a record says of them."""
    settings = _found(entry.settings)
    read: Callable[[Mapping[str, Any]], Any] | None = getattr(settings, "from_record", None)
    return read(told) if read is not None else settings(**told)


def changed_files(folder: RunFolder, files: Mapping[str, str]) -> list[str]:
    """Files of a record that are gone or other than they were left."""
    paths = {name: folder.path / name for name in files}
    return [
        name
        for name, path in paths.items()
        if not path.is_file() or plan.sha256_of(path) != files[name]
    ]


def emission(name: str) -> str:
    """The step that makes a target's project."""
    return f"emit-{name}"


def content_of(folder: RunFolder, name: str) -> str:
    """The content hash of a target's project as it lies on the disk, edited or not; what tools and
    simulations have left beside it is no part of it."""
    state = hashlib.sha256()
    for path in sorted(folder.records[emission(name)].files):
        found = folder.path / path
        state.update(f"{path} {plan.sha256_of(found) if found.is_file() else 'gone'} ".encode())
    return state.hexdigest()


def about(folder: RunFolder, chosen: Chosen) -> dict[str, Any]:
    """What a step about a target's project depends on: the project as it lies there, and the
    settings, which also say what nothing in the project does, such as the part."""
    return {"project": content_of(folder, chosen.name), "settings": asdict(chosen.settings)}


def as_before(folder: RunFolder, chosen: Chosen, step: str) -> None:
    """What a step found about this very project, with these settings, stays in the result."""
    before = folder.recorded(step)
    if before is not None and before.facts.get("about") == json.loads(
        json.dumps(about(folder, chosen))
    ):
        folder.remembered(step)


def _listed(changed: list[str]) -> str:
    shown = ", ".join(changed[:3])
    more = f" and {len(changed) - 3} more are" if len(changed) > 3 else ""
    verb = " is" if len(changed) == 1 else "" if more else " are"
    return f"{shown}{more}{verb}"


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
