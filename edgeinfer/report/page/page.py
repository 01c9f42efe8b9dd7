# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The page of a run: its sections as data, filled into one file that needs nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import BuildPlan
from edgeinfer.evaluate.profile.curves import CLASS
from edgeinfer.evaluate.profile.data import Profile
from edgeinfer.report import words
from edgeinfer.report.advice import Advice, points_of
from edgeinfer.report.draw.budget import budget_figure
from edgeinfer.report.draw.layers import distribution_figure, waterfall_figure
from edgeinfer.report.draw.marks import Figure
from edgeinfer.report.draw.network import network_figure
from edgeinfer.report.draw.occupancy import occupancy_figure
from edgeinfer.report.draw.scores import accuracy_figure, agreement_figure, roc_figures
from edgeinfer.report.layer_tables import layer_table, layers_csv, target_csv, target_tables
from edgeinfer.report.page.listing import ListedLine
from edgeinfer.report.page.templates import html_page, svg_file
from edgeinfer.report.quantity import targets_of
from edgeinfer.report.result import Result, input_words
from edgeinfer.report.result_tables import (
    accuracy_table,
    agreement_table,
    artefacts_table,
    metrics_table,
    steps_table,
    timing_table,
    usage_table,
)
from edgeinfer.report.site_tables import site_table
from edgeinfer.report.tables import ReportTable
from edgeinfer.report.timings import PATCHES, PUBLISHED, timings_of
from edgeinfer.report.verdict import AnswerState, Verdict, verdict_on

SIGNS = {
    AnswerState.GOOD: "✓",
    AnswerState.BAD: "✗",
    AnswerState.UNSURE: "≈",
    AnswerState.UNKNOWN: "–",
}
NO_DATA = "Give labelled samples with --data to see this."
PICTURE_AXES = 3  # of an input that is a picture: such a network tags patches


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page. What is empty is left out."""

    name: str
    title: str
    words: str = ""
    figures: tuple[Figure, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    points: tuple[Advice, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    flip: bool = False  # one figure at a time, and buttons to turn to the next
    listing: tuple[ListedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown of a run."""

    result: Result
    verdict: Verdict
    sections: tuple[Section, ...]
    profile: Profile | None = None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All pictures."""
        return tuple(figure for section in self.sections for figure in section.figures)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a reader may choose."""

    latency_us: float | None = None  # that is fast enough
    inferences: int = PATCHES  # of an event
    reason: str = ""  # why there is no profile
    program: tuple[ListedLine, ...] = ()  # to browse
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()  # of classes, by output or "" for any


def report_on(result: Result, profile: Profile | None, wishes: Wishes = Wishes()) -> Report:
    """All sections of a run's report."""
    if profile is not None:
        profile = name_classes(profile, dict(wishes.labels))
    sections = (
        _accuracy(result, profile),
        _agreement(result),
        _error(profile, wishes.reason),
        _layers(result, profile, wishes),
        _distributions(profile, wishes.reason),
        _network(profile, wishes.reason),
        *_program(wishes),
        _device(result),
        _event(result, wishes.inferences),
        Section("findings", "Findings", points=points_of(result, profile)),
        _provenance(result, profile),
    )
    verdict = verdict_on(result, profile, wishes.latency_us)
    return Report(result, verdict, sections, profile)


def name_classes(profile: Profile, labels: Mapping[str, Sequence[str]]) -> Profile:
    """The profile with names of classes where it counts them. A UsageError where there are more or
    fewer classes than names."""
    names_of = {curve.output: labels.get(curve.output, labels.get("")) for curve in profile.curves}
    classes = {output: set[str]() for output in names_of}
    for curve in profile.curves:
        classes[curve.output].add(curve.label)
    for output, names in names_of.items():
        counted = len(classes[output])
        if names is not None and counted > max(len(names), 1):
            raise UsageError(
                f"The output {output} has {counted} classes, but --labels names {len(names)}.",
                hint="Name each class, in the order of the output's values.",
            )
    curves = [
        curve.model_copy(update={"label": _class_name(curve.label, names_of[curve.output])})
        for curve in profile.curves
    ]
    return profile.model_copy(update={"curves": tuple(curves)})


def _class_name(label: str, names: Sequence[str] | None) -> str:
    """A class by its number, as its name; others keep theirs."""
    number = label.removeprefix(CLASS)
    if names is None or number == label or int(number) >= len(names):
        return label
    return words.short(names[int(number)], 40)


