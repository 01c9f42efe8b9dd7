# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The steps of a run: load, lower, emit, simulate, evaluate; and the result they add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.samples import Samples, draw_samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.explain import MOST_SAMPLES, explain
from edgeinfer.evaluate.judge import Stage
from edgeinfer.ir import store
from edgeinfer.ir.program import Program
from edgeinfer.ir.show import show
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.report.result import Result
from edgeinfer.run import projects as run_projects
from edgeinfer.run import simulate
from edgeinfer.run import tools as run_tools
from edgeinfer.run.dependencies import EVALUATE, LOAD, LOWER, SIMULATE
from edgeinfer.run.emit import emit, estimate_target
from edgeinfer.run.folder import RunFolder, StepOutcome
from edgeinfer.run.lower import best_rounding, lower_as_asked, recipe_text
from edgeinfer.run.result import (
    PROGRAM,
    PROGRAM_TEXT,
    RECIPE,
    RESULT,
    assemble_result,
    float32_finding,
    program_metrics,
    program_part,
    recipe_part,
)
from edgeinfer.run.samples import Simulation, Source, digest_of, samples_of
from edgeinfer.run.tools import ToolOrder
from edgeinfer.run.trial import ModelFiles, ProgramTrial, recall_trial
from edgeinfer.targets.registry import ChosenTarget, known_targets
from quantization.fixed import Ints

BASE = (Stage.ENGINE, Stage.INTERPRET)  # stages that need no target


def compile_model(
    folder: RunFolder,
    model_path: Path,
    *,
    recipe_path: Path | None,
    data: Source | None,
    formats: PtqSettings | None = None,
    targets: Sequence[ChosenTarget] = (),
    projects: bool = True,
    worth: Callable[[Result], bool] = lambda estimated: True,
    tools: ToolOrder = ToolOrder(),  # noqa: B008  # immutable
    batch_axis: int | None = 0,
) -> Result:
    """Model -> Program -> targets, proved and tried; a step whose inputs are as before is not done
    again. Tools are started last, on projects that agree: where one is missing or fails, what was
    found without it is in ``result.json``.

    A model without formats of its own, and without a recipe, gets `formats`. Without `projects`,
    targets only estimate; where that is not `worth` it, nothing is tried.
    """
    if projects:
        tools.check_steps(targets)
    model = ModelFiles(model_path, batch_axis)
    read_as: dict[str, Any] = {"files": model.digests}
    if batch_axis != 0:
        read_as["batch_axis"] = batch_axis
    reference = data.reference if isinstance(data, Simulation) else None
    text = "" if recipe_path is None else recipe_text(recipe_path)
    loaded_from = {**read_as, "reference": reference}
    folder.step("load", LOAD, loaded_from, lambda: _load(model, reference))
    folder.step(
        "lower",
        LOWER,
        {
            **read_as,
            "recipe": text,
            "formats": None if formats is None else asdict(formats),
            "data": digest_of(data),
            "best_bits": [chosen.target.best_bits for chosen in targets],
            "rounding": best_rounding(targets),
        },
        lambda: _lower(model, recipe_path, formats, data, targets),
    )
    trial = ProgramTrial(folder, model, data, None, (Stage.ENGINE,))
    if not projects:
        for chosen in targets:
            estimate_target(trial, chosen)
        assembled = assemble_result(folder)
        return exercise(trial, (Stage.ENGINE,)) if worth(assembled) else assembled
    settled = [emit(trial, chosen) for chosen in targets]
    stages = (Stage.ENGINE, *(chosen.target.stage for chosen in settled if chosen.is_simulated))
    result = exercise(trial, stages, settled)
    busy = [chosen for chosen in settled if tools.of(chosen)]
    if not busy or result.disagreements:
        return result
    for chosen in busy:
        _, raw = samples_of_trial(trial, chosen)
        run_tools.synthesise(folder, trial.program, chosen, tools, raw)
    return write_result(folder, settled)


def simulate_run(
    folder: RunFolder,
    *,
    data: Path | None,
    count: int | None,
    stages: tuple[str, ...],
    edited: bool = False,
) -> Result:
    """The Program of a run, tried again on other samples; with what was `edited` in its targets'
    projects, where that may be run."""
    if count is not None and count < 1:
        raise UsageError(f"{count} samples cannot be simulated.", hint="Ask for 1 or more.")
    for step in ("load", "lower"):
        if not folder.recall_step(step):
            raise InputError(
                f"{folder.path} holds no finished compilation: the step {step!r} is missing, or a "
                f"file of it was changed.",
                hint=f"Finish it with: edgeinfer compile MODEL --target none -o {folder.path}",
            )
    base = tuple(stage for stage in BASE if stage in stages)
    trial = recall_trial(folder, data, count, base, edited=edited)
    targets = run_projects.recall_targets(folder, trial.digest)
    unknown = sorted(set(stages) - {*BASE, *(chosen.target.stage for chosen in targets)})
    if unknown:
        having = [name for name, each in known_targets().items() if each.make().stage in unknown]
        raise UsageError(
            f"{folder.path} was not compiled for a target that has the stage {unknown[0]}.",
            hint=f"Compile it with: edgeinfer compile MODEL --target {' or '.join(having)} "
            f"-o {folder.path}",
        )
    return exercise(trial, stages, targets)


