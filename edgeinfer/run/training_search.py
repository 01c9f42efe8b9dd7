# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search over trainings for a target as a user orders it: a folder with a front of networks, of
which the best are synthesised."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import InputError, ModelError, ProgramError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.evaluate import judge
from edgeinfer.export.hgq import write_model
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.program import Program
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.precision.learned.formats import network_of
from edgeinfer.precision.learned.network import LearnedPlan
from edgeinfer.precision.learned.settings import CostKind, LearnedSettings
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.ptq import quantize as choose_formats
from edgeinfer.precision.qat.aims import aims
from edgeinfer.precision.qat.fine_tune import refuse_untrainable
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.objective import SearchObjective, objective_on
from edgeinfer.precision.search.report import ScoredPoint, draw_front
from edgeinfer.precision.search.run import digest_with, refuse_unknown_cost
from edgeinfer.precision.search.trainings import (
    JOURNAL,
    TrainedPoint,
    TrainingPoint,
    TrainingSpace,
    explore_trainings,
    training_front,
)
from edgeinfer.run.data import SampledModel, SampleSplit
from edgeinfer.run.folder import Progress, open_run, watch_step
from edgeinfer.run.learned import PLACED, judge_file, lower_file, plan_widths
from edgeinfer.run.learned_costs import estimate_figures, training_cost
from edgeinfer.run.quantize import write
from edgeinfer.run.samples import DataFile, Simulation, Source
from edgeinfer.run.search import refuse_file, search_widths
from edgeinfer.run.steps import compile_model
from edgeinfer.run.tools import ToolOrder
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.target import ToolStep
from quantization.search_journal import SearchError, SearchJournal

VERSION = 1
COST = "lut"  # that counts where none is asked for
MOST_TRIALS = 200
MODELS, DESIGNS = "models", "designs"


@dataclass(frozen=True, slots=True)
class TrainingSearchOrder:
    """What is trained in many ways, for which target, on which samples; and the folder."""

    source: SampledModel
    folder: Path
    chosen: ChosenTarget
    training: QatSettings
    uniform: int
    cost: str
    tolerance: float
    trials: int
    minutes: float | None
    synthesised: int = 0  # networks of the front that are synthesised

    def __post_init__(self) -> None:
        refuse_file(self.folder)
        PtqSettings(self.uniform)  # which refuses a width that no network can have
        if self.trials < 1 or self.synthesised < 0:
            raise UsageError("A search needs at least one trial, and --synth 0 or more.")
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"--minutes is {self.minutes:g}, but must be above 0.")
        if not self.tolerance >= 0.0:
            raise UsageError(f"--tolerance is {self.tolerance:g}, but must not be below 0.")
        if self.training.sparsity or self.training.removes_filters:
            raise UsageError(
                "This search chooses shares of zero weights by itself, and keeps all filters.",
                hint="Leave out --sparsity, --prune-filters and --prune-multipliers.",
            )