def write_report_files(report: Report) -> BuildPlan:
    """``report.html``, and pictures and tables as files beside it."""
    files = {"report.html": html(report).encode()}
    for figure in report.figures:
        files[f"report/{figure.name}.svg"] = svg_file(figure).encode()
    if report.profile is not None:
        files["report/layers.csv"] = layers_csv(report.profile).encode()
    for target in targets_of(report.result.metrics):
        if any(m.layer is not None for m in report.result.metrics if m.target == target):
            files[f"report/layers-{_file(target)}.csv"] = target_csv(report.result, target).encode()
    return BuildPlan("report", files)


def _file(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)[:60]


def html(report: Report) -> str:
    """The page."""
    result = report.result
    return html_page(
        "report.html.j2",
        {
            "title": f"{words.short(result.model.name, 80)}: edgeinfer report",
            "name": words.short(result.model.name, 120),
            "kicker": _kicker(result),
            "verdict": report.verdict,
            "signs": SIGNS,
            "sections": report.sections,
            "foot": f"Made by edgeinfer {result.edgeinfer} from result.json, version "
            f"{result.schema_version} of its schema.",
        },
    )


def _kicker(result: Result) -> str:
    program = result.program
    parts = [
        words.count_noun(program.parameters, "parameter"),
        f"{program.macs:,} multiply-accumulates a sample",
        words.count_noun(program.ops, "op"),
        *([] if result.device is None else [words.short(result.device)]),
    ]
    return " · ".join(parts)


def drop_missing_figures(*items: Figure | None) -> tuple[Figure, ...]:
    """The pictures that there are."""
    return tuple(item for item in items if item is not None)


def drop_missing_tables(*items: ReportTable | None) -> tuple[ReportTable, ...]:
    """The tables that there are."""
    return tuple(item for item in items if item is not None)


def _accuracy(result: Result, profile: Profile | None) -> Section:
    text = f"No labels were given, so nothing can be said. {NO_DATA}"
    if result.accuracy:
        samples = max(scores.samples for scores in result.accuracy.values())
        source = "" if result.data is None else f" of {words.short(result.data.name)}"
        text = (
            f"Judged on {words.count_noun(samples, 'sample')}{source}. Bars are 95 % intervals: "
            "how "
            f"far the figures would move with other samples of the same kind."
        )
    curves = () if profile is None else tuple(roc_figures(profile))
    return Section(
        "accuracy",
        "Accuracy",
        text,
        (*drop_missing_figures(accuracy_figure(result, profile)), *curves),
        drop_missing_tables(accuracy_table(result, profile)),
    )


def _agreement(result: Result) -> Section:
    text = "" if result.agreement else "No two stages were held against each other."
    figure, table = (
        drop_missing_figures(agreement_figure(result)),
        drop_missing_tables(agreement_table(result)),
    )
    return Section("agreement", "Agreement", text, figure, table)


def _error(profile: Profile | None, reason: str) -> Section:
    if profile is None:
        return Section("error", "Error", reason)
    text = (
        "How far each value of the integer network is from the float network's, as a share of the "
        "signal there; from the inputs down to the outputs."
    )
    figure = waterfall_figure(profile)
    if figure is None:
        text = "No value of the Program bears the name of a float tensor, so none can be compared."
    return Section("error", "Error", text, drop_missing_figures(figure))


def _layers(result: Result, profile: Profile | None, wishes: Wishes) -> Section:
    tables = target_tables(result, profile)
    if profile is not None:
        tables.insert(0, layer_table(profile))
    anchors = {line.name: line.anchor for line in wishes.program if line.anchor}
    linked = tuple(_link_rows(table, anchors) for table in tables)
    return Section("layers", "Layers", wishes.reason if profile is None else "", (), linked)


def _link_rows(table: ReportTable, anchors: Mapping[str, str]) -> ReportTable:
    """The table with rows that lead to their values in the listing of the program."""
    rows = [
        (replace(row[0], link=f"#{anchors[row[0].text]}"), *row[1:])
        if row[0].text in anchors
        else row
        for row in table.rows
    ]
    return replace(table, rows=tuple(rows))


def _program(wishes: Wishes) -> list[Section]:
    """The integer program, line by line, with its places in the targets' files."""
    if not wishes.program:
        return []
    text = (
        "The integer program: each value with its type and shape. Names lead to the values that "
        "are read; files of the targets are named with the line where the value's name first "
        "stands."
    )
    return [Section("program", "Program", text, listing=wishes.program)]


def _distributions(profile: Profile | None, reason: str) -> Section:
    if profile is None:
        return Section("distributions", "Distributions", reason)
    text = (
        "Sizes of values, each bin a power of two, so one bin is one bit of the format. What lies "
        "left of the box is below half a step and rounds to zero; what lies right of it saturates."
    )
    figures = drop_missing_figures(
        distribution_figure(profile, "weight"), distribution_figure(profile, "activation")
    )
    return Section("distributions", "Distributions", text, figures)


