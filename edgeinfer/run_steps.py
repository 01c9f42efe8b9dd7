# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The steps of a run: load, lower, simulate, evaluate; and the result they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from edgeinfer import evaluate, model_files, plan, run_targets, samples
from edgeinfer.errors import InputError, ProgramError, RecipeError, UsageError
from edgeinfer.evaluate import Stage
from edgeinfer.graph import Graph
from edgeinfer.ir import store
from edgeinfer.ir.lower import Lowered, lower
from edgeinfer.ir.program import Program
from edgeinfer.ir.show import show
from edgeinfer.load import Loaded, load
from edgeinfer.result import Result
from edgeinfer.run import Outcome, RunFolder
from edgeinfer.run_defaults import BITS, drawn_for, formatted
from edgeinfer.run_result import (
    PROGRAM,
    PROGRAM_TEXT,
    RECIPE,
    RESULT,
    assembled,
    float32_finding,
    program_metrics,
    program_part,
    recipe_part,
)
from edgeinfer.run_targets import Chosen
from edgeinfer.samples import Samples
from quantization.fixed import FormatError
from quantization.recipe import Recipe

BASE = (Stage.ENGINE, Stage.INTERPRET)  # stages that need no target
MOST_SAMPLES = 64  # that stages are held against each other on, unless more are asked for
MOST_MACS = 1_000_000_000  # that the interpreter does in some ten seconds


@dataclass(frozen=True)
class Model:
    """A model's files, read when someone first asks for what they hold."""

    path: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their place beside the model."""
        return model_files.files_of(self.path)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Content hash of each file."""
        return {name: plan.sha256_of(path) for name, path in self.files.items()}

    @cached_property
    def loaded(self) -> Loaded:
        """The network that they hold."""
        return load(self.path)


@dataclass(frozen=True)
class Trial:
    """A Program and the samples that it is tried on, read when a step needs them."""

    folder: RunFolder
    model: Model
    data: Path | None
    count: int
    stages: tuple[Stage, ...]  # of the Program itself

    @cached_property
    def program(self) -> Program:
        """The folder's Program."""
        return stored_program(self.folder)

    @cached_property
    def recipe(self) -> Recipe:
        """The complete recipe of the Program."""
        return read_recipe(self.folder.path / RECIPE)

    @cached_property
    def samples(self) -> Samples:
        """The data, or what is drawn in their stead."""
        if self.data is None:
            inputs = {op.name: (op.shape, op.type) for op in self.program.inputs}
            return samples.drawn(inputs, self.count)
        return read_samples(self.data, self.model.loaded.graph)

    def simulate(self) -> Outcome:
        """The engine against the interpreter."""
        tried = self.samples.part(0, self.count)
        raw = evaluate.raw_inputs(self.program, self.recipe, tried)
        found = evaluate.try_stages(self.program, raw, self.stages, self.folder.progress.advanced)
        findings = [f"The stages were tried on {len(tried)} samples: {self.samples.origin}."]
        findings += evaluate.saturation(self.program, tried)
        return Outcome(
            {
                "program": self.program.digest,
                "agreement": [asdict(agreed) for agreed in found.agreement],
                "metrics": [asdict(metric) for metric in found.observed],
                "findings": findings,
            }
        )

    def evaluate(self) -> Outcome:
        """Float network and Program against the labels, and against each other."""
        graph = self.model.loaded.graph
        raw = evaluate.raw_inputs(self.program, self.recipe, self.samples)
        stages = {
            "float": evaluate.float_outputs(graph, self.samples),
            "quantized": evaluate.quantized_outputs(self.program, raw),
        }
        accuracy = {}
        if self.samples.labels:
            accuracy = {
                stage: asdict(evaluate.score(graph, outputs, self.samples))
                for stage, outputs in stages.items()
            }
        tasks = evaluate.tasks(graph, self.samples)
        fidelity = evaluate.fidelity(graph, stages["float"], stages["quantized"])
        return Outcome(
            {
                "program": self.program.digest,
                "data": self._data_part(),
                "data_path": None if self.data is None else str(self.data.absolute()),
                "task": tasks.pop() if len(tasks) == 1 else None,
                "accuracy": accuracy,
                "metrics": [asdict(metric) for metric in fidelity],
            }
        )

    def _data_part(self) -> dict[str, Any] | None:
        """Which samples these are, for whoever compares figures."""
        if self.data is None:
            return None
        digest = plan.sha256_of(self.data)
        return {"name": self.data.name, "sha256": digest, "samples": len(self.samples)}


