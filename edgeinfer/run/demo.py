# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The demonstration: the pooled hit tagger from its float weights to every target, and three
recipes side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.plan import write_file
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.report.compare import page
from edgeinfer.report.compare.comparison import RunComparison
from edgeinfer.report.page.page import Report, Wishes
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.report import write_report
from edgeinfer.run.samples import Simulation
from edgeinfer.run.steps import compile_model
from edgeinfer.run.stored import compare_folders
from edgeinfer.targets.registry import ChosenTarget, choose, known_targets
from edgeinfer.zoo import resolve

MODEL = "hit-tagger-pooled"
WIDTHS = (4, 6, 8)
SHOWN = 6  # bits, of the recipe that goes to every target


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demonstration made."""

    report: Report
    comparison: RunComparison
    runs: tuple[Path, ...]
    seconds: float


def demonstrate(folder: Path, progress: Progress) -> DemoResult:
    """All of it, in run folders below a folder; what is there already is not done again."""
    began = time.monotonic()
    runs = tuple(folder / f"{width}-bit" for width in WIDTHS)
    report = None
    for width, run in zip(WIDTHS, runs, strict=True):
        first_page = _compile_recipe(run, width, _targets(), progress, whole=width == SHOWN)
        report = first_page or report
    assert report is not None
    comparison = compare_folders(runs)
    write_file(folder / "compare.html", page.html(comparison))
    return DemoResult(report, comparison, runs, time.monotonic() - began)


def _targets() -> list[ChosenTarget]:
    return [
        choose(name, {"fit": True} if "fit" in entry.options else {})
        for name, entry in known_targets().items()
    ]


def _compile_recipe(
    run: Path, width: int, targets: Sequence[ChosenTarget], progress: Progress, *, whole: bool
) -> Report | None:
    """A recipe on all targets: projects, simulations and a report, or estimates alone."""
    with open_run(run, progress, new=True) as folder:
        compile_model(
            folder,
            resolve(MODEL),
            recipe_path=None,
            data=Simulation(MODEL),
            formats=PtqSettings(width, equalize=False),
            targets=targets,
            projects=whole,
        )
        return write_report(folder, None, Wishes()) if whole else None