@dataclass(slots=True)
class _SharedInputs:
    """What all trainings of a search have in common."""

    order: TrainingSearchOrder
    graph: g.Graph  # batch norms folded
    samples: SampleSplit
    objective: SearchObjective
    plan: LearnedPlan | None  # None: widths of this network cannot be learned
    kind: CostKind  # of what learned widths cost on the target
    prices: MultiplierPrices | None

    def attempt(self, point: TrainingPoint) -> tuple[float, Mapping[str, float], str]:
        """Train, and write the network; its score, its costs, and why the target refuses it."""
        path = self.order.folder / MODELS / f"{point.name}.keras"
        if point.way == "learned":
            plan.write_file(path, self._learn(point))
        else:
            self._train(point, path)
        lowered = lower_file(path)
        score = self.objective.of_program(lowered.program, lowered.recipe)
        try:
            return score, self._costs(lowered.program), ""
        except ProgramError as error:
            return score, {}, error.message

    def _costs(self, program: Program) -> dict[str, float]:
        costs = costs_of(program).figures() | estimate_figures(self.order.chosen, program)
        refuse_unknown_cost(self.order.cost, costs)
        return costs

    def _train(self, point: TrainingPoint, path: Path) -> None:
        from edgeinfer.precision.qat.fine_tune import Tutor

        layers = {n.layer for n in self.graph.nodes if isinstance(n, g.ConvNode | g.DenseNode)}
        widths = tuple((name, point.weight_bits) for name in sorted(layers))
        formats = PtqSettings(point.tensor_bits, bits_of=widths)
        chosen = choose_formats(self.graph, self.samples.teach.inputs, formats)
        settings = replace(self.order.training, sparsity=point.sparsity, minutes=None)
        tutor = Tutor.of(self.graph, self.samples.teach, self.samples.choose, settings)
        write(path, tutor.train(chosen.graph, chosen.recipe).graph, chosen.recipe)

    def _learn(self, point: TrainingPoint) -> bytes:
        from edgeinfer.precision.learned.train import LearnedLesson, learn

        assert self.plan is not None
        teach, training = self.samples.teach, replace(self.order.training, minutes=None)
        answers = judge.float_outputs(self.graph, teach)
        lesson_aims = aims(self.graph, teach, answers, training.distillation)
        weight = point.cost_weight
        settings = LearnedSettings(1, weight, weight, self.kind)
        lesson = LearnedLesson(teach, lesson_aims, training, settings, self.prices)
        (state,) = learn(self.plan, lesson)
        return write_model(network_of(self.plan, state))


def search_trainings(order: TrainingSearchOrder, progress: Progress) -> dict[str, Any]:
    """Search as ordered; the front, what was chosen from it and what synthesis found, ready for
    JSON."""
    with watch_step(progress, "load"):
        loaded = order.source.load()
        refuse_untrainable(loaded.graph)
        graph = fold_batch_norms(loaded.graph)
        learned, remark = _plan(graph)
    with watch_step(progress, "data"):
        samples = order.source.deal_samples(loaded, seed=order.training.seed)
        objective = objective_on(graph, samples.choose)
    kind, prices = training_cost(order.chosen, loaded, samples.teach.part(0, PLACED))
    shared = _SharedInputs(order, graph, samples, objective, learned, kind, prices)
    space = TrainingSpace(
        widths=search_widths(order.uniform),
        ways=("qat",) if learned is None else ("qat", "learned"),
        cost=order.cost,
        trials=order.trials,
        seed=order.training.seed,
        uniform=order.uniform,
    )
    with watch_step(progress, "search"):
        trained = _explore(shared, space, progress)
    front = training_front(trained, order.cost)
    if not front:
        raise InputError(
            f"The target {order.chosen.name} takes none of the networks: {trained[0].refusal}",
            hint="Choose narrower --bits, or a target with other settings.",
        )
    best = choose_training(front, objective.exact_score - order.tolerance, order.cost)
    document: dict[str, Any] = {
        "version": VERSION,
        "model": graph.name,
        "objective": objective.name,
        "float_score": objective.exact_score,
        "cost": order.cost,
        "tolerance": order.tolerance,
        "seed": order.training.seed,
        "front": [_describe(each) for each in front],
        "others": [_describe(each) for each in trained if each not in front],
        "chosen": best.point.name,
    }
    with watch_step(progress, "write"):
        _write(order, document, trained, front)
    document["synthesised"] = _synthesise_front(order, front, best, progress)
    with watch_step(progress, "evaluate"):
        chosen = order.folder / MODELS / f"{best.point.name}.keras"
        document["judged"] = judge_file(shared.graph, chosen, samples)
    holds = best.score >= objective.exact_score - order.tolerance
    document["findings"] = [
        *samples.findings,
        *samples.teach.findings,
        *([] if remark is None else [remark]),
        *([] if holds else [f"No network is within {order.tolerance:g} of the float score."]),
        f"Costs are estimates for {order.chosen.target.title}, but for those under 'synthesised'.",
    ]
    document["output"] = str(order.folder)
    plan.write_file(order.folder / "front.json", json.dumps(document, indent=1) + "\n")
    return document


def choose_training(front: Sequence[TrainedPoint], least: float, cost: str) -> TrainedPoint:
    """The cheapest whose score holds; the best where none does."""
    holding = [each for each in front if each.score >= least]
    if holding:
        return min(holding, key=lambda each: each.costs[cost])
    return max(front, key=lambda each: each.score)


