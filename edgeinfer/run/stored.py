# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results of earlier runs, read back to be compared and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.fenced import refuse_links
from edgeinfer.data.open import existing
from edgeinfer.report.compare.baseline import regressions
from edgeinfer.report.compare.comparison import RunComparison, compare_runs
from edgeinfer.report.compare.runs import ComparedRun, label_runs
from edgeinfer.report.gates.check import GateResult, check
from edgeinfer.report.gates.figures import Vocabulary
from edgeinfer.report.gates.gates import GateFile
from edgeinfer.report.gates.gates import read as read_gates
from edgeinfer.report.result import Result, from_json
from edgeinfer.report.result_versions import version_of
from edgeinfer.targets.registry import directions, figures, stages

RESULT = "result.json"


def stored_result(run: Path) -> Result:
    """The result of a run folder, or the file itself."""
    path, text = _result_text(run)
    return from_json(text, str(path))


def read_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """Results of several runs, called as they were named."""
    runs_read = []
    for path in paths:
        file, text = _result_text(path)
        result = from_json(text, str(file))
        runs_read.append((_label(path), result, version_of(text)))
    return label_runs(runs_read)


def compare_folders(paths: Sequence[Path]) -> RunComparison:
    """Several runs beside each other."""
    return compare_runs(read_runs(paths), directions())


def _label(path: Path) -> str:
    """A run folder by its path; a result in one by its folder's."""
    path_shown = path.parent if path.name == RESULT and path.parent != Path() else path
    return path_shown.as_posix() or str(path)


def checked_run(run: Path, gates: Path | None, baseline: Path | None) -> list[GateResult]:
    """A result held against gates and against an earlier result."""
    result = stored_result(run)
    gate_file = GateFile((), {})
    if gates is not None:
        gate_file = read_gates(read_text(existing(gates)), str(gates))
    results = check(result, gate_file.gates, str(gates), Vocabulary(figures(), stages()))
    if baseline is not None:
        results += regressions(result, stored_result(baseline), gate_file.tolerances, directions())
    return results


def _result_text(run: Path) -> tuple[Path, str]:
    path = run if run.is_file() else run / RESULT
    if path != run:
        refuse_links(run)
    if not path.is_file():
        raise UsageError(
            f"{run} holds no {RESULT}.", hint=f"Make it with: edgeinfer compile MODEL -o {run}"
        )
    return path, read_text(path)


def read_text(path: Path) -> str:
    """A file's text, or an error that names it."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text, so nothing can be read from it.") from None