def compile_model(
    folder: RunFolder,
    model_path: Path,
    *,
    recipe_path: Path | None,
    data: Path | None,
    bits: int | None = None,
    targets: Sequence[Chosen] = (),
) -> Result:
    """Model -> Program -> targets, proved and tried; a step whose inputs are as before is not done
    again.

    A model without formats of its own, and without a recipe, gets `bits` for every tensor.
    """
    model = Model(model_path)
    text = "" if recipe_path is None else recipe_text(recipe_path)
    folder.step("load", {"files": model.digests}, lambda: _load(model))
    folder.step(
        "lower",
        {
            "files": model.digests,
            "recipe": text,
            "bits": bits,
            "data": data and plan.sha256_of(samples.existing(data)),
        },
        lambda: _lower(model.loaded, recipe_path, bits, data),
    )
    program = folder.records["lower"].facts["program"]["digest"]
    for chosen in targets:
        run_targets.emit(folder, lambda: stored_program(folder), program, chosen)
    stages = (Stage.ENGINE, *(chosen.entry.stage for chosen in targets if chosen.simulated))
    return exercise(folder, model, data=data, count=None, stages=stages, targets=targets)


def stored_program(folder: RunFolder) -> Program:
    """The Program that a run folder holds."""
    path = folder.path / PROGRAM
    if not path.is_file():
        raise UsageError(
            f"{folder.path} holds no Program.", hint="Compile the model into it again."
        )
    return store.load(path.read_bytes(), str(path))


def simulate_run(
    folder: RunFolder, *, data: Path | None, count: int | None, stages: tuple[str, ...]
) -> Result:
    """The Program of a run, tried again on other samples."""
    if count is not None and count < 1:
        raise UsageError(f"{count} samples cannot be simulated.", hint="Ask for 1 or more.")
    for step in ("load", "lower"):
        if not folder.remembered(step):
            raise InputError(
                f"{folder.path} holds no finished compilation: the step {step!r} is missing, or a "
                f"file of it was changed.",
                hint=f"Finish it with: edgeinfer compile MODEL --target none -o {folder.path}",
            )
    model = Model(folder.path / folder.records["load"].facts["model"]["file"])
    targets = run_targets.remembered(folder, folder.records["lower"].facts["program"]["digest"])
    lost = set(stages) - {*BASE, *(chosen.entry.stage for chosen in targets)}
    if lost:
        raise UsageError(
            f"{folder.path} was not compiled for a target that has the stage {sorted(lost)[0]}.",
            hint=f"Compile it with: edgeinfer compile MODEL --target hls -o {folder.path}",
        )
    return exercise(folder, model, data=data, count=count, stages=stages, targets=targets)


