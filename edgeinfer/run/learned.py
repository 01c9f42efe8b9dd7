# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training that learns widths as a user orders it: a folder with a front of networks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.export.hgq import write_model
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.ir.target_costs import BYTES_COST
from edgeinfer.precision.learned.formats import network_of
from edgeinfer.precision.learned.front import (
    Bounds,
    FrontPoint,
    TrainedFile,
    choose_point,
    describe_point,
    refuse_unknown_bounds,
)
from edgeinfer.precision.learned.network import LearnedPlan, plan_learning
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.lookup.settings import LookupPlan, LookupSettings, plan_tables
from edgeinfer.precision.qat.aims import aims
from edgeinfer.precision.qat.fine_tune import refuse_untrainable
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.objective import SearchObjective, objective_on
from edgeinfer.precision.search.report import ScoredPoint, draw_front
from edgeinfer.readers import load
from edgeinfer.run.data import SampledModel, SampleSplit
from edgeinfer.run.folder import Progress, watch_step
from edgeinfer.run.learned_costs import FrontCosts, front_costs
from edgeinfer.run.teachers import Teachers, guessing_findings, load_teachers
from quantization.search import unbeaten

if TYPE_CHECKING:
    from edgeinfer.precision.learned.train import LearnedLesson

VERSION = 1
PLACED = 1024  # samples from which a network gets plain formats, to count the cycles of its design
CHOSEN = "chosen.keras"
COUNTED = ("ebops", BYTES_COST)  # from a Program's integers; other costs are estimates


@dataclass(frozen=True, slots=True)
class LearnedOrder:
    """What learns its widths, on which samples, how; the folder of the front; what is wanted."""

    source: SampledModel
    folder: Path
    settings: LearnedSettings
    training: QatSettings
    bounds: Bounds
    lookup: LookupSettings | None = None  # of a network of tables instead
    device: str | None = None  # whose hardware counts
    teachers: tuple[Path, ...] = ()  # files of networks that teach in place of the given one

    def __post_init__(self) -> None:
        if self.folder.suffix in (".toml", ".keras") or self.folder.is_file():
            raise UsageError(
                f"{self.folder}: learned widths make a front of networks, which fills a folder.",
                hint="Name a folder with -o; chosen.keras in it is the network to use.",
            )
        idle = [
            name
            for name, value in (
                ("--sparsity", self.training.sparsity),
                ("--prune-filters", self.training.prune_filters),
                ("--prune-multipliers", self.training.prune_multipliers),
            )
            if value
        ]
        if idle:
            raise UsageError(
                f"Learning finds widths and zeros by itself, and does nothing with "
                f"{', '.join(idle)}.",
                hint="Leave that out, or train with --method qat.",
            )
        if self.lookup is not None and self.settings.cost != LearnedSettings().cost:
            raise UsageError(
                f"Networks of tables are made of adders, so --cost {self.settings.cost} "
                f"changes nothing.",
                hint="Leave out --cost, or train with --method learned.",
            )
        if self.lookup is not None and self.settings.start is not None:
            raise UsageError(
                "Networks of tables have no weights of the given network, so --start changes "
                "nothing.",
                hint="Leave out --start, or train with --method learned.",
            )


def learn_widths(order: LearnedOrder, progress: Progress) -> dict[str, Any]:
    """Train as ordered; the front and what was chosen from it, ready for JSON."""
    with watch_step(progress, "load"):
        loaded = order.source.load()
        refuse_untrainable(loaded.graph)
        graph = fold_batch_norms(loaded.graph)
        if order.lookup is None:
            learned: LearnedPlan | LookupPlan = plan_widths(graph)
        else:
            learned = plan_tables(graph, _ends(graph))
        teachers = load_teachers(loaded.graph, order.teachers, order.source.batch_axis)
    with watch_step(progress, "data"):
        samples = order.source.deal_samples(loaded, seed=order.training.seed)
    objective = objective_on(loaded.graph, samples.choose)
    costs = front_costs(order.settings.cost, order.device, loaded, samples.teach.part(0, PLACED))
    # Said before the training, which takes minutes.
    refuse_unknown_bounds(order.bounds, (objective.name, *costs.names))
    with watch_step(progress, "train"):
        points = _train(order, learned, costs, samples, teachers, objective, progress)
    cost = costs.ranked if costs.ranked in points[0].costs else "ebops"
    front = unbeaten(points, lambda point: point.costs[cost], lambda point: point.score)
    document: dict[str, Any] = {
        "version": VERSION,
        "model": loaded.graph.name,
        "objective": objective.name,
        "float_score": objective.exact_score,
        "cost": cost,
        "seed": order.training.seed,
        "samples": len(samples.teach),
        "points": [describe_point(point, objective.name) for point in points],
        "front": [point.name for point in front],
    }
    with watch_step(progress, "write"):
        _write_front(order.folder, document, points, front)
    chosen = choose_point(points, order.bounds, objective.name, cost)
    with watch_step(progress, "evaluate"):
        source = order.folder / "models" / f"{chosen.name}.keras"
        plan.write_file(order.folder / CHOSEN, source.read_bytes())
        judgement = judge_file(loaded.graph, source, samples)
    document |= {
        "chosen": chosen.name,
        "judged": judgement,
        "findings": [
            *samples.findings,
            *samples.teach.findings,
            *loaded.findings,
            *costs.findings,
            *_teaching_findings(order, teachers, samples, objective),
            f"Points are scored on {len(samples.choose)} samples that teach nothing; the chosen "
            f"one is judged on {len(samples.judge)} others.",
        ],
        "output": str(order.folder / CHOSEN),
    }
    plan.write_file(order.folder / "front.json", json.dumps(document, indent=1) + "\n")
    return document


