# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets' projects in a run folder: which there are, whether someone has edited them,
and what steps about them depend on."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.base.fenced import entries
from edgeinfer.ir.program import Program
from edgeinfer.run.folder import RunFolder
from edgeinfer.targets.registry import ChosenTarget, known_targets, restore_target

MADE_ANEW = ("csim", "sim")  # folders of a project that its simulation fills, in seconds
OBJECTS = (".o", ".so", ".a", ".d", ".log", ".bit", ".hwh")  # that builds leave; none is run here
EDITED = "not as emitted"  # said of files that someone has changed; `explain` repeats it


def recall_targets(folder: RunFolder, program: str) -> list[ChosenTarget]:
    """The targets that a run was compiled for. A project that someone has edited since counts: it
    is what will be simulated, and a finding says so."""
    targets = []
    for name in known_targets():
        record = folder.read_record(emission(name))
        if record is None or record.facts.get("program") != program:
            continue
        changed = changed_files(folder, record.files)
        facts = dict(record.facts)
        if changed:
            facts["findings"] = [
                *facts["findings"],
                f"{name}: {_list_files(changed)} {EDITED}; what is there was simulated.",
            ]
        folder.records[emission(name)] = replace(record, cached=True, facts=facts)
        targets.append(restore_target(name, record.facts["settings"]))
    return targets


def changed_files(folder: RunFolder, files: Mapping[str, str]) -> list[str]:
    """Files of a record that are gone or other than they were left."""
    paths = {name: folder.file(name) for name in files}
    return [
        name
        for name, path in paths.items()
        if not path.is_file() or plan.sha256_of(path) != files[name]
    ]


def refuse_foreign_code(
    folder: RunFolder, program: Program, chosen: ChosenTarget, *, may_be_edited: bool = True
) -> None:
    """An error where a project that was there before holds code that this Program does not give:
    a run folder may be anyone's, and code that is simulated is run. `may_be_edited`: whether the
    verb has an option that allows it."""
    target = chosen.target
    record = folder.records.get(emission(chosen.name))
    if target.learns or (record is not None and not record.cached):
        return  # its files are no programs, or we have just written them
    place = folder.path / chosen.name
    expected_files = target.emit(program, chosen.settings).files
    foreign = [
        name for name, content in expected_files.items() if not _holds(place / name, content)
    ]
    homes = {PurePosixPath(name).parts[0] for name in expected_files if "/" in name} - {*MADE_ANEW}
    for home in sorted(homes):
        for path, mode in entries(place / home):
            name = path.relative_to(place).as_posix()
            if not stat.S_ISDIR(mode) and path.suffix not in OBJECTS and name not in expected_files:
                foreign.append(name)
    if foreign:
        raise UsageError(
            f"{place}: {_list_files(foreign)} {EDITED}, and would be run.",
            hint="Look at it, then add --edited to run it all the same; compile writes the project "
            "anew."
            if may_be_edited
            else "Look at it; compile writes the project anew.",
        )


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def emission(name: str) -> str:
    """The step that makes a target's project."""
    return f"emit-{name}"


def content_of(folder: RunFolder, name: str) -> str:
    """The content hash of a target's project as it lies on the disk, edited or not; what tools and
    simulations have left beside it is no part of it."""
    state = hashlib.sha256()
    for path in sorted(folder.records[emission(name)].files):
        file = folder.file(path)
        state.update(f"{path} {plan.sha256_of(file) if file.is_file() else 'gone'} ".encode())
    return state.hexdigest()


def about(folder: RunFolder, chosen: ChosenTarget) -> dict[str, Any]:
    """What a step about a target's project depends on: the project as it lies there, and the
    settings, which also say what nothing in the project does, such as the part."""
    return {"project": content_of(folder, chosen.name), "settings": asdict(chosen.settings)}


def as_before(folder: RunFolder, chosen: ChosenTarget, step: str) -> None:
    """What a step found about this very project, with these settings, stays in the result."""
    before = folder.read_record(step)
    if before is not None and before.facts.get("about") == json.loads(
        json.dumps(about(folder, chosen))
    ):
        folder.recall_step(step)


def _list_files(changed: list[str]) -> str:
    names_text = ", ".join(changed[:3])
    more = f" and {len(changed) - 3} more are" if len(changed) > 3 else ""
    verb = " is" if len(changed) == 1 else "" if more else " are"
    return f"{names_text}{more}{verb}"
