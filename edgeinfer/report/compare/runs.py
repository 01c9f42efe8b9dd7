# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Runs with names to tell them apart by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.report.result import SCHEMA_VERSION, Result


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A result, what it is called, and the version of the schema that it was written in."""

    label: str
    result: Result
    schema: int = SCHEMA_VERSION
    short: str = ""  # the label without the folder that all runs lie in

    @property
    def shown(self) -> str:
        """What it is called in tables and pictures."""
        return self.short or self.label


def label_runs(runs: Sequence[tuple[str, Result, int]]) -> list[ComparedRun]:
    """Runs with labels that differ."""
    counts: dict[str, int] = {}
    labels = []
    for label, _, _ in runs:
        counts[label] = counts.get(label, 0) + 1
        labels.append(label if counts[label] == 1 else f"{label} ({counts[label]})")
    common = _folder_of(labels)
    return [
        ComparedRun(label, result, schema, label[len(common) :])
        for label, (_, result, schema) in zip(labels, runs, strict=True)
    ]


def _folder_of(labels: Sequence[str]) -> str:
    """The folder, with its slash, that all of these lie in; empty where there is none."""
    if len(labels) < 2:
        return ""
    first, last = min(labels), max(labels)
    alike = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[: first.rfind("/", 0, alike) + 1]
