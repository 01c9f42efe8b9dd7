# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Studies of many settings, from Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.run.folder import Progress, watch_step
from edgeinfer.run.notebook import notebook_progress
from edgeinfer.sweep import page
from edgeinfer.sweep import study as sweep_study
from edgeinfer.sweep.page import FinishedStudy
from edgeinfer.sweep.run import carry_out
from edgeinfer.sweep.travel import TRIALS
from edgeinfer.sweep.trial import TrialOutcome
from edgeinfer.workers.choice import open_workers
from edgeinfer.workers.cluster import Access


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
    if jobs is not None and (jobs < 1 or scheduler is not None):
        raise UsageError(
            f"{jobs} processes, beside a scheduler or not, cannot do this.",
            hint="Give 1 or more, or a scheduler alone.",
        )
    path = Path(study)
    study_read = sweep_study.read(path)
    place = Path("runs", path.stem) if folder is None else Path(folder)
    shared = place.parent / "trials" if store is None else Path(store)
    progress = notebook_progress()
    with (
        open_workers(TRIALS, jobs, scheduler, warnings.warn) as workers,
        watch_step(progress, "sweep"),
    ):
        carry_out(
            study_read, path.read_text(encoding="utf-8"), place, workers, _StudyTeller(progress),
            store=shared, resume=resume,
        )  # fmt: skip
    return opened_study(place)


def opened_study(folder: str | Path) -> StudyResult:
    """The folder of a study that is done."""
    return StudyResult(page.read_study_folder(Path(folder)))
