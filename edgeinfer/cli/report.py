# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of results: ``report``, ``compare`` and ``check``."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer, progress

if TYPE_CHECKING:
    from edgeinfer.report.tracking.records import TrackedRun

MarkdownFile = Annotated[Path | None, Parameter(help="also write Markdown, for a pull request")]
JunitFile = Annotated[Path | None, Parameter(help="also write JUnit XML, for a CI server")]


def report(
    run: Annotated[Path, Parameter(help="a run folder that compile made, or a study's folder")],
    /,
    *,
    data: Annotated[
        Path | None,
        Parameter(help="samples to look into the network with; by default those of compile"),
    ] = None,
    latency_us: Annotated[float | None, Parameter(help="the latency that is fast enough")] = None,
    event: Annotated[int, Parameter(help="inferences of an event, for its time budget")] = 55_000,
    figures: Annotated[
        Path | None,
        Parameter(
            help="a folder for a paper: each figure as PDF, SVG and PNG, each table as LaTeX and "
            "CSV, a HEPData submission"
        ),
    ] = None,
    labels: Annotated[
        str | None,
        Parameter(
            help="names of the classes, with commas; of one output among several: OUTPUT=a,b,c; "
            "may be repeated with semicolons"
        ),
    ] = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    sql: Annotated[
        str | None,
        Parameter(help="for a study: a question in SQL about its table `trials` (DuckDB)"),
    ] = None,
    parquet: Annotated[
        Path | None, Parameter(help="for a study: also write its trials as Parquet")
    ] = None,
    optuna: Annotated[
        Path | None,
        Parameter(help="for a study: also write its trials for optuna-dashboard, F.db"),
    ] = None,
    mlflow: Annotated[
        str | None,
        Parameter(
            help="also send the figures, of a study those of all trials, to this MLflow server: "
            "http://HOST:5000"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write report.html of a run or of a study, its pictures as SVG, its tables as CSV files."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.base.plan import write_file
    from edgeinfer.report.gates.junit import cases_of
    from edgeinfer.report.gates.junit import junit as junit_xml
    from edgeinfer.report.page import text
    from edgeinfer.report.page.page import Wishes
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.report import is_result_alone, report_of_result, write_report

    if (run / "study.json").is_file():
        _study(run, sql, parquet, optuna, mlflow, json)
        return
    if (run / "study.toml").is_file():
        raise UsageError(
            f"The study {run} is not finished.",
            hint=f"Go on with: edgeinfer sweep STUDY.toml -o {run} --resume",
        )
    if sql is not None or parquet is not None or optuna is not None:
        raise UsageError(
            "--sql, --parquet and --optuna are for studies.", hint="Name a study's folder."
        )
    if event < 1:
        raise UsageError(f"An event of {event} inferences is not possible.", hint="Give 1 or more.")
    if latency_us is not None and not latency_us > 0:
        raise UsageError(f"{latency_us:g} µs is not a possible latency.", hint="Give more than 0.")
    wishes = Wishes(latency_us, event, labels=_labels(labels))
    if is_result_alone(run):
        if data is not None:
            raise UsageError(
                f"{run} holds only a result, and no network to look into with --data.",
                hint="Leave it out, or name a run folder.",
            )
        report_page = report_of_result(run, wishes)
    else:
        with progress() as watcher, open_run(run, watcher, new=False) as folder:
            report_page = write_report(folder, data, wishes)
    if markdown is not None:
        write_file(markdown, text.markdown(report_page, event))
    if junit is not None:
        write_file(junit, junit_xml(report_page.result.model.name, cases_of(report_page.result)))
    document = text.document(report_page) | {"output": str(run / "report.html")}
    lines = [*text.lines_of(report_page), (None, f"written   {run / 'report.html'}")]
    if figures is not None:
        from edgeinfer.report.papers.files import paper_files

        plan = paper_files(report_page)
        plan.write(figures)
        lines.append((None, f"written   {len(plan.files)} files in {figures}"))
    if mlflow is not None:
        from edgeinfer.report.tracking.records import track_result

        runs = [track_result(report_page.result)]
        lines.append((None, _send(mlflow, report_page.result.model.name, runs, document)))
    answer(document, lines, as_json=json)


def _send(
    address: str, experiment: str, runs: Sequence[TrackedRun], document: dict[str, Any]
) -> str:
    """Send runs to a server; a line about it, and the number in the document."""
    from edgeinfer.report.tracking.server import TrackingServer, send_runs

    sent = document["sent"] = send_runs(TrackingServer(address), experiment, runs)
    note = f", {len(runs) - sent} were there" if sent < len(runs) else ""
    return f"sent      {sent} to the experiment {experiment} of {address}{note}"


def _labels(words: str | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names of classes by output; an output without a name is every output."""
    labels = []
    for part in (words or "").split(";"):
        output, _, names = part.rpartition("=")
        if names.strip():
            labels.append((output.strip(), tuple(name.strip() for name in names.split(","))))
    return tuple(labels)


def _study(
    folder: Path,
    sql: str | None,
    parquet: Path | None,
    optuna: Path | None,
    mlflow: str | None,
    json: bool,
) -> None:
    """A study's page, or the answer to a question about it."""
    from edgeinfer.sweep import page
    from edgeinfer.sweep.trackers import track_trials, write_storage

    finished = page.read_study_folder(folder)
    if sql is not None:
        rows = page.query_trials(finished, sql)
        lines = ["  ".join(f"{name} {value}" for name, value in row.items()) for row in rows]
        answer(json_text.dumps(rows, indent=1, default=str), lines, as_json=json)
        return
    written = page.write_page(finished)
    if parquet is not None:
        page.write_parquet(finished, parquet)
        written.append(parquet)
    if optuna is not None:
        write_storage(finished, optuna)
        written.append(optuna)
    document = {"verdict": page.headline(finished), "output": str(folder / page.PAGE)}
    lines = [page.headline(finished), *(f"written   {path}" for path in written)]
    if mlflow is not None:
        lines.append(
            _send(mlflow, finished.folder.absolute().name, track_trials(finished), document)
        )
    answer(document, lines, as_json=json)


def compare(
    *runs: Annotated[Path, Parameter(help="run folders, or result.json files")],
    html: Annotated[Path | None, Parameter(help="write a page with pictures")] = None,
    markdown: MarkdownFile = None,
    csv: Annotated[Path | None, Parameter(help="write every figure, one in each line")] = None,
    json: Json = False,
) -> None:
    """Runs side by side: scores against costs, and what cannot be compared."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.base.plan import write_file
    from edgeinfer.report.compare import page as compare_page
    from edgeinfer.run.stored import compare_folders

    if not runs:
        raise UsageError("There is nothing to compare.", hint="Name two run folders or more.")
    comparison = compare_folders(runs)
    for path, write in (
        (html, compare_page.html),
        (markdown, compare_page.markdown),
        (csv, compare_page.csv_text),
    ):
        if path is not None:
            write_file(path, write(comparison))
    written = [f"written   {path}" for path in (html, markdown, csv) if path is not None]
    document = compare_page.document(comparison) if json else None
    lines = [(None, line) for line in (*compare_page.lines(comparison), *written)]
    answer(document, lines, as_json=json)


def check(
    run: Annotated[Path, Parameter(help="a run folder, or a result.json file")],
    /,
    *,
    gates: Annotated[Path | None, Parameter(help="limits as TOML, see docs/gates.md")] = None,
    baseline: Annotated[
        Path | None,
        Parameter(help="an earlier result.json or run folder; no figure may be worse than there"),
    ] = None,
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: Json = False,
) -> None:
    """Check a result against gates; exit code 1 if one is missed or was not measured."""
    from edgeinfer.base.errors import GateError, UsageError
    from edgeinfer.base.plan import write_file
    from edgeinfer.report.gates.check import GateOutcome, markdown_of
    from edgeinfer.report.gates.junit import junit as junit_xml
    from edgeinfer.run.stored import checked_run

    if gates is None and baseline is None:
        raise UsageError(
            "There is nothing to check against.", hint="Give --gates, --baseline, or both."
        )
    results = checked_run(run, gates, baseline)
    missed = [each for each in results if each.outcome is GateOutcome.MISSED]
    if markdown is not None:
        write_file(markdown, markdown_of(results))
    if junit is not None:
        write_file(junit, junit_xml(str(run), [each.as_case() for each in results]))
    document = {"passed": not missed, "gates": [each.as_dict() for each in results]}
    lines = [(each.state, f"{each.outcome:<8} {each}") for each in results]
    answer(document, lines, as_json=json)
    if missed:
        listed = "; ".join(str(each) for each in missed)
        raise GateError(f"{len(missed)} of {len(results)} gates missed: {listed}.")