def exercise(
    folder: RunFolder,
    model: Model,
    *,
    data: Path | None,
    count: int | None,
    stages: tuple[str, ...],
    targets: Sequence[Chosen] = (),
) -> Result:
    """Try the folder's Program on samples, and write ``result.json``. Without a count, as many
    samples are tried as the interpreter does in seconds, and a target's simulation in a minute."""
    lowered = folder.records["lower"].facts["program"]
    program = lowered["digest"]
    tried = count
    if tried is None:
        tried = max(1, min(MOST_SAMPLES, MOST_MACS // max(lowered["macs"], 1)))
    depends_on = {"program": program, "data": data and plan.sha256_of(samples.existing(data))}
    base = tuple(stage for stage in BASE if stage in stages)
    trial = Trial(folder, model, data, tried, base)
    if base:
        folder.step("simulate", {**depends_on, "samples": tried, "stages": base}, trial.simulate)
    else:
        _as_before(folder, "simulate", program)
    if data is not None:
        evaluated_on = {**depends_on, "files": model.digests}
        folder.step("evaluate", evaluated_on, trial.evaluate)
    else:
        _as_before(folder, "evaluate", program)
    for chosen in targets:
        if chosen.entry.stage in stages:
            _simulate_target(trial, chosen, count, depends_on)
        else:
            _as_before(folder, chosen.entry.stage, program)
    result = assembled(folder)
    plan.write_file(folder.path / RESULT, result.to_json())
    return result


def _as_before(folder: RunFolder, step: str, program: str) -> None:
    """What a step found about this very Program stays in the result."""
    before = folder.recorded(step)
    if before is not None and before.facts.get("program") == program:
        folder.remembered(step)


def _simulate_target(
    trial: Trial, chosen: Chosen, count: int | None, depends_on: Mapping[str, Any]
) -> None:
    available = None if trial.data is None else len(trial.samples)
    tried = run_targets.samples_for(trial.program, available, count)
    given = trial.samples if trial.data is not None else replace(trial, count=tried).samples
    part = given.part(0, tried)
    raw = evaluate.raw_inputs(trial.program, trial.recipe, part)
    run_targets.simulate(
        trial.folder, trial.program, chosen, part, raw, lambda: trial.model.loaded.graph,
        {**depends_on, "files": trial.model.digests},
    )  # fmt: skip


def _load(model: Model) -> Outcome:
    graph = model.loaded.graph
    facts = {
        "model": {
            "name": graph.name,
            "file": f"model/{model.path.name}",
            "sha256": model.digests[model.path.name],
            "parameters": graph.parameters,
            "layers": len(graph.nodes) - len(graph.inputs),
        },
        "findings": model.loaded.findings,
    }
    return Outcome(facts, {f"model/{place}": path for place, path in model.files.items()})


def _lower(
    loaded: Loaded, recipe_path: Path | None, bits: int | None, data: Path | None
) -> Outcome:
    said = loaded.findings
    loaded, lowered = lowered_as_asked(loaded, recipe_path, bits, data)
    program = lowered.program
    part = program_part(program)
    chosen = [finding for finding in loaded.findings if finding not in said]
    facts = {
        "recipe": recipe_part(lowered.recipe).model_dump(mode="json"),
        "program": part.model_dump(mode="json"),
        "metrics": [asdict(metric) for metric in program_metrics(program)],
        "findings": [*chosen, *lowered.findings, *float32_finding(part)],
    }
    files: Mapping[str, bytes] = {
        PROGRAM: store.save(program),
        PROGRAM_TEXT: show(program).encode(),
        RECIPE: lowered.recipe.to_toml().encode(),
    }
    return Outcome(facts, files)


def lowered_as_asked(
    loaded: Loaded, recipe_path: Path | None, bits: int | None, data: Path | None
) -> tuple[Loaded, Lowered]:
    """Lower a model under the formats that it, or the recipe, states; where neither states any,
    under one width for every tensor. The model comes back as it was lowered."""
    given = Recipe() if recipe_path is None else read_recipe(recipe_path)
    stated = loaded.recipe != Recipe() or given != Recipe()
    if stated and bits is not None:
        raise UsageError(
            f"--bits is for models without formats; {loaded.graph.name} has them.",
            hint="Leave it out, or choose new formats with edgeinfer quantize.",
        )
    if not stated:
        tried = drawn_for(loaded, given) if data is None else read_samples(data, loaded.graph)
        loaded = formatted(loaded, BITS if bits is None else bits, tried)
    return loaded, lowered_with(loaded, given, recipe_path)


def lowered_with(loaded: Loaded, given: Recipe, source: Path | None) -> Lowered:
    """Lower a model under its own recipe with another on top; errors name the recipe's file."""
    recipe = loaded.recipe.updated(given)
    name = loaded.graph.name
    try:
        return lower(loaded.graph, recipe)
    except RecipeError as error:
        if source is None:
            raise
        raise RecipeError(f"{source}: {error.message}", hint=error.hint) from None
    except (ProgramError, FormatError) as error:
        said = error.message if isinstance(error, ProgramError) else f"{name}: {error}"
        where = said if source is None else f"{source}: {said}"
        raise RecipeError(
            where, hint="Give narrower formats, in a recipe or with edgeinfer quantize."
        ) from None


def read_samples(path: Path, graph: Graph) -> Samples:
    """Data for a network's inputs, and labels for its outputs if there are any."""
    inputs = {node.name: node.shape for node in graph.inputs}
    return samples.read(path, inputs, {name: graph.shapes[name] for name in graph.outputs})


def read_recipe(path: Path) -> Recipe:
    """A recipe's file; every problem is a RecipeError that names it."""
    try:
        return Recipe.from_toml(recipe_text(path))
    except FormatError as error:
        raise RecipeError(f"{path}: {error}", hint="docs/recipes.md shows the format.") from None


def recipe_text(path: Path) -> str:
    """The text of a recipe's file."""
    samples.existing(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is no text, so it is no recipe.") from None
