# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Gates held against a result: passed, missed, or skipped where that was allowed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.report import words
from edgeinfer.report.gates.figures import (
    KnownFigure,
    Vocabulary,
    known_figures,
    names_of,
    prefixes_of,
)
from edgeinfer.report.gates.gates import Gate
from edgeinfer.report.gates.junit import Case
from edgeinfer.report.page.templates import render
from edgeinfer.report.page.text import markdown_table
from edgeinfer.report.quantity import satisfies
from edgeinfer.report.result import Result
from edgeinfer.report.tables import Cell, Column, ReportTable, text
from edgeinfer.report.verdict import AnswerState

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


class GateOutcome(StrEnum):
    """How a gate was held."""

    PASSED = "passed"
    MISSED = "missed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class GateResult:
    """A gate, how it was held, the value and the limit in words, and the reason."""

    figure: str
    outcome: GateOutcome
    value: str
    limit: str
    reason: str = ""
    number: float | bool | None = None  # the value, where there is one

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.figure}: {self.value}, limit {self.limit}{reason}"

    @property
    def state(self) -> AnswerState:
        """How it is to be taken."""
        states = {
            GateOutcome.PASSED: AnswerState.GOOD,
            GateOutcome.MISSED: AnswerState.BAD,
            GateOutcome.SKIPPED: AnswerState.UNSURE,
        }
        return states[self.outcome]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN."""
        is_number = self.number is not None and math.isfinite(self.number)
        return {
            "gate": self.figure,
            "held": str(self.outcome),
            "value": self.number if is_number else None,
            "shown": self.value,
            "limit": self.limit,
            "reason": self.reason,
        }

    def as_case(self, group: str = "gate") -> Case:
        """For JUnit."""
        message = str(self)
        return Case(
            group,
            f"{self.figure} {self.limit}",
            failure=message if self.outcome is GateOutcome.MISSED else "",
            skipped=self.reason if self.outcome is GateOutcome.SKIPPED else "",
            text=message,
        )


def check(
    result: Result, gates: Sequence[Gate], source: str, vocabulary: Vocabulary
) -> list[GateResult]:
    """Every gate held against a result; a UsageError where one names what does not exist."""
    for gate in gates:
        _refuse_unknown(result, gate, source, vocabulary)
    return [checked for gate in gates for checked in _check_gate(result, gate)]


def _refuse_unknown(result: Result, gate: Gate, source: str, vocabulary: Vocabulary) -> None:
    names, prefixes = names_of(result, vocabulary), prefixes_of(result, vocabulary)
    if gate.name not in names:
        raise UsageError(
            f"{source}: there is no figure {gate.name!r}.",
            hint=did_you_mean(gate.name, names) or "docs/gates.md lists the figures.",
        )
    if gate.target is not None and gate.target not in prefixes:
        raise UsageError(
            f"{source}: {gate.figure}: there is no target or stage {gate.target!r}.",
            hint=did_you_mean(gate.target, prefixes) or f"Known are {', '.join(prefixes)}.",
        )


def _check_gate(result: Result, gate: Gate) -> list[GateResult]:
    limit = f"{gate.operator} {_value_text(gate.limit)}"
    figures = known_figures(result, gate.name, gate.target)
    if not figures:
        return [_missing(gate, limit, "not measured", "")]
    return [_one(gate, limit, target, figure) for target, figure in figures.items()]


def _missing(gate: Gate, limit: str, value: str, why: str) -> GateResult:
    if gate.optional:
        return GateResult(
            gate.figure, GateOutcome.SKIPPED, value, limit, why or "optional, not measured"
        )
    return GateResult(gate.figure, GateOutcome.MISSED, value, limit, why)


def _one(gate: Gate, limit: str, target: str, figure: KnownFigure) -> GateResult:
    name = gate.figure if gate.target is not None or not target else f"{target}.{gate.name}"
    value = _value_text(figure.value)
    if isinstance(gate.limit, bool) is not isinstance(figure.value, bool):
        what = "true or false" if isinstance(figure.value, bool) else "a number"
        raise UsageError(
            f"{gate}: {gate.name} is {what}.",
            hint="docs/gates.md lists the figures.",
        )
    reasons = [str(figure.origin), figure.how]
    if gate.origin is not None and not satisfies(figure.origin, gate.origin):
        why = f"{figure.origin}, but at least {gate.origin} is demanded"
        missing = _missing(gate, limit, f"not measured; {value} is {figure.origin}", why)
        return replace(missing, figure=name)
    reason = ", ".join(part for part in reasons if part)
    if not isinstance(figure.value, bool) and math.isnan(figure.value):
        return GateResult(name, GateOutcome.MISSED, words.NOT_A_NUMBER, limit, reason, figure.value)
    ends = [figure.value]
    if gate.whole_band and figure.low is not None and figure.high is not None:
        ends += [figure.low, figure.high]
        reason += f", band {words.between(figure.low, figure.high)}"
    kept = all(COMPARE[gate.operator](end, gate.limit) for end in ends)
    outcome = GateOutcome.PASSED if kept else GateOutcome.MISSED
    return GateResult(name, outcome, value, limit, reason, figure.value)


def markdown_of(results: Sequence[GateResult]) -> str:
    """The gates for a pull request."""
    rows = [
        (text(each.figure), Cell(str(each.outcome), state=each.state), Cell(each.value),
         Cell(each.limit), Cell(words.short(each.reason, 200)))
        for each in results
    ]  # fmt: skip
    columns = [Column(title) for title in ("gate", "held", "value", "limit", "by")]
    table = ReportTable("gates", "Gates", tuple(columns), tuple(rows))
    missed = sum(each.outcome is GateOutcome.MISSED for each in results)
    line = (
        f"{missed} of {words.count_noun(len(results), 'gate')} missed"
        if missed
        else "All gates held"
    )
    return render("gates.md.j2", {"line": line, "table": markdown_table(table)})


def _value_text(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else words.number(value, 6)
