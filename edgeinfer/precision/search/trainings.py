# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search that varies how a network is trained for hardware: widths, zeros, learned widths.

Each point is one training. Either widths of weights and of tensors are chosen, with a share of zero
weights; or widths are learned, under a cost of so much weight. Optuna proposes for two aims at
once: a high score, a low cost. As with searches for widths, one that is resumed walks again from
its beginning, answered from the journal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quantization.search import unbeaten
from quantization.search_journal import SearchJournal

if TYPE_CHECKING:
    import optuna

TrainingWay = Literal["qat", "learned"]
SPARSITIES = (0.0, 0.3, 0.5, 0.65, 0.8, 0.875, 0.925, 0.95)
COST_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0)
FIRST_SPARSITY, FIRST_COST_WEIGHT = 0.8, 0.2  # of the first points that are tried
DRAWN = 6  # points before the sampler looks at what came of them
IDLE = 50  # proposals in a row that were known already, after which the space counts as searched
JOURNAL, STUDY = "search.jsonl", "study.log"


@dataclass(frozen=True, slots=True)
class TrainingPoint:
    """A training for hardware. Of learned widths there is a weight of the cost alone, of chosen
    ones there is none."""

    way: TrainingWay
    weight_bits: int = 0
    tensor_bits: int = 0
    sparsity: float = 0.0
    cost_weight: float = 0.0

    @property
    def name(self) -> str:
        """A short name, the same for the same point."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class TrainedPoint:
    """What came of a training. One that the target refuses costs nothing and has a reason."""

    point: TrainingPoint
    score: float
    costs: Mapping[str, float]
    seconds: float
    refusal: str = ""


Attempt = Callable[[TrainingPoint], tuple[float, Mapping[str, float], str]]
# a score, costs, and why the target refuses the network


@dataclass(frozen=True, slots=True)
class TrainingSpace:
    """What may be chosen, which cost counts, and how often."""

    widths: tuple[int, ...]
    ways: tuple[TrainingWay, ...]
    cost: str
    trials: int
    seed: int
    uniform: int  # the width that the others are compared with

    def starts(self) -> Iterator[TrainingPoint]:
        """The points that are tried first: one width throughout, the same with zeros, learned."""
        yield TrainingPoint("qat", self.uniform, self.uniform)
        yield TrainingPoint("qat", self.uniform, self.uniform, FIRST_SPARSITY)
        if "learned" in self.ways:
            yield TrainingPoint("learned", cost_weight=FIRST_COST_WEIGHT)


def explore_trainings(
    space: TrainingSpace,
    attempt: Attempt,
    journal: SearchJournal,
    folder: Path,
    over: Callable[[], bool],
    clock: Callable[[], float],
) -> list[TrainedPoint]:
    """The trainings in the order in which they were proposed, until there are enough, until it is
    over, or until nothing new is proposed. Optuna's own record of them lies in the folder."""
    study = _study(space, folder / STUDY)
    trained: dict[TrainingPoint, TrainedPoint] = {}
    idle = 0
    while len(trained) < space.trials and idle < IDLE:
        proposal = study.ask()
        point = _point_of(space, proposal)
        idle = idle + 1 if point in trained else 0
        if point not in trained:
            entry = journal.find(point.name)
            if entry is None:
                if over() and trained:
                    break
                began = clock()
                score, costs, refusal = attempt(point)
                seconds = round(clock() - began, 2)
                entry = journal.add(point.name, score, costs, refusal, seconds)
            trained[point] = TrainedPoint(
                point, entry.score, entry.costs, entry.seconds, refusal=entry.note
            )
        _tell(study, proposal, trained[point], space.cost)
    return list(trained.values())


def training_front(trained: Sequence[TrainedPoint], cost: str) -> list[TrainedPoint]:
    """Trainings than which none is both cheaper and better, the cheapest first."""
    made = [each for each in trained if not each.refusal]
    return unbeaten(made, lambda each: each.costs[cost], lambda each: each.score)


def _study(space: TrainingSpace, path: Path) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.unlink(missing_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name="trainings",
        directions=[StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE],
        sampler=optuna.samplers.TPESampler(seed=space.seed, n_startup_trials=DRAWN),
    )
    for start in space.starts():
        study.enqueue_trial(_parameters(space, start))
    return study


def _parameters(space: TrainingSpace, point: TrainingPoint) -> dict[str, int | str]:
    """A point as Optuna proposes it: by places, so that neighbours are neighbours."""
    if point.way == "learned":
        return {"way": point.way, "cost_weight": COST_WEIGHTS.index(point.cost_weight)}
    return {
        "way": point.way,
        "weight_bits": space.widths.index(point.weight_bits),
        "tensor_bits": space.widths.index(point.tensor_bits),
        "sparsity": SPARSITIES.index(point.sparsity),
    }


def _point_of(space: TrainingSpace, proposal: optuna.Trial) -> TrainingPoint:
    way = proposal.suggest_categorical("way", space.ways)
    if way == "learned":
        place = proposal.suggest_int("cost_weight", 0, len(COST_WEIGHTS) - 1)
        return TrainingPoint("learned", cost_weight=COST_WEIGHTS[place])
    most = len(space.widths) - 1
    weights, tensors = (
        space.widths[proposal.suggest_int(name, 0, most)] for name in ("weight_bits", "tensor_bits")
    )
    sparsity = SPARSITIES[proposal.suggest_int("sparsity", 0, len(SPARSITIES) - 1)]
    return TrainingPoint("qat", weights, tensors, sparsity)


def _tell(study: optuna.Study, proposal: optuna.Trial, trained: TrainedPoint, cost: str) -> None:
    import optuna

    if trained.refusal:
        study.tell(proposal, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(proposal, [trained.score, trained.costs[cost]])
