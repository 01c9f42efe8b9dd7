# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study carried out: points proposed, trials done by workers, the best looked at closely."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.base.plan import write_file
from edgeinfer.data.open import existing, open_data
from edgeinfer.readers.files import files_of
from edgeinfer.report.gates.figures import Vocabulary
from edgeinfer.sweep.front import front, importances
from edgeinfer.sweep.points import Point, explore_points
from edgeinfer.sweep.study import BITS, Study
from edgeinfer.sweep.travel import LINES
from edgeinfer.sweep.trial import TrialJob, TrialOutcome, as_dict, files_of_data
from edgeinfer.targets.registry import entry_of, figures
from edgeinfer.workers.journal import Journal, open_journal
from edgeinfer.workers.kind import Workers
from edgeinfer.zoo import is_name, resolve

STUDY, TEXT, JOURNAL = "study.json", "study.toml", "trials.jsonl"
TRAINED = ("sparsity", "prune_filters")  # knobs of training
OWN = ("model", "device", "method", "input_bits", *TRAINED)  # knobs that no target has
SCHEMA_VERSION = 1


class StudyWatcher(Protocol):
    """Whoever watches a study."""

    def begun(self, study: Study, finished_trials: int) -> None:
        """The study begins, with so many trials known already."""

    def done(self, outcome: TrialOutcome, cached: bool, best: Sequence[TrialOutcome]) -> None:
        """A trial is done, or known; the front is this now."""


@dataclass(slots=True)
class StudyProgress:
    """A study at work."""

    study: Study
    folder: Path
    store: Path
    workers: Workers[TrialJob, TrialOutcome]
    watcher: StudyWatcher
    book: Journal[TrialOutcome]
    began: float
    outcomes: dict[tuple[str, bool], TrialOutcome] = field(default_factory=dict)
    trials: list[TrialOutcome] = field(default_factory=list)
    resumed: int = 0  # trials that the journal knew

    def answers(self, points: Sequence[Point], *, deep: bool = False) -> list[TrialOutcome]:
        """What comes of points, in their order; what is known is not done again."""
        jobs = [self._job(point, deep) for point in points]
        missing = [job for job in jobs if (job.key, deep) not in self.outcomes]
        for job in jobs:
            if job not in missing:
                self.resumed += 1
                self._tell(self.outcomes[job.key, deep], cached=True)
        if missing:
            self.workers.carry_out(missing, self._written)
        return [self.outcomes[job.key, deep] for job in jobs]

    def _written(self, outcome: TrialOutcome) -> None:
        self.book.add(outcome)
        self.outcomes[outcome.key, outcome.deep] = outcome
        self._tell(outcome, cached=False)

    def _tell(self, outcome: TrialOutcome, *, cached: bool) -> None:
        if not outcome.deep:
            self.trials.append(outcome)
        self.watcher.done(outcome, cached, front(self.study, self.trials))

    def _job(self, point: Point, deep: bool) -> TrialJob:
        model = str(dict(point).get("model", self.study.models[0]))
        files: dict[str, bytes | str] = {}
        named = model
        if not is_name(model):
            path = Path(model)
            files = {name: str(data_files) for name, data_files in files_of(path).items()}
            named = path.name
        data = None
        if self.study.data is not None:
            data_files, data = files_of_data(Path(self.study.data))
            files |= data_files
        return TrialJob(self.study, point, named, files, str(self.store), deep, data)

    @property
    def spent(self) -> bool:
        """Whether the study's time is over."""
        limit = self.study.minutes
        return limit is not None and time.monotonic() - self.began > 60 * limit


def carry_out(
    study: Study,
    text: str,
    folder: Path,
    workers: Workers[TrialJob, TrialOutcome],
    watcher: StudyWatcher,
    *,
    store: Path,
    resume: bool,
) -> dict[str, Any]:
    """Do a study in a folder; its summary, which is also written there."""
    check_study(study)
    with open_journal(folder / JOURNAL, LINES) as book:
        _same(folder, text, book, resume=resume)
        write_file(folder / TEXT, text)
        outcomes = {(each.key, each.deep): each for each in book.outcomes}
        progress = StudyProgress(
            study, folder, store, workers, watcher, book, time.monotonic(), outcomes
        )
        watcher.begun(study, len(outcomes))
        trials = explore_points(study, progress.answers, lambda: progress.spent)
        best = front(study, trials)
        deep = []
        if study.compile_best and best:
            points = [tuple(each.point.items()) for each in best[: study.compile_best]]
            deep = progress.answers(points, deep=True)
        document = summary(progress, trials, best, deep)
        write_file(folder / STUDY, json.dumps(document, indent=1) + "\n")
    return document


