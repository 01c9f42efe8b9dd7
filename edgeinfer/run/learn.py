# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Teach estimates by runs and by others' projects whose tools have left reports: what was estimated
of each design, and what the tool said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.run.estimate import program_of_project
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.projects import recall_targets
from edgeinfer.run.trial import stored_program
from edgeinfer.targets.lessons import FEWEST, RunLesson, keep_lessons, lessons_file
from edgeinfer.targets.registry import choose, known_targets
from edgeinfer.targets.target import Description


def learn_runs(runs: Sequence[Path]) -> Description:
    """Keep what the runs teach, and say what is known now."""
    new = [lesson for path in runs for lesson in _lessons_of(path)]
    every = keep_lessons(new)
    taught, every_run = {each.run for each in new}, {each.run for each in every}
    document: dict[str, Any] = {
        "file": str(lessons_file()),
        "runs": len(every_run),
        "new_runs": len(taught),
        "figures": len(every),
    }
    kinds: dict[str, set[str]] = {}
    for each in every:
        kinds.setdefault(f"{each.target}, {each.family}", set()).add(each.run)
    document["kinds"] = {kind: len(own) for kind, own in sorted(kinds.items())}
    lines = (
        f"{len(new)} figures of {len(taught)} designs were learned; {len(every)} of "
        f"{len(every_run)} are known, in {lessons_file()}.",
        *(f"{kind}: {_what_for(count)}" for kind, count in document["kinds"].items()),
    )
    return Description(document, lines)


def _what_for(count: int) -> str:
    """What so many designs of a kind are good for."""
    if count < FEWEST:
        return f"{count} of the {FEWEST} designs from which on estimates of this kind are corrected"
    return f"{count} designs; a figure is corrected by them if that would have helped each of them"


def _lessons_of(path: Path) -> list[RunLesson]:
    lessons = _lessons_of_project(path)
    if lessons is None:
        lessons = _lessons_of_run(path)
    if not lessons:
        raise UsageError(
            f"{path} holds no report of a tool that an estimate could learn from.",
            hint="Compile the model with --target hls --synth, or run the project's own scripts.",
        )
    return lessons


def _lessons_of_run(path: Path) -> list[RunLesson]:
    with open_run(path, Progress(), new=False) as folder:
        program = stored_program(folder)
        return [
            lesson
            for chosen in recall_targets(folder, program.digest)
            for lesson in chosen.target.lessons(program, path / chosen.name, chosen.settings)
        ]


def _lessons_of_project(path: Path) -> list[RunLesson] | None:
    """What a project teaches that someone else's tool has made; None where it is none."""
    for name in known_targets():
        chosen = choose(name, {})
        project = chosen.target.read_project(path, chosen.settings)
        if project is not None:
            _, program, _ = program_of_project(project, None, None, batch_axis=0)
            settings = chosen.target.settle(program, project.settings)
            folder = path if path.is_dir() else path.parent
            return list(chosen.target.lessons(program, folder, settings))
    return None
