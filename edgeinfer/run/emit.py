# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A target's project as a step of a run, with what is known of it before anything is run."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.evaluate import judge
from edgeinfer.ir.program import Program
from edgeinfer.run.dependencies import reads_of
from edgeinfer.run.folder import LOG, RunFolder, StepOutcome
from edgeinfer.run.projects import MADE_ANEW, emission
from edgeinfer.run.records import StepRecord
from edgeinfer.run.trial import ProgramTrial
from edgeinfer.targets.options import option_words
from edgeinfer.targets.registry import ChosenTarget, restore_target
from edgeinfer.targets.target import Act, EmittedProject

SHOWN = 256  # samples that a target may learn ranges from


def emit(trial: ProgramTrial, chosen: ChosenTarget) -> ChosenTarget:
    """The target's project, in a folder of its own below the run's, with what is estimated of it.
    The target comes back with its goals turned into choices."""
    folder, target = trial.folder, chosen.target
    before = folder.read_record(emission(chosen.name))

    def take_step() -> StepOutcome:
        program, settings = trial.program, chosen.settings
        settings = target.settle(program, settings)
        emitted = _emit_project(trial, replace(chosen, settings=settings))
        if before is not None and before.facts.get("project") != emitted.plan.digest:
            _set_aside(folder, chosen.name, before)
        findings = [*emitted.plan.findings, *emitted.findings, *target.advise(program, settings)]
        facts = {
            **_target_facts(trial, replace(chosen, settings=settings)),
            "project": emitted.plan.digest,
            "findings": [f"{chosen.name}: {finding}" for finding in findings],
            "metrics": [asdict(metric) for metric in emitted.metrics],
        }
        files = {f"{chosen.name}/{path}": c for path, c in emitted.plan.files.items()}
        return StepOutcome(facts, files)

    depends_on: dict[str, Any] = {"program": trial.digest, "settings": asdict(chosen.settings)}
    if target.learns:
        depends_on |= {"files": trial.model.digests, **trial.depends_on}
    facts = folder.step(emission(chosen.name), reads_of(chosen, Act.EMIT), depends_on, take_step)
    return restore_target(chosen.name, facts["settings"])


def _target_facts(trial: ProgramTrial, chosen: ChosenTarget) -> dict[str, Any]:
    """What the result says of a target."""
    target = chosen.target
    return {
        "target": chosen.name,
        "program": trial.digest,
        "settings": asdict(chosen.settings),
        "options": option_words(chosen.settings),
        "title": target.title,
        "stage": target.stage,
        "stage_title": target.stage_title,
        "exact": target.exact,
        "pipelined": target.pipelined,
        "place": _part_facts(chosen),
    }


def estimate_target(trial: ProgramTrial, chosen: ChosenTarget) -> None:
    """What is known of a target's project without making it."""
    target = chosen.target

    def take_step() -> StepOutcome:
        refuse_ops(trial.program, chosen)
        program = trial.program
        settings = target.settle(program, chosen.settings)
        findings = target.advise(program, settings)
        return StepOutcome(
            {
                **_target_facts(trial, replace(chosen, settings=settings)),
                "findings": [f"{chosen.name}: {finding}" for finding in findings],
                "metrics": [asdict(metric) for metric in target.estimate(program, settings)],
            }
        )

    depends_on = {"program": trial.digest, "settings": asdict(chosen.settings)}
    reads = reads_of(chosen, Act.ESTIMATE)
    trial.folder.step(f"estimate-{chosen.name}", reads, depends_on, take_step)


def _emit_project(trial: ProgramTrial, chosen: ChosenTarget) -> EmittedProject:
    program, settings, target = trial.program, chosen.settings, chosen.target
    if target.learns:
        few = trial.samples.part(0, min(SHOWN, judge.affordable(op.shape for op in program.inputs)))
        raw = judge.raw_inputs(program, trial.recipe, few)
        return target.emit_from(program, trial.model.loaded.graph, raw, settings)
    refuse_ops(program, chosen)
    return EmittedProject(target.emit(program, settings), target.estimate(program, settings))


def refuse_ops(program: Program, chosen: ChosenTarget) -> None:
    """An error that lists every op that the target has no equal for."""
    offences: tuple[Offence, ...] = chosen.target.check(program, chosen.settings)
    if offences:
        raise UnsupportedModelError(
            f"{program.name} for the target {chosen.name}",
            offences,
            hint="Change what is listed, or choose other settings or another target.",
        )


def _part_facts(chosen: ChosenTarget) -> dict[str, Any]:
    """The part that a project is for, and what that offers."""
    place = chosen.target.place_of(chosen.settings)
    if place is None:
        return {}
    device = place.device
    return {
        "part": place.part,
        "device": device.name if device else None,
        "budget": dict(device.budget) if device else {},
    }


def _set_aside(folder: RunFolder, name: str, record: StepRecord) -> None:
    """An earlier project whose folder holds more than was emitted, such as hours of a tool's work,
    makes room for another one: its reports must not pass for the new one's."""
    place = folder.path / name
    emitted = {folder.file(path) for path in record.files}
    others = [path for path in place.rglob("*") if path.is_file() and path not in emitted]
    if all(path.relative_to(place).parts[0] in MADE_ANEW for path in others):
        return
    aside = folder.path / f"{name}-{record.facts['project'][:8]}"
    with plan.writing(aside):
        if aside.exists():
            shutil.rmtree(aside)
        place.rename(aside)
    LOG.info("%s: the earlier project and its reports are in %s", name, aside.name)