def check_study(study: Study) -> None:
    """An error for models, data and figures that are not there, before anything is done."""
    for model in study.models:
        files_of(resolve(Path(model)) if is_name(model) else existing(Path(model)))
    if study.data is not None:
        open_data(Path(study.data))
    names = Vocabulary(figures()).names
    _refuse_idle_knobs(study)
    named = [*(each.figure for each in study.objectives), *(each.figure for each in study.budgets)]
    for name in named:
        figure = name.rpartition(".")[2]
        if figure not in names:
            raise UsageError(
                f"No run has a figure {name!r}.",
                hint=did_you_mean(figure, names) or "docs/gates.md lists the figures.",
            )


def _refuse_idle_knobs(study: Study) -> None:
    """An error for whatever a study varies or states that changes nothing."""
    entries = [entry_of(name) for name in study.targets]
    methods = next((k.values for k in study.knobs if k.name == "method"), (study.method,))
    for knob in study.knobs:
        if knob.name in TRAINED and "qat" not in methods:
            raise UsageError(
                f"{knob.name} is varied, but it is only used in training.",
                hint='Set method = "qat".',
            )
        own = knob.name in OWN or knob.name.startswith(BITS)
        if not own and not any(knob.name in entry.options for entry in entries):
            raise UsageError(
                f"{knob.name} is varied, but the target {', '.join(study.targets)} does not know "
                f"it.",
                hint="Take it out of [space], or choose another target.",
            )
    if study.tools and not study.compile_best:
        raise UsageError(
            "Tools are named, but no trial is compiled for them.", hint="Set compile_best."
        )


def _same(folder: Path, text: str, book: Journal[TrialOutcome], *, resume: bool) -> None:
    """A folder with trials goes on only if that is asked for, and only with its own study."""
    written = folder / TEXT
    if not book.outcomes:
        return
    if not resume:
        raise UsageError(
            f"{folder} holds {len(book.outcomes)} trials already.",
            hint="Add --resume to go on with them, or choose another folder.",
        )
    if written.is_file() and written.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"{folder} holds the trials of another study than the one that was given.",
            hint=f"Choose another folder; trials that both share are not done twice. {written} "
            f"holds the other study.",
        )


def summary(
    progress: StudyProgress,
    trials: Sequence[TrialOutcome],
    best: Sequence[TrialOutcome],
    deep: Sequence[TrialOutcome],
) -> dict[str, Any]:
    """What a study found, ready for JSON."""
    study = progress.study
    return {
        "schema_version": SCHEMA_VERSION,
        "study": asdict(study),
        "digest": study.digest,
        "store": str(progress.store),
        "seconds": round(time.monotonic() - progress.began, 2),
        "trials": [as_dict(each) for each in trials],
        "front": [each.key for each in best],
        "compiled": [as_dict(each) for each in deep],
        "importances": importances(study, trials),
        "failed": sum(bool(each.error) for each in trials),
        "cut_short": sum(each.cut_short for each in trials),
        "resumed": progress.resumed,
        "saving": saving(study, trials, deep),
    }


def saving(
    study: Study, trials: Sequence[TrialOutcome], deep: Sequence[TrialOutcome]
) -> dict[str, float]:
    """What looking cheaply first has saved: the time that it would have taken to compile and
    simulate every trial, by the mean of those that were, against the time of both."""
    done = [each.seconds for each in deep if not each.error]
    if not done:
        return {}
    mean = sum(done) / len(done)
    spent = sum(each.seconds for each in trials) + sum(each.seconds for each in deep)
    return {
        "compiled": float(len(done)),
        "of": float(len(trials)),
        "seconds": round(spent, 1),
        "seconds_without": round(mean * len(trials), 1),
    }
