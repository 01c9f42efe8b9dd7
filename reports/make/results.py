# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed results and reports of the quantized reference models.

``python -m reports.make.results`` makes ``reports/reference/<model>/`` anew for each of them,
and ``--schemas`` the JSON Schemas. A test makes the cheap part of one again and compares.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.base.plan import write_file
from edgeinfer.evaluate.profile import data as profile_data
from edgeinfer.report.page.page import Wishes, html, report_on
from edgeinfer.report.result import from_json, json_schema
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.report import write_report
from edgeinfer.run.result import RESULT
from edgeinfer.run.samples import DataFile
from edgeinfer.run.steps import compile_model
from edgeinfer.targets.registry import choose
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import stage_seed

COMMAND = "python -m reports.make.results"
FOLDER = Path("reports/reference")
SCHEMAS = Path("reports/schema")
KEPT = ("result.json", "report.html", "report_data.json")
SEED = 71  # of samples that nothing was trained, chosen or judged on


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """A committed quantized model: whose data it is judged on, how many, and for which targets."""

    name: str
    entry: str
    samples: int
    targets: tuple[str, ...]


REFERENCES = (
    ReferenceModel("jet-tagger-4bit", "jet-tagger", 4000, ("hls", "rtl", "edgetpu")),
    ReferenceModel("jet-tagger-6bit", "jet-tagger", 4000, ("hls", "rtl", "edgetpu")),
    ReferenceModel("hit-tagger-pooled-4bit", "hit-tagger-pooled", 2000, ("hls", "rtl", "edgetpu")),
    ReferenceModel("hit-tagger-pooled-6bit", "hit-tagger-pooled", 2000, ("hls", "rtl", "edgetpu")),
    ReferenceModel("roi-finder-4bit", "roi-finder", 2000, ("rtl", "edgetpu")),
    ReferenceModel("roi-finder-6bit", "roi-finder", 2000, ("rtl", "edgetpu")),
    ReferenceModel("track-pid-4bit", "track-pid", 2000, ("rtl", "edgetpu")),
    ReferenceModel("track-pid-6bit", "track-pid", 2000, ("rtl", "edgetpu")),
)


def make(reference: ReferenceModel, root: Path, run: Path, targets: Sequence[str]) -> None:
    """Compile a committed model into a run folder, on simulated data, and write its report."""
    drawn, _ = simulate_samples(
        entry_of(reference.entry), stage_seed(SEED, "fresh"), reference.samples
    )
    data = run.parent / f"{reference.entry}.npz"
    arrays = {**drawn.inputs, **drawn.labels}
    with data.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    model = root / FOLDER / "quantization" / f"{reference.name}.keras"
    chosen = [choose(target, {}) for target in targets]
    with open_run(run, Progress(), new=True) as folder:
        source = DataFile(data)
        result = compile_model(folder, model, recipe_path=None, data=source, targets=chosen)
        lasting = result.model_copy(update={"steps": ()})  # how long it took differs each time
        write_file(run / RESULT, lasting.to_json())
        write_report(folder, None, Wishes())


def draw_again(place: Path) -> None:
    """A page from a committed result, where only drawing has changed."""
    result = from_json((place / "result.json").read_text(encoding="utf-8"), str(place))
    text = (place / "report_data.json").read_text(encoding="utf-8")
    profile = profile_data.from_json(text, str(place))
    write_file(place / "result.json", result.to_json())
    write_file(place / "report.html", html(report_on(result, profile)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make everything anew below the current folder."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--schemas", action="store_true", help="the JSON Schemas alone")
    parser.add_argument(
        "--pages", action="store_true", help="the pages alone, as results have them"
    )
    parser.add_argument("names", nargs="*", help="some models alone")
    options = parser.parse_args(arguments)
    known = [reference.name for reference in REFERENCES]
    if not set(options.names) <= set(known):
        parser.error(f"the names are {', '.join(known)}")
    write_file(SCHEMAS / "result.schema.json", json_schema())
    write_file(SCHEMAS / "report_data.schema.json", profile_data.json_schema())
    if options.schemas:
        return 0
    for reference in REFERENCES:
        if options.names and reference.name not in options.names:
            continue
        if options.pages:
            draw_again(FOLDER / reference.name)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            run = Path(scratch) / reference.name
            make(reference, Path.cwd(), run, reference.targets)
            for name in KEPT:
                write_file(FOLDER / reference.name / name, (run / name).read_bytes())
        draw_again(FOLDER / reference.name)  # without what only the run's folder shows
    return 0


if __name__ == "__main__":
    sys.exit(main())