def exercise(
    trial: ProgramTrial, stages: tuple[str, ...], targets: Sequence[ChosenTarget] = ()
) -> Result:
    """Try the folder's Program on samples, and write ``result.json``."""
    folder, program = trial.folder, trial.digest
    if trial.stages:
        facts = {**trial.depends_on, "samples": trial.tried, "stages": trial.stages}
        folder.step("simulate", SIMULATE, facts, trial.simulate)
    else:
        _as_before(folder, "simulate", program)
    if trial.data is not None:
        evaluated_on = {
            **trial.depends_on,
            "files": trial.model.digests,
            "at_most": trial.most_judged,
        }
        folder.step("evaluate", EVALUATE, evaluated_on, trial.evaluate)
    else:
        _as_before(folder, "evaluate", program)
    for chosen in targets:
        if chosen.target.stage in stages:
            _simulate_target(trial, chosen)
        else:
            run_projects.as_before(folder, chosen, chosen.target.stage)
        run_projects.as_before(folder, chosen, run_tools.step_of(chosen))
        run_projects.as_before(folder, chosen, board_step(chosen))
    return write_result(folder, targets)


def recall_trials(trial: ProgramTrial, targets: Sequence[ChosenTarget]) -> None:
    """What earlier steps found about this very Program and these very projects."""
    folder = trial.folder
    for step in ("simulate", "evaluate"):
        _as_before(folder, step, trial.digest)
    for chosen in targets:
        for step in (chosen.target.stage, run_tools.step_of(chosen), board_step(chosen)):
            run_projects.as_before(folder, chosen, step)


def board_step(chosen: ChosenTarget) -> str:
    """The step in which a real board computes."""
    return f"{chosen.name}-board"


def write_result(folder: RunFolder, targets: Sequence[ChosenTarget]) -> Result:
    """``result.json``, with what reports of tools lie beside the targets' projects."""
    for chosen in targets:
        run_tools.reports(folder, chosen)
    result = assemble_result(folder)
    plan.write_file(folder.path / RESULT, result.to_json())
    return result


def _as_before(folder: RunFolder, step: str, program: str) -> None:
    """What a step found about this very Program stays in the result."""
    before = folder.read_record(step)
    if before is not None and before.facts.get("program") == program:
        folder.recall_step(step)


def _simulate_target(trial: ProgramTrial, chosen: ChosenTarget) -> None:
    part, raw = samples_of_trial(trial, chosen)
    simulate.simulate(
        trial.folder, trial.program, chosen, part, raw, lambda: trial.model.loaded.graph,
        {**trial.depends_on, "files": trial.model.digests}, edited=trial.edited,
    )  # fmt: skip


def samples_of_trial(trial: ProgramTrial, chosen: ChosenTarget) -> tuple[Samples, dict[str, Ints]]:
    """The samples that a target is tried on, and what they are as the Program's inputs."""
    available = None if trial.data is None else len(trial.samples)
    count = simulate.samples_for(trial.program, available, trial.count)
    samples = trial.samples if trial.data is not None else replace(trial, count=count).samples
    part = samples.part(0, count)
    return part, judge.raw_inputs(trial.program, trial.recipe, part)


def _load(model: ModelFiles, reference: str | None) -> StepOutcome:
    graph = model.loaded.graph
    facts = {
        "model": {
            "name": graph.name,
            "file": f"model/{model.path.name}",
            "sha256": model.digests[model.path.name],
            "parameters": graph.parameters,
            "layers": len(graph.nodes) - len(graph.inputs),
        },
        "batch_axis": model.batch_axis,
        "reference": reference,
        "findings": model.loaded.findings,
    }
    return StepOutcome(facts, {f"model/{place}": path for place, path in model.files.items()})


def _lower(
    model: ModelFiles,
    recipe_path: Path | None,
    formats: PtqSettings | None,
    data: Source | None,
    targets: Sequence[ChosenTarget],
) -> StepOutcome:
    findings, graph = model.loaded.findings, model.loaded.graph
    samples_of_data = None if data is None else cache(lambda: samples_of(data, graph))
    loaded, lowered = lower_as_asked(model.loaded, recipe_path, formats, samples_of_data, targets)
    program = lowered.program
    part = program_part(program)
    explained = explain(
        lowered, graph, _draw_samples(program) if samples_of_data is None else samples_of_data()
    )
    chosen = [finding for finding in loaded.findings if finding not in findings]
    facts = {
        "recipe": recipe_part(lowered.recipe).model_dump(mode="json"),
        "program": part.model_dump(mode="json"),
        "metrics": [asdict(metric) for metric in (*program_metrics(program), *explained.metrics())],
        "findings": [
            *explained.findings,
            *chosen,
            *lowered.findings,
            *float32_finding(part),
        ],
    }
    files: Mapping[str, bytes] = {
        PROGRAM: store.save(program),
        PROGRAM_TEXT: show(program).encode(),
        RECIPE: lowered.recipe.to_toml().encode(),
    }
    return StepOutcome(facts, files)


def _draw_samples(program: Program) -> Samples:
    """Values from all over the types of a Program's inputs."""
    return draw_samples({op.name: (op.shape, op.type) for op in program.inputs}, MOST_SAMPLES)
