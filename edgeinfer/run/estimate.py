# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model's cost on a target without any tool: its Program, the settings, figures with bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.metrics import Metric
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.site_figures import sites_of
from edgeinfer.data.samples import draw_samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import load
from edgeinfer.report import words
from edgeinfer.report.site_tables import site_lines
from edgeinfer.run.emit import refuse_ops
from edgeinfer.run.lower import lower_as_asked, lower_with, read_recipe
from edgeinfer.run.samples import DataFile, Simulation, Source, samples_of
from edgeinfer.run.toggles import toggle_share
from edgeinfer.targets.power import at_activity
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.target import Description, EmittedProject, ForeignProject, Target
from edgeinfer.zoo import ENTRIES, is_name, resolve
from quantization.recipe import Recipe

DRAWN = 4  # samples, where a target learns ranges that its figures do not depend on


def program_for(
    model: Path, formats: PtqSettings | None, recipe: Path | None, *, batch_axis: int | None = 0
) -> tuple[Program, list[str]]:
    """A model's Program, and what was assumed to get it."""
    _, program, findings = _lower_model(model, formats, recipe, (), batch_axis=batch_axis)
    return program, findings


def _lower_model(
    model: Path,
    formats: PtqSettings | None,
    recipe: Path | None,
    targets: Sequence[ChosenTarget],
    *,
    batch_axis: int | None = 0,
    data: Path | None = None,
) -> tuple[Graph, Program, list[str]]:
    """A model's float network, its Program, and what was assumed to get that. `data`: samples that
    decide on formats."""
    if is_name(model) and ENTRIES[str(model)].reference is None:
        return _fresh_program(str(model), formats, recipe, targets)
    model_read = load(resolve(model), batch_axis=batch_axis)
    source: Source | None = None if data is None else DataFile(data)
    if source is None and is_name(model):
        source = Simulation(str(model))
    samples = None if source is None else partial(samples_of, source, model_read.graph)
    loaded, lowered = lower_as_asked(model_read, recipe, formats, samples, targets)
    return model_read.graph, lowered.program, [*loaded.findings, *lowered.findings]


def _fresh_program(
    name: str, formats: PtqSettings | None, recipe: Path | None, targets: Sequence[ChosenTarget]
) -> tuple[Graph, Program, list[str]]:
    """A reference model whose weights do not ship, with fresh ones: costs hardly differ."""
    require_extra("train", f"{name}, whose weights do not ship: drawing fresh ones")
    with scratch_folder("estimate") as folder:
        path = folder / f"{name}.keras"
        ENTRIES[name].build().save(path)
        graph, program, findings = _lower_model(path, formats, recipe, targets)
    remark = f"{name}: its weights do not ship with the package; these figures are for fresh ones."
    return graph, program, [remark, *findings]


def program_of_project(
    project: ForeignProject[Any],
    formats: PtqSettings | None,
    recipe: Path | None,
    *,
    batch_axis: int | None,
) -> tuple[Graph, Program, list[str]]:
    """A project's network in the formats that the project states, or a recipe on top."""
    if formats is not None:
        raise UsageError(
            "Formats were asked for, but the project states its own.",
            hint="Leave out --bits, --bits-of, --rounding and --overflow, or give a --recipe.",
        )
    loaded = load(project.model, batch_axis=batch_axis)
    project_recipe = project.recipe(loaded.graph)
    if recipe is not None:
        project_recipe = project_recipe.updated(read_recipe(recipe))
    lowered = lower_with(loaded, project_recipe, recipe)
    finding = f"The network, its formats and its settings are those of {project.model}'s project."
    findings = [finding, *project.remarks, *loaded.findings, *lowered.findings]
    return loaded.graph, lowered.program, findings


def estimate(
    model: Path,
    chosen: ChosenTarget,
    *,
    formats: PtqSettings | None = None,
    recipe: Path | None = None,
    batch_axis: int | None = 0,
    data: Path | None = None,
) -> Description:
    """A model on a target; where the settings state a goal, choices are made for it first."""
    target = chosen.target
    project = None if is_name(model) else target.read_project(model, chosen.settings)
    if project is None:
        graph, program, assumed = _lower_model(
            model, formats, recipe, [chosen], batch_axis=batch_axis, data=data
        )
    else:
        chosen = replace(chosen, settings=project.settings)
        graph, program, assumed = program_of_project(
            project, formats, recipe, batch_axis=batch_axis
        )
    learned = target.learns and target.check(program, chosen.settings)
    if not learned:
        refuse_ops(program, chosen)
    settings = target.settle(program, chosen.settings)
    findings = (*assumed, *target.advise(program, settings))
    toggles = None if data is None else toggle_share(program, samples_of(DataFile(data), graph))
    detailed = None if learned else target.describe_estimate(program, settings, findings, toggles)
    if detailed is not None:
        return detailed
    place = target.place_of(settings)
    device = None if place is None else place.device
    if learned:
        estimated = _learn_project(program, graph, target, settings)
        metrics, findings = estimated.metrics, (*findings, *estimated.findings)
    else:
        metrics = target.estimate(program, settings)
        metrics = metrics if toggles is None else at_activity(metrics, toggles)
    document = {
        "model": program.summary,
        "device": None if device is None else device.as_dict(),
        "settings": {"target": chosen.name, **asdict(settings)},
        "metrics": [asdict(metric) for metric in metrics],
        "findings": list(findings),
    }
    return Description(document, _lines(program, chosen.name, device, metrics, findings))


def _learn_project(
    program: Program, graph: Graph, target: Target[Any], settings: Any
) -> EmittedProject:
    """What a target makes of a Program that it has no equal for, as `compile` lets it: ranges from
    a few drawn samples, on which what the design costs does not depend."""
    inputs = {op.name: (op.shape, op.type) for op in program.inputs}
    raw = raw_inputs(program, Recipe(), draw_samples(inputs, DRAWN))
    return target.emit_from(program, graph, raw, settings)


def _lines(
    program: Program,
    target: str,
    device: Device | None,
    metrics: Sequence[Metric],
    findings: Sequence[str],
) -> tuple[str, ...]:
    where = f" on {device.name}" if device else ""
    lines = [f"{program.name}{where}, target {target}: no tool was run", ""]
    rows = [metric for metric in metrics if metric.layer is None]
    width = max((len(metric.name) for metric in rows), default=0)
    for metric in rows:
        band = ""
        low, high = words.number(metric.low), words.number(metric.high)
        if low != high:
            band = f", between {low} and {high}"
        value = words.number(metric.value)
        lines.append(f"{metric.name:<{width}} {value:>14} {metric.unit:<9} {metric.origin}{band}")
    lines += site_lines(metrics)
    layers = {metric.layer for metric in metrics if metric.layer and sites_of(metric) is None}
    if layers:
        lines.append(f"figures of {len(layers)} layers are listed with --json")
    return (*lines, *(f"finding {finding}" for finding in findings))
