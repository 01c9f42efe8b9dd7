# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The tables of a run's report but the one of its layers."""

from __future__ import annotations

from edgeinfer.base.metrics import Scores
from edgeinfer.evaluate.profile.data import Profile, Uncertain
from edgeinfer.report import words
from edgeinfer.report.result import Result
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table, text
from edgeinfer.report.timings import timings_of
from edgeinfer.report.titles import stage_title, target_title
from edgeinfer.report.uses import uses_of

BASE = ("float", "quantized", "interpret", "engine")  # stages that need no target


def stages_of(result: Result) -> list[str]:
    """The stages that were judged, in the order in which a network passes them."""
    order = (*BASE, *(part.stage for part in result.targets.values()))
    stages = [stage for stage in order if stage in result.accuracy]
    return [*stages, *(stage for stage in result.accuracy if stage not in order)]


def _shares_integers(result: Result, stage: str) -> bool:
    """Whether a stage's integers are the quantized network's."""
    apart = {part.stage for part in result.targets.values() if not part.exact}
    return stage != "float" and stage not in apart


def intervals_of(
    result: Result, profile: Profile | None, stage: str
) -> tuple[Uncertain | None, Uncertain | None]:
    """The intervals of a stage's area and accuracy: its own, or those of the quantized network
    where it scored the very same on as many samples."""
    scores = result.accuracy[stage]
    if scores.intervals:
        return _recorded_interval(scores, "auc"), _recorded_interval(scores, "accuracy")
    if profile is None:
        return None, None
    for each in profile.scores:
        same = each.stage == stage or (
            each.stage == "quantized" and _shares_integers(result, stage)
        )
        if same and scores.samples == profile.samples:
            return _matching(each.auc, scores.auc), _matching(each.accuracy, scores.accuracy)
    return None, None


def _recorded_interval(scores: Scores, name: str) -> Uncertain | None:
    """The interval that a result records of a score."""
    value = getattr(scores, name)
    if value is None or name not in scores.intervals:
        return None
    low, high = scores.intervals[name]
    return Uncertain(value=value, low=low, high=high)


def _matching(interval: Uncertain | None, value: float | None) -> Uncertain | None:
    if interval is None or value is None or abs(interval.value - value) > 1e-9:
        return None
    return interval


def accuracy_table(result: Result, profile: Profile | None) -> ReportTable | None:
    """Scores by stage."""
    if not result.accuracy:
        return None
    rows = []
    for stage in stages_of(result):
        scores = result.accuracy[stage]
        area, right = intervals_of(result, profile, stage)
        rows.append(_scores(stage_title(stage, result), scores, area, right))
        for head, each in scores.heads.items():
            rows.append(_scores(f"{stage_title(stage, result)}: {head}", each, None, None))
    columns = (
        Column("stage"),
        Column("samples", numeric=True),
        Column("AUC", numeric=True, about="one class against the rest, mean over classes"),
        Column("95 % interval", about="of the AUC, over samples like these"),
        Column("accuracy", numeric=True, about="share of samples decided as labelled"),
        Column("95 % interval", about="of the accuracy, over samples like these"),
        Column("rms error", numeric=True, about="in the label's unit"),
    )
    return filled_table("accuracy", "Scores against the labels, stage by stage", columns, rows)


def _scores(
    name: str, scores: Scores, area: Uncertain | None, right: Uncertain | None
) -> tuple[Cell, ...]:
    return (
        text(name),
        figure(scores.samples),
        figure(scores.auc, words.score),
        Cell("" if area is None else f"{area.low:.4f} to {area.high:.4f}"),
        figure(scores.accuracy, words.score),
        Cell("" if right is None else f"{right.low:.4f} to {right.high:.4f}"),
        figure(scores.rms_error),
    )


def agreement_table(result: Result) -> ReportTable | None:
    """Pairs of stages."""
    if not result.agreement:
        return None
    rows = []
    for entry in result.agreement:
        verdict = Cell("bit-identical", state="good")
        if not entry.bit_identical:
            must = entry in result.disagreements
            verdict = Cell("DIFFERENT", state="bad") if must else Cell("near", state="unsure")
        divergence = "" if entry.first_divergence is None else str(entry.first_divergence)
        rows.append(
            (
                text(words.join_words([stage_title(name, result) for name in entry.pair])),
                verdict,
                figure(entry.samples),
                figure(entry.max_abs_diff),
                figure(entry.decision_flips),
                Cell(words.short(divergence, 240)),
            )
        )
    columns = (
        Column("pair"),
        Column("verdict"),
        Column("samples", numeric=True),
        Column("largest difference", numeric=True, about="of any output, in its own unit"),
        Column("decisions that flip", numeric=True),
        Column("first value that differs"),
    )
    return filled_table(
        "agreement", "Stages held against each other, integer by integer", columns, rows
    )