def _teaching_findings(
    order: LearnedOrder, teachers: Teachers, samples: SampleSplit, objective: SearchObjective
) -> list[str]:
    """How good the teachers are, or the network itself where there are none."""
    if not teachers.others:
        return guessing_findings(teachers.student, objective, order.training.distillation)
    score = objective.of(teachers.answers(samples.choose))
    names = ", ".join(path.name for path in order.teachers)
    return [
        f"Taught by {names}: {objective.name} {score:.6g} on the samples that score points, where "
        f"the given network has {objective.exact_score:.6g}."
    ]


def plan_widths(graph: Graph) -> LearnedPlan:
    """What learns its width in a network whose batch norms are folded."""
    return plan_learning(graph, _ends(graph))


def _ends(graph: Graph) -> dict[str, str]:
    """By output: the tensor that is computed, before what the host applies."""
    hosts = host_functions(graph)
    return {name: hosts[name][0] if name in hosts else name for name in graph.outputs}


def _train(
    order: LearnedOrder,
    learned: LearnedPlan | LookupPlan,
    costs: FrontCosts,
    samples: SampleSplit,
    teachers: Teachers,
    objective: SearchObjective,
    progress: Progress,
) -> list[FrontPoint]:
    """Every network of the run, written, read back, and scored as integers."""
    from edgeinfer.precision.learned.train import LearnedLesson

    answers = teachers.answers(samples.teach)
    lesson_aims = aims(teachers.student, samples.teach, answers, order.training.distillation)
    lesson = LearnedLesson(samples.teach, lesson_aims, order.training, order.settings, costs.prices)
    points: list[FrontPoint] = []
    for number, file in enumerate(_networks(order, learned, lesson, progress), start=1):
        name = f"{number:02}"
        path = order.folder / "models" / f"{name}.keras"
        plan.write_file(path, file.content)
        lowered = lower_file(path)
        score = objective.of_program(lowered.program, lowered.recipe)
        figures = costs.figures(lowered.program)
        points.append(FrontPoint(name, score, figures, file.cost_weight, file.seconds))
    return points


def _networks(
    order: LearnedOrder,
    learned: LearnedPlan | LookupPlan,
    lesson: LearnedLesson,
    progress: Progress,
) -> Iterator[TrainedFile]:
    """The networks as they come."""
    if isinstance(learned, LookupPlan):
        from edgeinfer.precision.lookup.train import learn_tables

        assert order.lookup is not None
        yield from learn_tables(learned, lesson, order.lookup, progress.advance)
        return
    from edgeinfer.precision.learned.train import learn

    for state in learn(learned, lesson, progress.advance):
        content = write_model(network_of(learned, state))
        yield TrainedFile(content, state.weight, state.seconds)


def lower_file(path: Path) -> LoweredModel:
    """The network as anyone reads it from its file."""
    loaded = load(path)
    return lower(loaded.graph, loaded.recipe)


def judge_file(graph: Graph, path: Path, samples: SampleSplit) -> dict[str, float]:
    """The chosen network, once more, on samples that have chosen nothing."""
    objective, lowered = objective_on(graph, samples.judge), lower_file(path)
    score = objective.of_program(lowered.program, lowered.recipe)
    return {"float": objective.exact_score, "chosen": score}


def _write_front(
    folder: Path, document: Mapping[str, Any], points: list[FrontPoint], front: list[FrontPoint]
) -> None:
    cost, score = document["cost"], document["objective"]

    def scored(point: FrontPoint) -> ScoredPoint:
        return ScoredPoint(point.name, point.costs[cost], point.score)

    drawn = draw_front(
        f"{document['model']}: {score} against {cost}",
        (cost if cost in COUNTED else f"{cost}, estimated", score),
        document["float_score"],
        [scored(point) for point in points],
        [scored(point) for point in front],
    )
    plan.write_file(folder / "front.svg", drawn)
    plan.write_file(folder / "front.json", json.dumps(document, indent=1) + "\n")