def _plan(graph: g.Graph) -> tuple[LearnedPlan | None, str | None]:
    """How widths are learned; or none, and why not."""
    try:
        return plan_widths(graph), None
    except ModelError as error:
        return None, f"Only chosen widths were tried: {error.message}"


def _explore(shared: _SharedInputs, space: TrainingSpace, progress: Progress) -> list[TrainedPoint]:
    order = shared.order
    try:
        journal = SearchJournal.open(order.folder / JOURNAL, _identity(shared, space))
    except SearchError as error:
        raise InputError(str(error)) from None
    began, earlier, done = time.monotonic(), journal.seconds, [0]

    def over() -> bool:
        spent = earlier + time.monotonic() - began
        return order.minutes is not None and spent >= 60.0 * order.minutes

    def attempt(point: TrainingPoint) -> tuple[float, Mapping[str, float], str]:
        answer = shared.attempt(point)
        done[0] += 1
        progress.advance(min(done[0], order.trials), order.trials)
        return answer

    return explore_trainings(space, attempt, journal, order.folder, over, time.monotonic)


def _identity(shared: _SharedInputs, space: TrainingSpace) -> str:
    """What answers depend on; how many are wanted is no part of it."""
    order = shared.order
    said = (replace(space, trials=0), replace(order.training, minutes=None), order.chosen.name,
            repr(order.chosen.settings), shared.objective.name)  # fmt: skip
    arrays = {
        **dict(shared.graph.weights()),
        **{f"in {name}": x for name, x in shared.samples.teach.inputs.items()},
        **{f"out {name}": y for name, y in shared.samples.teach.labels.items()},
        **{f"choose {name}": x for name, x in shared.samples.choose.inputs.items()},
    }
    return digest_with(repr(said), arrays)


def _describe(trained: TrainedPoint) -> dict[str, Any]:
    return {"name": trained.point.name, **asdict(trained)}


def _write(
    order: TrainingSearchOrder,
    document: Mapping[str, Any],
    trained: Sequence[TrainedPoint],
    front: Sequence[TrainedPoint],
) -> None:
    """Front and picture, before anything is synthesised, which may take long."""

    def scored(each: TrainedPoint, name: str = "") -> ScoredPoint:
        return ScoredPoint(each.point.name, each.costs[order.cost], each.score, name)

    made = [each for each in trained if not each.refusal]
    (first, *_) = trained
    named = [] if first.refusal else [scored(first, f"{order.uniform} bits, dense")]
    drawn = draw_front(
        f"{document['model']}: {document['objective']} against {order.cost}",
        (f"{order.cost}, estimated", document["objective"]),
        document["float_score"],
        [scored(each) for each in made],
        [scored(each) for each in front],
        named,
    )
    plan.write_file(order.folder / "front.svg", drawn)
    plan.write_file(order.folder / "front.json", json.dumps(document, indent=1) + "\n")


def _synthesise_front(
    order: TrainingSearchOrder,
    front: Sequence[TrainedPoint],
    best: TrainedPoint,
    progress: Progress,
) -> list[dict[str, Any]]:
    """The chosen network and its neighbours on the front as designs: simulated against the engine,
    and synthesised."""
    place = front.index(best)
    nearest = sorted(front, key=lambda each: abs(front.index(each) - place))
    data, entry = order.source.data, order.source.entry
    source: Source | None = None if data is None else DataFile(data)
    if source is None and entry is not None:
        source = Simulation(entry.name)
    rows = []
    for each in nearest[: order.synthesised]:
        name = each.point.name
        with open_run(order.folder / DESIGNS / name, progress, new=True) as folder:
            result = compile_model(
                folder, order.folder / MODELS / f"{name}.keras", recipe_path=None, data=source,
                targets=[order.chosen], tools=ToolOrder((ToolStep.SYNTH,)),
            )  # fmt: skip
        figures = {
            m.name: m.value
            for m in result.metrics
            if m.origin == Origin.SYNTHESISED and m.layer is None
        }
        exact = not result.disagreements
        rows.append({"name": name, "score": each.score, "exact": exact, "figures": figures})
    return rows
