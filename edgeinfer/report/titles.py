# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets and stages as people write them: a result says it of its own targets."""

from __future__ import annotations

from edgeinfer.report import words
from edgeinfer.report.result import Result

SCORE_TITLES = {"auc": "AUC", "accuracy": "accuracy", "rms_error": "rms error"}
STAGES = {"interpret": "interpreter"}  # ours whose name is not what people call them


def target_title(name: str | None, *results: Result) -> str:
    """A target as it is written; nothing for no target. The first result that has it says how."""
    titles = [result.targets[name].title for result in results if name in result.targets]
    return words.short(next((title for title in titles if title), name or ""))


def stage_title(name: str, *results: Result) -> str:
    """A stage as it is written."""
    parts = [part for result in results for part in result.targets.values()]
    titles = [part.stage_title for part in parts if part.stage == name]
    return words.short(next((title for title in titles if title), STAGES.get(name, name)))


def stage_of(result: Result, target: str | None) -> str | None:
    """The stage of a target's simulation; the name itself where it is no target of the run."""
    part = result.targets.get(target or "")
    return target if part is None else part.stage
