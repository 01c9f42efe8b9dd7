# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every kind of page that is written for people, from figures made by hand: no run, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeinfer.api import Comparison, Fitting, Run
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.evaluate.merit import Merit
from edgeinfer.evaluate.profile.data import Profile, Uncertain
from edgeinfer.event.page import render_pictures
from edgeinfer.event.picture import PlanePanels, TagScheme
from edgeinfer.event.production_page import render_production
from edgeinfer.report.compare import page as compare_page
from edgeinfer.report.compare.comparison import RunComparison, compare_runs
from edgeinfer.report.compare.runs import label_runs
from edgeinfer.report.fitting import fit_page
from edgeinfer.report.fitting.fit_table import FitLimits, FitRow, FitTable
from edgeinfer.report.page.page import Report, Wishes, report_on, write_report_files
from edgeinfer.report.result import SCHEMA_VERSION, Result
from edgeinfer.report.timings import TimingBand
from edgeinfer.report.uses import Use
from edgeinfer.sweep.front import front, importances
from edgeinfer.sweep.page import FinishedStudy, write_page
from edgeinfer.sweep.study import Direction, Objective, Study, StudyKnob
from edgeinfer.sweep.trial import TrialOutcome
from edgeinfer.targets.registry import directions
from tests.support import report_results as results
from tests.support.places import ROOT


def write_report(folder: Path, result: Result, profile: Profile | None) -> Report:
    """A report with its files; it is in `report.html`."""
    made = report_on(result, profile, Wishes(latency_us=20.0, reason="There is no Program."))
    write_report_files(made).write(folder)
    return made


def compared(count: int) -> RunComparison:
    """Runs of one network in more and more bits."""
    return compare_runs(
        label_runs([(name, result, SCHEMA_VERSION) for name, result in results.sweep(count)]),
        directions(),
    )


def fitted() -> FitTable:
    """Four widths on two targets, one of them refused."""
    rows = []
    for bits in (4, 6, 8):
        lost = 0.04 * 2.0 ** (4 - bits)
        merit = Merit(
            "auc",
            Uncertain(value=0.95 - lost, low=0.945 - lost, high=0.955 - lost),
            Uncertain(value=lost, low=lost - 0.002, high=lost + 0.002),
            0.95,
        )
        for target, title, wait in (("hls", "HLS", 3.0), ("rtl", "RTL", 5.0)):
            latency = Metric("latency_us", wait, "us", Origin.ESTIMATED, 0.8 * wait, 1.3 * wait,
                             state=DesignState.NONE)  # fmt: skip
            taken = Metric(
                "lut",
                900.0 * bits,
                "LUT",
                Origin.ESTIMATED,
                700.0 * bits,
                1200.0 * bits,
                state=DesignState.C_SYNTHESIS,
            )
            rows.append(
                FitRow(
                    target, title, f"{bits} bits", "xczu7ev", merit,
                    TimingBand(target, title, latency, wait),
                    (Use(target, title, "lut", taken, "", 8000.0),),
                    f"edgeinfer compile net.keras --bits {bits} --target {target} -o runs/net",
                )
            )  # fmt: skip
    rows.append(FitRow("edgetpu", "Edge TPU", "16 bits", "coral", refused="computes with 8 bits"))
    return FitTable("net", "2,000 samples of d.npz", tuple(rows), FitLimits(latency_us=20.0),
                    ("The names of the classes are not known.",))  # fmt: skip