def _network(profile: Profile | None, reason: str) -> Section:
    if profile is None:
        return Section("network", "Network", reason)
    return Section("network", "Network", "", drop_missing_figures(network_figure(profile)))


def _device(result: Result) -> Section:
    table = usage_table(result)
    text = ""
    if table is None:
        text = "No target of this run tells what it takes. Compile with --target and --device."
    elif result.device is None and not any(part.budget for part in result.targets.values()):
        text = "No device is named in this run, so only targets that know theirs have a budget."
    return Section(
        "device",
        "Device",
        text,
        drop_missing_figures(budget_figure(result), occupancy_figure(result)),
        drop_missing_tables(table, site_table(result)),
    )


def _event(result: Result, inferences: int) -> Section:
    picture = any(len(each.shape) == PICTURE_AXES for each in result.program.inputs)
    noun = "patches" if picture else "inferences"
    timings = timings_of(result)
    text = [
        f"{'' if timing.by_sites is None else 'at most '}{_lasting(event)} on {timing.title}"
        for timing in timings
        if timing.event is None and (event := timing.event_seconds(inferences)) is not None
    ]
    streamed = [
        f"{_lasting(event)} on {timing.title} ({timing.event.origin})"
        for timing in timings
        if timing.event is not None and (event := timing.event_seconds(inferences)) is not None
    ]
    lead = ""
    if text:
        lead = (
            f"{inferences:,} {noun}, one after the other on one device, take "
            f"{words.join_words(text)}. "
        )
    if streamed:
        lead += (
            "All planes of a ProtoDUNE event, streamed through one design, take "
            f"{words.join_words(streamed)}. {PUBLISHED}"
        )
    lead = lead.rstrip() or "No target of this run tells how long it takes."
    return Section(
        "event", "Event", lead, (), drop_missing_tables(timing_table(result, inferences, noun))
    )


def _lasting(event: tuple[float, float | None, float | None]) -> str:
    middle, low, high = event
    if low is None or high is None:
        return words.seconds(middle)
    return f"{words.seconds(middle)} ({words.seconds(low)} to {words.seconds(high)})"


def _provenance(result: Result, profile: Profile | None) -> Section:
    tools = dict.fromkeys(
        f"{metric.tool} {metric.version or ''}".strip() for metric in result.metrics if metric.tool
    )
    facts = [
        ("edgeinfer", result.edgeinfer),
        ("model", f"{words.short(result.model.file, 200)}, SHA-256 {result.model.sha256}"),
        ("recipe", f"SHA-256 {result.recipe.digest}"),
        ("program", f"content hash {result.program.digest}"),
    ]
    if result.data is not None:
        kind = f", {result.data.format}" if result.data.format else ""
        samples = f"{words.short(result.data.name, 200)}{kind}"
        facts.append(("data", f"{samples}, SHA-256 {result.data.sha256}"))
    if profile is not None:
        facts.append(("looked into", profile.origin))
    for name, part in result.targets.items():
        settings = ", ".join(
            f"{key} {value}" for key, value in part.settings.items() if _is_chosen(value)
        )
        place = f"{part.part or part.device or 'no part'}; " if part.part or part.device else ""
        text = f"{place}{settings}; project SHA-256 {part.project}"
        facts.append((f"target {words.short(name, 30)}", words.short(text, 600)))
    if tools:
        facts.append(("tools", words.short(", ".join(tools), 400)))
    return Section(
        "provenance",
        "Provenance",
        "The run folder holds the model and every format, so this does it again:",
        tables=drop_missing_tables(
            metrics_table(result), steps_table(result), artefacts_table(result)
        ),
        facts=tuple(facts),
        commands=commands_of(result),
    )


def _is_chosen(value: Any) -> bool:
    """Whether a setting says anything."""
    return any(map(_is_chosen, value.values())) if isinstance(value, dict) else bool(value)


def commands_of(result: Result) -> tuple[str, ...]:
    """What to type to get the same projects and the same integers again."""
    model, *data = input_words(result)
    chosen = [word for name in result.targets for word in ("--target", name)]
    option_words: dict[tuple[str, ...], None] = {}  # in order, each once: targets share options
    for part in result.targets.values():
        option_words |= dict.fromkeys(part.options)
        if part.device and not {"--board", "--part"} & {
            word for option in part.options for word in option[:1]
        }:
            option_words["--device", part.device] = None
    words = [model, "--recipe", "RUN/recipe.toml", *(chosen or ["--target", "none"])]
    words += [word for option in option_words for word in option]
    return (
        f"edgeinfer compile {shlex.join([*words, *data, '-o', 'AGAIN'])}",
        "edgeinfer compare RUN AGAIN",
    )