def usage_table(result: Result) -> ReportTable | None:
    """Resources by target."""
    rows = []
    for use in uses_of(result):
        metric = use.metric
        state = "" if use.fits is None else "good" if use.fits else "bad"
        if use.fits is not None and not use.surely:
            state = "unsure"
        rows.append(
            (
                text(use.title),
                Cell(words.kind_name(use.kind)),
                figure(metric.value),
                Cell(words.between(metric.low, metric.high)),
                figure(use.offered),
                figure(use.share, words.percent, state=state),
                Cell(str(metric.origin)),
                Cell(use.state),
                text(_tool(metric.tool, metric.version)),
            )
        )
    if not rows:
        return None
    columns = (
        Column("target"),
        Column("kind"),
        Column("used", numeric=True),
        Column("error band"),
        Column("offered", numeric=True, about="by the device"),
        Column("share", numeric=True),
        Column("origin"),
        Column("counted after"),
        Column("tool"),
    )
    return filled_table("usage", f"Resources{_on(result)}", columns, rows)


def _on(result: Result) -> str:
    return "" if result.device is None else f" on {words.short(result.device)}"


def _tool(tool: str | None, version: str | None) -> str:
    return " ".join(part for part in (tool, version) if part)


def timing_table(result: Result, inferences: int, noun: str) -> ReportTable | None:
    """Latency, and the event budget."""
    rows, timings = [], timings_of(result)
    for timing in timings:
        latency, seconds = timing.latency, timing.event_seconds(inferences)
        rate = None if not timing.interval_us else 1e6 / timing.interval_us
        rows.append(
            (
                text(timing.title),
                figure(latency.value),
                Cell(words.between(latency.low, latency.high)),
                Cell(f"{latency.origin}{timing.bound_words}"),
                figure(timing.interval_us),
                figure(rate),
                Cell("–") if seconds is None else Cell(words.seconds(seconds[0]), seconds[0]),
                Cell(_band(seconds)),
                Cell(timing.how),
            )
        )
    if not rows:
        return None
    # Designs for planes take those of a whole detector, however many hits these have.
    streams = [timing.event is not None for timing in timings]
    event = f"{inferences:,} {noun}"
    if any(streams):
        event = "all planes" if all(streams) else f"{event}, or all planes"
    columns = (
        Column("target"),
        Column("latency", "µs", True, "of one inference"),
        Column("error band", "µs"),
        Column("origin"),
        Column("interval", "µs", True, "from one inference to the next"),
        Column("rate", "1/s", True, "inferences a second"),
        Column(event, "", True, "the time for a whole event"),
        Column("error band", "s"),
        Column("interval by"),
    )
    return filled_table("timing", f"Latency, and an event of {event}", columns, rows)


def _band(event: tuple[float, float | None, float | None] | None) -> str:
    if event is None or event[1] is None or event[2] is None:
        return ""
    return f"{words.number(event[1], 3)} to {words.number(event[2], 3)}"


def metrics_table(result: Result) -> ReportTable | None:
    """Every figure of a whole design, with where it comes from."""
    rows = [
        (
            text(metric.name),
            Cell(target_title(metric.target, result)),
            figure(metric.value),
            Cell(metric.unit.replace("us", "µs") if metric.unit == "us" else metric.unit),
            Cell(words.between(metric.low, metric.high)),
            Cell(str(metric.origin)),
            text(_tool(metric.tool, metric.version)),
            text(metric.note or ""),
        )
        for metric in result.metrics
        if metric.layer is None
    ]
    if not rows:
        return None
    columns = (
        Column("figure"),
        Column("target"),
        Column("value", numeric=True),
        Column("unit"),
        Column("error band"),
        Column("origin"),
        Column("tool"),
        Column("note"),
    )
    return filled_table("metrics", "Every figure and its origin", columns, rows)


def steps_table(result: Result) -> ReportTable | None:
    """The steps of the run."""
    rows = [
        (text(step.name), figure(step.seconds), Cell("as before" if step.cached else "done anew"))
        for step in result.steps
    ]
    columns = (Column("step"), Column("took", "s", True), Column("in the last run"))
    return ReportTable("steps", "What was done", columns, tuple(rows)) if rows else None


def artefacts_table(result: Result, most: int = 200) -> ReportTable | None:
    """The files of the run."""
    artefacts = result.artefacts[:most]
    if not artefacts:
        return None
    rows = [(text(each.path), Cell(each.sha256, about=each.sha256)) for each in artefacts]
    left = len(result.artefacts) - len(artefacts)
    note = f"{left:,} more are in result.json." if left else ""
    columns = (Column("file"), Column("SHA-256"))
    return ReportTable("artefacts", "Files and their hashes", columns, tuple(rows), note)
