# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's files, and a Program with the samples that it is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.data import samples
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge as evaluate
from edgeinfer.evaluate.judge import Stage
from edgeinfer.evaluate.merit import FloatReference, score_with_intervals
from edgeinfer.evaluate.streams import follow_states
from edgeinfer.ir import store
from edgeinfer.ir.program import Program
from edgeinfer.readers import LoadedModel, load
from edgeinfer.readers import files as model_files
from edgeinfer.run.folder import RunFolder, StepOutcome
from edgeinfer.run.lower import read_recipe
from edgeinfer.run.result import PROGRAM, RECIPE
from edgeinfer.run.samples import (
    DataFile,
    Simulation,
    Source,
    describe_samples,
    digest_of,
    samples_of,
)
from quantization.recipe import Recipe

MOST_SAMPLES = 64  # that stages are held against each other on, unless more are asked for
MOST_MACS = 1_000_000_000  # that the interpreter does in some ten seconds


@dataclass(frozen=True)
class ModelFiles:
    """A model's files, read when someone first asks for what they hold."""

    path: Path
    batch_axis: int | None = 0  # which axis of an ONNX file counts samples; None: none does

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their place beside the model."""
        return model_files.files_of(self.path)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Content hash of each file."""
        return {name: plan.sha256_of(path) for name, path in self.files.items()}

    @cached_property
    def loaded(self) -> LoadedModel:
        """The network that they hold."""
        return load(self.path, batch_axis=self.batch_axis)


def recall_model(folder: RunFolder, facts: Mapping[str, Any]) -> ModelFiles:
    """The model of a run, as the record of its reading says it was read."""
    return ModelFiles(folder.file(facts["model"]["file"]), facts.get("batch_axis", 0))


@dataclass(frozen=True)
class ProgramTrial:
    """A Program and the samples that it is tried on, read when a step needs them."""

    folder: RunFolder
    model: ModelFiles
    data: Source | None
    count: int | None  # None: what the interpreter does in seconds, and a target in a minute
    stages: tuple[Stage, ...]  # of the Program itself
    edited: bool = False  # whether code in the folder that was changed may be run

    @property
    def digest(self) -> str:
        """The Program's."""
        digest: str = self.folder.records["lower"].facts["program"]["digest"]
        return digest

    @cached_property
    def tried(self) -> int:
        """How many samples the Program itself is tried on."""
        if self.count is not None:
            return self.count
        lowered: dict[str, Any] = self.folder.records["lower"].facts["program"]
        affordable = evaluate.affordable(part["shape"] for part in lowered["inputs"])
        macs: int = lowered["macs"]
        return max(1, min(MOST_SAMPLES, MOST_MACS // max(macs, 1), affordable))

    @cached_property
    def most_judged(self) -> int:
        """On how many samples float network and Program are judged at most."""
        macs: int = self.folder.records["lower"].facts["program"]["macs"]
        return max(self.count or 0, evaluate.judgeable(macs))

    @cached_property
    def depends_on(self) -> dict[str, Any]:
        """What every step on these samples depends on."""
        return {"program": self.digest, "data": digest_of(self.data)}

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
            inputs = {
                op.name: (op.shape, op.type)
                for op in self.program.inputs
                if op.output_before is None
            }
            drawn = samples.draw_samples(inputs, self.tried)
            return follow_states(self.model.loaded.graph, drawn)
        return samples_of(self.data, self.model.loaded.graph)

    def simulate(self) -> StepOutcome:
        """The engine against the interpreter."""
        tried_samples = self.samples.part(0, self.tried)
        raw = evaluate.raw_inputs(self.program, self.recipe, tried_samples)
        evaluation = evaluate.try_stages(
            self.program, raw, self.stages, self.folder.progress.advance
        )
        findings = [f"The stages were tried on {tried_samples.about}."]
        findings += evaluate.saturation(self.program, tried_samples)
        findings += evaluate.inner_saturation(self.program, raw)
        findings += evaluate.dropped_sites(self.program, raw)
        return StepOutcome(
            {
                "program": self.program.digest,
                "agreement": [asdict(evaluation.agreement)],
                "metrics": [asdict(metric) for metric in evaluation.observed],
                "findings": findings,
            }
        )

    def evaluate(self) -> StepOutcome:
        """Float network and Program against the labels, and against each other."""
        graph, judged_samples = self.model.loaded.graph, self.samples.spread(self.most_judged)
        stages = {
            "float": evaluate.float_outputs(graph, judged_samples),
            "quantized": evaluate.program_outputs(self.program, self.recipe, judged_samples),
        }
        accuracy = {}
        if judged_samples.labels:
            reference = FloatReference.of(graph, judged_samples, stages["float"])
            own = {"float": None, "quantized": reference}
            accuracy = {
                stage: asdict(score_with_intervals(graph, outputs, judged_samples, own[stage]))
                for stage, outputs in stages.items()
            }
        tasks = evaluate.tasks(graph, judged_samples)
        fidelity = evaluate.fidelity(graph, stages["float"], stages["quantized"])
        return StepOutcome(
            {
                "program": self.program.digest,
                "data": describe_samples(self.data, judged_samples),
                "task": tasks.pop() if len(tasks) == 1 else None,
                "accuracy": accuracy,
                "metrics": [asdict(metric) for metric in fidelity],
                "findings": [
                    *self.samples.findings,
                    *evaluate.judged_share(len(judged_samples), len(self.samples)),
                ],
            }
        )


def recall_trial(
    folder: RunFolder,
    data: Path | None,
    count: int | None,
    stages: tuple[Stage, ...],
    *,
    edited: bool = False,
) -> ProgramTrial:
    """The Program of a run whose first steps are recalled, with the samples of a file, or with the
    simulation of the reference model that it is."""
    facts = folder.records["load"].facts
    reference = facts.get("reference")
    source = DataFile(data) if data is not None else reference and Simulation(reference)
    return ProgramTrial(folder, recall_model(folder, facts), source or None, count, stages, edited)


def stored_program(folder: RunFolder) -> Program:
    """The Program that a run folder holds."""
    path = folder.path / PROGRAM
    if not folder.path.is_dir():
        raise UsageError(
            f"There is no run folder {folder.path}.",
            hint=f"Make it with: edgeinfer compile MODEL -o {folder.path}",
        )
    if not path.is_file():
        raise UsageError(
            f"{folder.path} holds no Program.", hint="Compile the model into it again."
        )
    return store.load(path.read_bytes(), str(path))
