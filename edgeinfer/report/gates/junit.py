# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Findings as JUnit XML, which continuous integration servers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.ir.agreement import Agreement
from edgeinfer.report import words
from edgeinfer.report.page.templates import render
from edgeinfer.report.result import Result
from edgeinfer.report.uses import uses_of


@dataclass(frozen=True, slots=True)
class Case:
    """A test: its group and name, and why it failed or was skipped if it was."""

    group: str
    name: str
    failure: str = ""
    skipped: str = ""
    text: str = ""


def cases_of(result: Result) -> tuple[Case, ...]:
    """What a result alone decides: that stages agree, and that designs fit."""
    cases = [_agreement(entry, entry in result.disagreements) for entry in result.agreement]
    for use in uses_of(result):
        name = f"{use.target} {use.kind} fits"
        text = (
            f"{words.number(use.metric.value)} of {words.number(use.offered)}, {use.metric.origin}"
        )
        if use.fits is None:
            cases.append(Case("fit", name, skipped="The device's budget is not known."))
        else:
            cases.append(Case("fit", name, "" if use.fits else text, text=text))
    return tuple(cases)


def _agreement(entry: Agreement, fails: bool) -> Case:
    divergence = entry.first_divergence or "an output"
    text = f"{entry.decision_flips} of {entry.samples} samples decide otherwise"
    failure = f"They differ: {divergence}." if fails else ""
    return Case("agreement", " = ".join(entry.pair), failure, text=text)


def junit(suite: str, cases: Sequence[Case]) -> str:
    """The XML."""
    return render(
        "junit.xml.j2",
        {
            "suite": words.short(suite, 200),
            "cases": cases,
            "failures": sum(bool(case.failure) for case in cases),
            "skipped": sum(bool(case.skipped) for case in cases),
        },
    )
