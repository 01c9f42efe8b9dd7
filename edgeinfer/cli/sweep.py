# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb of studies: ``sweep``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer, tell, wants_bars
from edgeinfer.cli.workers import (
    NO_SCHEDULER,
    Jobs,
    SchedulerOptions,
    scheduler_access,
    telling_what_is_kept,
)

if TYPE_CHECKING:
    from rich.live import Live

    from edgeinfer.sweep.study import Study
    from edgeinfer.sweep.trial import TrialOutcome

KEPT = "What was finished is kept: add --resume to the same command."
SHOWN = 12  # trials of the front in a terminal


def sweep(
    study: Annotated[Path, Parameter(help="a study's file, see docs/studies.md")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="the study's folder; runs/NAME by default"),
    ] = None,
    jobs: Jobs = None,
    scheduler: SchedulerOptions = NO_SCHEDULER,
    resume: Annotated[
        bool, Parameter(negative="", help="continue with the trials of a folder")
    ] = False,
    store: Annotated[
        Path | None,
        Parameter(
            help="a folder of trials that studies can share; by default trials beside --output"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Try many recipes, foldings and targets of a model in parallel; can be resumed."""
    from edgeinfer.sweep.run import carry_out
    from edgeinfer.sweep.study import read
    from edgeinfer.sweep.travel import TRIALS
    from edgeinfer.workers.choice import open_workers

    plan = read(study)
    folder = output if output is not None else Path("runs") / study.stem
    place = store if store is not None else folder.parent / "trials"
    access = scheduler_access(scheduler, jobs)
    text = study.read_text(encoding="utf-8")
    with (
        telling_what_is_kept(KEPT),
        open_workers(TRIALS, jobs, access, tell) as workers,
        _watch_study() as watcher,
    ):
        summary = carry_out(plan, text, folder, workers, watcher, store=place, resume=resume)
    answer(summary, _summary(plan, summary, folder), as_json=json, indent=1)


class SweepLines:
    """A line for each trial."""

    def __init__(self) -> None:
        self.study: Any = None
        self.count = 0

    def begun(self, study: Study, finished_trials: int) -> None:
        """Where it begins."""
        self.study = study
        if finished_trials:
            tell(f"resumed: {finished_trials} trials are known")

    def done(self, outcome: TrialOutcome, cached: bool, best: Sequence[TrialOutcome]) -> None:
        """What came of it."""
        if not outcome.deep:
            self.count += 1
        what = "compiled" if outcome.deep else f"trial {self.count}/{self.study.trials}"
        how = "as before" if cached else f"{outcome.seconds:.1f} s"
        tell(f"{what}: {_trial_line(self.study, outcome)} ({how})")


class SweepTable:
    """The front so far, trials a minute, the time that is left."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.study: Any = None
        self.count = self.fresh = 0
        self.began = time.monotonic()

    def begun(self, study: Study, finished_trials: int) -> None:
        """Where it begins."""
        self.study, self.began = study, time.monotonic()

    def done(self, outcome: TrialOutcome, cached: bool, best: Sequence[TrialOutcome]) -> None:
        """The table is drawn anew."""
        from rich.table import Table as Drawn

        self.count += not outcome.deep
        self.fresh += not cached
        minutes = max(time.monotonic() - self.began, 1e-9) / 60
        rate = self.fresh / minutes
        total = min(self.study.trials, self.study.size)
        left = (total - self.count) / rate if rate else 0.0
        title = (
            f"{self.count} of {total} trials, {rate:.1f} a minute, about {left:.1f} minutes left; "
            f"{len(best)} on the front"
        )
        drawn = Drawn(title=title)
        names = [knob.name for knob in self.study.knobs]
        for name in [each.figure for each in self.study.objectives] + names:
            drawn.add_column(name, justify="right")
        for each in list(best)[:SHOWN]:
            figures = [f"{each.figures[o.figure]:.5g}" for o in self.study.objectives]
            drawn.add_row(*figures, *(str(each.point[name]) for name in names))
        self.live.update(drawn)


@contextlib.contextmanager
def _watch_study() -> Iterator[SweepLines | SweepTable]:
    if not wants_bars():
        yield SweepLines()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield SweepTable(live)


def _trial_line(study: Study, outcome: TrialOutcome) -> str:
    if outcome.error:
        return f"failed: {outcome.error}"
    figures = ", ".join(f"{name} {value:.5g}" for name, value in outcome.figures.items())
    beyond = f", beyond {', '.join(outcome.over)}" if outcome.over else ""
    return f"{figures}{beyond}"


def _summary(study: Study, summary: dict[str, Any], folder: Path) -> list[str]:
    by_key = {each["key"]: each for each in summary["trials"]}
    lines = [
        f"{len(summary['trials'])} trials in {summary['seconds']:.1f} s, "
        f"{summary['failed']} failed, {summary['cut_short']} cut short by a budget, "
        f"{summary['resumed']} known before; "
        f"{len(summary['front'])} on the front:"
    ]
    for key in summary["front"][:SHOWN]:
        each = by_key[key]
        figures = ", ".join(f"{o.figure} {each['figures'][o.figure]:.5g}" for o in study.objectives)
        point = ", ".join(f"{name} {value}" for name, value in each["point"].items())
        lines.append(f"front     {figures}: {point}")
    if summary["saving"]:
        saved = summary["saving"]
        lines.append(
            f"saving    {saved['compiled']:.0f} of {saved['of']:.0f} trials were compiled and "
            f"simulated: {saved['seconds']:.0f} s of work in place of about "
            f"{saved['seconds_without']:.0f}"
        )
    return [*lines, f"written   {folder / 'study.json'}"]