def studied(folder: Path) -> FinishedStudy:
    """A finished study of widths and reuse, one trial of which failed."""
    study = Study(
        ("jet-tagger",),
        (StudyKnob("bits:*", (2, 4, 6, 8)), StudyKnob("reuse", (1, 2, 4))),
        (Objective("auc", Direction.MAXIMIZE), Objective("hls.lut"), Objective("hls.latency_us")),
    )
    trials = [
        TrialOutcome(
            {"bits:*": bits, "reuse": reuse},
            f"{bits:08x}{reuse:016x}",
            {
                "auc": 0.97 - 0.2 * 2.0**-bits - 0.001 * reuse,
                "hls.lut": 900.0 * bits / reuse,
                "hls.latency_us": 0.2 * reuse + 0.01 * bits,
            },
            seconds=1.5,
        )
        for bits in (2, 4, 6, 8)
        for reuse in (1, 2, 4)
    ]
    trials.append(TrialOutcome({"bits:*": 2, "reuse": 4}, "f" * 24, error="out of memory"))
    best = front(study, trials)
    told = {
        "seconds": 40.0, "failed": 1, "cut_short": 0, "saving": {},
        "importances": importances(study, trials),
    }  # fmt: skip
    return FinishedStudy(folder, study, told, tuple(trials), tuple(best), folder / "trials")


def _report(folder: Path, result: Result, profile: Profile | None) -> Path:
    write_report(folder, result, profile)
    return folder / "report.html"


def _written(folder: Path, name: str, text: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def event_page(folder: Path, planes: int = 3) -> Path:
    """A page of planes with a few hits."""
    scheme = TagScheme("label", ("track", "shower"), None)
    image = np.zeros((50, 40, 3), np.uint8)
    image[10:40, 5:35] = (120, 60, 200)
    panels = [
        PlanePanels(f"plane {n}", 40, 50, image, image, {"track": n, "shower": 0}, n)
        for n in range(planes)
    ]
    figures = {"hits": 1, "occupancy": 0.1, "seconds": 1.0}
    document = {"model": "m", "program": "p", "planes": [{"name": "p", **figures}] * planes}
    return _written(folder, "event.html",
                    render_pictures(folder / "event.html", document, panels, scheme)
                    [folder / "event.html"])  # fmt: skip


def _production(folder: Path) -> Path:
    files = [
        {
            "file": f"/data/run-000{number}/planes-of-a-long-name-{number}.npy",
            "output": "" if number == 3 else f"planes-{number}.npz",
            "planes": [{"hits": 700 + number}, {"hits": 20}],
            "seconds": 0.6 * number,
            "failure": number == 3,
            "reason": "It is no archive: the file ends too early." if number == 3 else "",
        }
        for number in range(12)
    ]
    document = {
        "model": "hit-tagger-pooled", "program": results.DIGEST, "files": files, "failed": 1,
        "hits": 8140, "planes": 22, "resumed": 2, "checked_one_by_one": 64, "seconds": 9.0,
        "settings": {"threshold_adc": 4.0, "scaling": "raw"},
    }  # fmt: skip
    return _written(folder, "index.html", render_production(document))


def _notebook(folder: Path) -> Path:
    """What objects show of themselves, in a page like a notebook's."""
    shown = [Run(folder, results.good()), Comparison(compared(3)), Fitting(fitted())]
    cells = "".join(
        f'<div style="overflow: auto" tabindex="0">{each._repr_html_()}</div>' for each in shown
    )
    head = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>n</title></head>'
    return _written(folder, "notebook.html", f"{head}<body><main><h1>n</h1>{cells}</main></body>")


def _study(folder: Path) -> Path:
    return write_page(studied(folder))[0]


PAGES: dict[str, Callable[[Path], Path]] = {
    "report": lambda folder: _report(folder, results.good(), results.profile()),
    "report of stages that disagree": lambda folder: _report(
        folder, results.disagreeing(), results.profile()
    ),
    "report without a profile": lambda folder: _report(folder, results.good(), None),
    "report of hostile names": lambda folder: _report(folder, *results.hostile()),
    "comparison": lambda folder: _written(folder, "compare.html", compare_page.html(compared(14))),
    "fit": lambda folder: _written(folder, "fit.html", fit_page.html(fitted())),
    "study": _study,
    "event": event_page,
    "production": _production,
    "notebook": _notebook,
}

# Reports of real runs, as they are kept in the repository.
GALLERY: dict[str, Callable[[Path], Path]] = {
    path.parent.name: lambda _folder, path=path: path
    for path in sorted((ROOT / "reports" / "reference").glob("*/report.html"))
}
