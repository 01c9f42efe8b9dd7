# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An emitted project taken through the vendor's tools, within a time, with the reports checked.

A tool that ends well but leaves no new report has failed: reports of an earlier run are never
taken for those of this one.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import tools
from edgeinfer.base.errors import DisagreementError, ToolFailedError
from edgeinfer.base.metrics import Metric
from edgeinfer.base.plan import write_file, write_files, writing
from edgeinfer.targets.hls.settings import Backend, HlsSettings
from edgeinfer.targets.hls.tools.bench import Bench
from edgeinfer.targets.hls.tools.measured import read_measurements
from edgeinfer.targets.hls.tools.project import project
from edgeinfer.targets.hls.tools.steps import ESTIMATE_STANDS, HlsStep, Session, sessions
from edgeinfer.targets.reports.cells import ReportError
from edgeinfer.targets.reports.cosim import cosim

LOGS = "logs"  # in the emitted folder: one file for each session
STAGE = re.compile(r"^\*{5} ([A-Z/ ]+) \*{5}\s*$", re.M)  # as the emitted script announces it
REFUSED = (
    r"fail|not found|not be found|invalid|expired|cannot|can't|could not|unable|denied|"
    r"not specified|required|no (?:valid )?licen[sc]e|does not (?:exist|support)|checkout"
)
LICENCE = re.compile(r"^.*\blicen[sc](?:e|es|ing)\b.*$", re.I | re.M)
ERROR = re.compile(r"\W*(?:error|fatal|@E)\b", re.I)
MISMATCH = re.compile(r"^\s*ERROR: Test failed", re.M)

Progress = Callable[[str, float, str], None]  # steps, seconds they have taken, the last line


@dataclass(frozen=True, slots=True)
class SessionResult:
    """A session that went well."""

    steps: tuple[HlsStep, ...]
    tool: str
    version: str
    seconds: float
    log: Path


@dataclass(frozen=True, slots=True)
class SynthesisRun:
    """What was run, and the metrics of all reports that are in the folder now."""

    ran: tuple[SessionResult, ...]
    metrics: tuple[Metric, ...]


def synthesise(
    folder: Path,
    settings: HlsSettings,
    steps: Collection[HlsStep],
    seconds: float,
    progress: Progress = lambda steps, seconds, line: None,
    bench: Bench | None = None,
) -> SynthesisRun:
    """Run the steps in an emitted folder, in `seconds` for all of them together. Co-simulation
    runs the samples of `bench`, or what is in the folder's tb_data."""
    emitted = project(folder, settings.backend)
    deadline = time.monotonic() + seconds
    planned = sessions(emitted, steps, settings.clock_ns)
    samples = bench.files() if bench is not None and HlsStep.COSIM in steps else {}
    written = {folder / path: text for path, text in samples.items()}
    ran = []
    try:
        with _lend_files([*written, *(path for session in planned for path in session.files)]):
            write_files({path: text.encode() for path, text in written.items()})
            for session in planned:
                left = deadline - time.monotonic()
                ran.append(_run(session, folder, left, progress))
                if HlsStep.COSIM in session.steps and settings.backend is not Backend.QUARTUS:
                    _check_passed(emitted.cosim, ran[-1].log)
        return SynthesisRun(tuple(ran), read_measurements(folder, settings))
    except ReportError as error:
        raise ToolFailedError(error.message, hint=error.hint) from None


@contextlib.contextmanager
def _lend_files(paths: Iterable[Path]) -> Iterator[None]:
    """Files that a session writes over are as they were emitted when it is done."""
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    try:
        yield
    finally:
        write_files(before)


def _run(
    session: Session,
    folder: Path,
    seconds: float,
    progress: Progress,
) -> SessionResult:
    log = folder / LOGS / f"{session.name}.log"
    before = _stamps(session)
    for path, content in session.files.items():
        write_file(path, content)
    for path in session.outdated:
        with writing(path):
            path.unlink(missing_ok=True)
    started = time.monotonic()
    progress(session.name, 0.0, f"{session.tool.tool.name} {session.tool.version}".strip())
    try:
        finished = tools.run(
            session.tool,
            session.arguments,
            seconds=max(seconds, 0.0),
            folder=session.folder,
            log=log,
            report_line=lambda line: progress(session.name, time.monotonic() - started, line),
        )
    except ToolFailedError as error:
        raise _explain_failure(session, log, error) from None
    fresh = {path: stamp for path, stamp in _stamps(session).items() if before.get(path) != stamp}
    if not fresh:
        reports = " or ".join(str(path) for path in session.reports)
        last_line = tools.telling_line(finished.output, session.tool.tool.telling)
        raise _explain_failure(
            session,
            log,
            ToolFailedError(
                f"{session.tool.tool.name} ended without an error, but left no new report "
                f"({reports}): {last_line} Everything it printed is in {log}."
            ),
        )
    return SessionResult(
        session.steps, session.tool.tool.name, session.tool.version, finished.seconds, log
    )


def _stamps(session: Session) -> dict[Path, tuple[int, int]]:
    return {
        path: (status.st_mtime_ns, status.st_size)
        for path in session.reports
        if path.is_file() and (status := path.stat())
    }


def _explain_failure(session: Session, log: Path, error: ToolFailedError) -> Exception:
    """The same failure with the stage it happened in, or as what it means."""
    printed = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    refusal = licence_refusal(printed)
    if refusal:
        return ToolFailedError(
            f"{session.name}: {session.tool.tool.name} has no licence for this: {refusal} "
            f"Everything it printed is in {log}.",
            hint=f"Set XILINXD_LICENSE_FILE or LM_LICENSE_FILE to your licence, or choose a part "
            f"that the free edition covers. {ESTIMATE_STANDS}",
        )
    if MISMATCH.search(printed):
        return DisagreementError(
            f"{session.name}: the RTL's outputs differ from those of the C simulation.",
            hint="Compare tb_data/rtl_cosim_results.log with tb_data/csim_results.log in "
            f"{session.folder}; everything the tool printed is in {log}.",
        )
    stages = STAGE.findall(printed)
    where = f" in {stages[-1].strip()}" if stages else ""
    hint = f"{error.hint} {ESTIMATE_STANDS}".strip()
    return ToolFailedError(f"{session.name}{where}: {error.message}", hint=hint)


def licence_refusal(printed: str) -> str:
    """The line of a log by which a tool says that it has no licence; empty if there is none.

    A warning about a licence is believed only where nothing else is called an error: tools try
    one feature after another.
    """
    refusals = [line for line in LICENCE.findall(printed) if re.search(REFUSED, line, re.I)]
    marked = [line for line in refusals if ERROR.match(line)]
    if not marked and not any(ERROR.match(line) for line in printed.splitlines()):
        marked = [line for line in refusals if re.search("fail", line, re.I)]
    return marked[0].strip()[:400] if marked else ""


def _check_passed(report: Path, log: Path) -> None:
    """An error where the co-simulation did not pass."""
    simulated = cosim(report)
    if simulated is None or not simulated.passed:
        state = "was not run" if simulated is None else "failed"
        raise ToolFailedError(
            f"{report}: the co-simulation {state}. Everything the tool printed is in {log}.",
            hint="Look for the first ERROR in the log.",
        )
