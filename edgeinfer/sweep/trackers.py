# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A finished study where people look at many runs: as a storage of Optuna, which optuna-dashboard
opens (`optuna-dashboard sqlite:///F.db`), and as runs for a tracking server."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgeinfer.base.plan import stage_file
from edgeinfer.report.tracking.records import TrackedRun
from edgeinfer.sweep.page import FinishedStudy
from edgeinfer.sweep.trial import TrialOutcome


def write_storage(finished: FinishedStudy, path: Path) -> None:
    """All trials with their settings, figures and budgets, as a new SQLite file."""
    import optuna
    from optuna.study import StudyDirection

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objectives = finished.study.objectives
    with stage_file(path) as temporary:
        storage = optuna.storages.RDBStorage(f"sqlite:///{temporary.absolute()}")
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=finished.folder.absolute().name,
                directions=[StudyDirection[each.direction.name] for each in objectives],
            )
            study.set_metric_names([each.figure for each in objectives])
            study.add_trials([_frozen_trial(finished, each) for each in finished.trials])
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _frozen_trial(finished: FinishedStudy, trial: TrialOutcome) -> Any:
    """A trial as Optuna has it. One without all figures of the objectives has failed; one that a
    budget cut short was pruned."""
    import optuna
    from optuna.distributions import CategoricalDistribution
    from optuna.trial import TrialState

    figures = [trial.figures.get(each.figure, math.nan) for each in finished.study.objectives]
    is_finite = all(math.isfinite(value) for value in figures)
    state = TrialState.COMPLETE if is_finite else TrialState.FAIL
    if not is_finite and trial.cut_short:
        state = TrialState.PRUNED
    return optuna.trial.create_trial(
        state=state,
        values=figures if is_finite else None,
        params=dict(trial.point),
        distributions={
            knob.name: CategoricalDistribution(knob.values) for knob in finished.study.knobs
        },
        user_attrs={
            "key": trial.key,
            "seconds": trial.seconds,
            "origins": trial.origins,
            "over budget": list(trial.over),
            "error": trial.error,
            **{name: value for name, value in trial.figures.items() if math.isfinite(value)},
        },
    )


def track_trials(finished: FinishedStudy) -> list[TrackedRun]:
    """A run for each trial: what was varied, what came of it, and whether it is on the front."""
    front = {each.key for each in finished.front}
    runs = []
    for trial in finished.trials:
        tags = {
            "on the front": "yes" if trial.key in front else "no",
            "over budget": ", ".join(trial.over),
            "error": trial.error,
            **{f"origin.{name}": origin for name, origin in trial.origins.items()},
        }
        runs.append(
            TrackedRun(
                trial.key[:8],
                trial.key,
                {name: str(value) for name, value in trial.point.items()},
                {**trial.figures, "seconds": trial.seconds},
                {name: text for name, text in tags.items() if text},
                failed=bool(trial.error),
            )
        )
    return runs
