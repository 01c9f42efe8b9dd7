# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets' projects in a run folder: which there are, whether someone has edited them,
and what steps about them depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from edgeinfer.base import plan
from edgeinfer.run.folder import RunFolder
from edgeinfer.targets.registry import Chosen, known, restored

EDITED = "not as emitted"  # said of files that someone has changed; `explain` repeats it


def remembered(folder: RunFolder, program: str) -> list[Chosen]:
    """The targets that a run was compiled for. A project that someone has edited since counts: it
    is what will be simulated, and a finding says so."""
    found = []
    for name in known():
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
        found.append(restored(name, record.facts["settings"]))
    return found


def changed_files(folder: RunFolder, files: Mapping[str, str]) -> list[str]:
    """Files of a record that are gone or other than they were left."""
    paths = {name: folder.file(name) for name in files}
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
        found = folder.file(path)
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
