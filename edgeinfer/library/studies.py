# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Studies of many settings, and searches for widths, from Python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgeinfer.api import Data, Model
from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.names import printable
from edgeinfer.library.answers import data_path, reference_entry
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.run import SearchSettings, SearchStrategy
from edgeinfer.readers import load as load_file
from edgeinfer.run.folder import Progress, watch_step
from edgeinfer.run.in_memory import data_file
from edgeinfer.run.notebook import notebook_progress
from edgeinfer.run.search import SearchOrder, estimate_on, search_model, search_widths, target_on
from edgeinfer.sweep import page
from edgeinfer.sweep import study as sweep_study
from edgeinfer.sweep.page import FinishedStudy
from edgeinfer.sweep.run import carry_out
from edgeinfer.sweep.travel import TRIALS
from edgeinfer.sweep.trial import TrialJob, TrialOutcome
from edgeinfer.workers.cluster import Access, cluster
from edgeinfer.workers.kind import Workers
from edgeinfer.workers.pool import fitting_jobs, pool


@dataclass(frozen=True)
class StudyResult:
    """A study that is done: a row for each trial, and those that nothing beats."""

    finished: FinishedStudy = field(repr=False)

    def __repr__(self) -> str:
        return f"<study {self.finished.folder}: {page.headline(self.finished)}>"

    @property
    def trials(self) -> list[dict[str, Any]]:
        """All trials, as rows that `pandas.DataFrame` takes."""
        return page.records(self.finished)

    @property
    def front(self) -> list[dict[str, Any]]:
        """The trials that no other beats in everything."""
        return [row for row in self.trials if row["front"]]

    def report(self) -> Path:
        """Write the study's page; where it is."""
        page.write_page(self.finished)
        return self.finished.folder / page.PAGE


@dataclass(frozen=True)
class WidthSearch:
    """What a search found: `document` is what `search --json` prints."""

    model: Model
    document: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        trials = len(self.document["front"]) + len(self.document["others"])
        name = self.document["chosen"]
        searched = printable(self.model.graph.name)
        return f"<search of {searched}: {trials} recipes, {name or 'none'} chosen>"

    @property
    def front(self) -> list[dict[str, Any]]:
        """The recipes that no other beats, with score and costs."""
        return list(self.document["front"])

    @property
    def best_model(self) -> Model | None:
        """The network of the recipe that was chosen; None where none is within the budget."""
        name = self.document["chosen"]
        if name is None:
            return None
        path = Path(self.document["output"]) / "models" / f"{name}.keras"
        return Model(path, load_file(path).graph, self.model.source)


@dataclass(slots=True)
class _StudyTeller:
    """Trials, told as a step that advances."""

    progress: Progress
    total: int = 0
    count: int = 0

    def begun(self, study: sweep_study.Study, finished_trials: int) -> None:
        """So many trials there will be."""
        self.total = study.trials

    def done(self, outcome: TrialOutcome, cached: bool, best: Sequence[TrialOutcome]) -> None:
        """One of them is done."""
        self.count += not outcome.deep
        self.progress.advance(self.count, max(self.total, self.count))


def run_study(
    study: str | Path,
    folder: str | Path | None = None,
    *,
    jobs: int | None = None,
    scheduler: Access | None = None,
    resume: bool = False,
    store: str | Path | None = None,
) -> StudyResult:
    """The study of a TOML file, tried in parallel. `folder`: `runs/` and the file's name by
    default; `store`: trials that studies can share; `resume`: go on with a folder's trials;
    `scheduler`: a Dask cluster in place of processes here. In a script, call it below `if __name__
    == "__main__":`, as its processes import the script."""
    path = Path(study)
    study_read = sweep_study.read(path)
    place = Path("runs", path.stem) if folder is None else Path(folder)
    shared = place.parent / "trials" if store is None else Path(store)
    progress = notebook_progress()
    with _open_workers(jobs, scheduler) as workers, watch_step(progress, "sweep"):
        carry_out(
            study_read, path.read_text(encoding="utf-8"), place, workers, _StudyTeller(progress),
            store=shared, resume=resume,
        )  # fmt: skip
    return opened_study(place)


@contextlib.contextmanager
def _open_workers(
    jobs: int | None, scheduler: Access | None
) -> Iterator[Workers[TrialJob, TrialOutcome]]:
    if jobs is not None and (jobs < 1 or scheduler is not None):
        raise UsageError(
            f"{jobs} processes, beside a scheduler or not, cannot do this.",
            hint="Give 1 or more, or a scheduler alone.",
        )
    if scheduler is None:
        with pool(TRIALS, jobs or fitting_jobs()) as processes:
            yield processes
        return
    with cluster(scheduler, TRIALS) as workers:
        yield workers


def opened_study(folder: str | Path) -> StudyResult:
    """The folder of a study that is done."""
    return StudyResult(page.read_study_folder(Path(folder)))


def search(
    model: Model,
    folder: str | Path,
    *,
    budget: float | None = None,
    bits: int = 6,
    cost: str = "ebops",
    target: str | None = None,
    device: str | None = None,
    strategy: Literal["greedy", "thorough"] = "greedy",
    training: QatSettings | None = None,
    tolerance: float = 0.01,
    trials: int | None = None,
    minutes: float | None = 20.0,
    per_channel: bool = False,
    seed: int = 0,
    validation: Data = None,
) -> WidthSearch:
    """Search a width for every tensor and kernel. `budget`: the most that a recipe may cost, as a
    share of the cost of `bits` throughout; `cost`: what is saved, also a figure that `target`
    estimates; `training`: how weights are trained for each recipe, where they are. Needs the extra
    `[train]`; a folder that is named again goes on."""
    require_extra("train", "A search, which writes its models as .keras,")
    if device is not None and target is None:
        raise UsageError("A device is for a target.", hint="Name the target too.")
    order = SearchOrder(
        model=model.path,
        folder=Path(folder),
        search=SearchSettings(
            widths=search_widths(bits),
            strategy=SearchStrategy(strategy),
            cost=cost,
            tolerance=tolerance,
            trials=trials,
            minutes=minutes,
            seed=seed,
            per_channel=per_channel,
        ),
        budget=budget,
        uniform=bits,
        training=training,
        entry=reference_entry(model),
        data=data_path(model),
        validation=data_file(validation),
        batch_axis=model.batch_axis,
    )
    estimate = estimate_on(target_on(target, device)) if target else None
    return WidthSearch(model, search_model(order, notebook_progress(), estimate))
