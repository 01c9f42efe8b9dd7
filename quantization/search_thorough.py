# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The thorough search: Optuna proposes widths for many objectives at once.

A search that is resumed is walked again from its beginning, answered from the journal, so that the
sampler arrives in the state in which it was left: one that was killed proposes what one that was
not would have proposed. The study's own file is a record for Optuna's tools.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantization.search import Judge, LimitReached, Space, Trial, Widths
from quantization.search_journal import SearchError

if TYPE_CHECKING:
    from optuna.study import Study

POPULATION = 24
IDLE = 200  # proposals in a row that were known already, after which the space counts as searched


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a thorough search tries to improve, and where it begins."""

    costs: tuple[str, ...]  # made small while the score is made large
    seed: int = 0
    starts: tuple[Widths, ...] = ()  # proposed first


def explore(
    judge: Judge, exploration: Exploration, study_path: Path | None = None
) -> tuple[Trial, ...]:
    """Trials in the order in which they were proposed, until a limit or until nothing new comes.

    The study is written to a journal file, which Optuna's own tools can read.
    """
    if judge.limits.trials is None and judge.limits.minutes is None:
        raise SearchError("A thorough search needs a limit: a number of trials, or minutes.")
    study = _study(judge.space, exploration, study_path)
    trials: list[Trial] = []
    idle = 0
    try:
        while idle < IDLE:
            trials_before = len(judge.trials)
            trial = _step(judge, exploration, study)
            if len(judge.trials) > trials_before:
                trials.append(trial)
            idle = 0 if len(judge.trials) > trials_before else idle + 1
    except LimitReached:
        pass
    return tuple(trials)


def _study(space: Space, exploration: Exploration, path: Path | None) -> Study:
    import optuna
    from optuna.samplers import NSGAIISampler
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if path is not None:
        path.unlink(missing_ok=True)
    directions = [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * len(exploration.costs)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))) if path else None,
        study_name="widths",
        directions=directions,
        # A genetic algorithm, which keeps a whole front.
        sampler=NSGAIISampler(population_size=POPULATION, seed=exploration.seed),
    )
    for start in exploration.starts:
        study.enqueue_trial(
            {knob.name: knob.widths.index(start[knob.name]) for knob in space.knobs}
        )
    return study


def _step(judge: Judge, exploration: Exploration, study: Study) -> Trial:
    proposal = study.ask()
    widths = {
        knob.name: knob.widths[proposal.suggest_int(knob.name, 0, len(knob.widths) - 1)]
        for knob in judge.space.knobs
    }
    trial = judge.judge(widths)
    costs = [trial.outcome.costs[name] for name in exploration.costs]
    study.tell(proposal, [trial.outcome.score, *costs])
    return trial
