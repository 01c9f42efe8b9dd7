# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A result held against an earlier one: what got worse, and what can no longer be told.

What the baseline knew and the result does not is missed, not skipped: a check that quietly checks
less is none. A figure of a better origin than the baseline's is another quantity and is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from edgeinfer.base.metrics import SCORES, Metric, Scores
from edgeinfer.report import words
from edgeinfer.report.compare.comparable import device_of, same_network, same_samples
from edgeinfer.report.gates.check import GateOutcome, GateResult
from edgeinfer.report.gates.gates import Tolerance
from edgeinfer.report.quantity import (
    RESOURCES,
    Quantity,
    quantity_of,
    strength,
    strongest,
)
from edgeinfer.report.result import Result

LESS = (  # of these figures less is better, whatever target they are of
    *RESOURCES, "latency_us", "latency_cycles", "ii_cycles", "ebops", "energy_dynamic_nj",
    "energy_nj", "power_static_w", "power_w", "weight_bits",
)  # fmt: skip
MORE = ("fmax_mhz", "throughput", "wns_ns")
COMMON: Final[Mapping[str, bool]] = dict.fromkeys(LESS, False) | dict.fromkeys(MORE, True)
OF_SCORES = Tolerance(absolute=0.002)
OF_REST = Tolerance(relative=0.01)


def regressions(
    result: Result,
    baseline: Result,
    tolerances: Mapping[str, Tolerance],
    directions: Mapping[str, bool],
) -> list[GateResult]:
    """Everything that the baseline knew, held against the result. `directions`: of the targets' own
    figures, whether more is better."""
    if not same_network(result, baseline):
        reason = "the baseline is of a network with other inputs or outputs"
        return [
            GateResult(
                "baseline", GateOutcome.MISSED, result.model.name, baseline.model.name, reason
            )
        ]
    return [
        *_agreement(result, baseline),
        *_scores(result, baseline, tolerances),
        *_figures(result, baseline, tolerances, {**COMMON, **directions}),
    ]


def _agreement(result: Result, baseline: Result) -> Iterator[GateResult]:
    now = {entry.pair: entry for entry in result.agreement}
    for entry in baseline.agreement:
        if not entry.bit_identical:
            continue
        name = f"agreement {' = '.join(entry.pair)}"
        after = now.get(entry.pair)
        if after is None:
            yield GateResult(
                name, GateOutcome.MISSED, "not measured", "bit-identical", "it was, before"
            )
        else:
            outcome = GateOutcome.PASSED if after.bit_identical else GateOutcome.MISSED
            value = "bit-identical" if after.bit_identical else "different"
            yield GateResult(name, outcome, value, "bit-identical")


def _scores(
    result: Result, baseline: Result, tolerances: Mapping[str, Tolerance]
) -> Iterator[GateResult]:
    for stage, before in baseline.accuracy.items():
        for field, higher in SCORES.items():
            was = getattr(before, field)
            if was is None:
                continue
            name = f"{stage}.{field}"
            tolerance = _tolerance(tolerances, stage, field, OF_SCORES)
            after: Scores | None = result.accuracy.get(stage)
            value = None if after is None else getattr(after, field)
            if value is None:
                yield GateResult(
                    name, GateOutcome.MISSED, "not measured", _limit(was, tolerance, higher)
                )
            elif why := same_samples(result, baseline, stage):
                limit = _limit(was, tolerance, higher)
                yield GateResult(name, GateOutcome.MISSED, words.number(value, 6), limit, why)
            else:
                yield _compare_figure(name, value, was, tolerance, higher)


def _figures(
    result: Result,
    baseline: Result,
    tolerances: Mapping[str, Tolerance],
    directions: Mapping[str, bool],
) -> Iterator[GateResult]:
    now = by_quantity(result.metrics)
    for (target, quantity), was in by_quantity(baseline.metrics).items():
        higher = directions.get(quantity.name)
        if higher is None:
            continue
        name = f"{target}.{quantity}" if target else str(quantity)
        tolerance = _tolerance(tolerances, target, quantity.name, OF_REST)
        limit = _limit(was.value, tolerance, higher)
        after = now.get((target, quantity))
        if after is None or strength(after) < strength(was):
            value = "not measured" if after is None else words.number(after.value, 6)
            why = f"the baseline's is {was.origin}"
            why += "" if after is None else f", this is {after.origin}"
            yield GateResult(name, GateOutcome.MISSED, value, limit, why)
        elif after.origin is not was.origin:
            why = f"not comparable: {after.origin} now, {was.origin} before"
            yield GateResult(name, GateOutcome.SKIPPED, words.number(after.value, 6), limit, why)
        elif (here := device_of(result, target)) != (there := device_of(baseline, target)):
            why = f"not comparable: for {here} now, for {there} before"
            yield GateResult(name, GateOutcome.MISSED, words.number(after.value, 6), limit, why)
        else:
            yield _compare_figure(name, after.value, was.value, tolerance, higher)


def by_quantity(metrics: Iterable[Metric]) -> dict[tuple[str, Quantity], Metric]:
    """Of a whole design, the strongest figure for each quantity of each target."""
    groups: dict[tuple[str, Quantity], list[Metric]] = {}
    for metric in metrics:
        if metric.layer is None:
            groups.setdefault((metric.target or "", quantity_of(metric)), []).append(metric)
    strongest_metrics = {key: strongest(group) for key, group in groups.items()}
    return {key: metric for key, metric in strongest_metrics.items() if metric is not None}


def _tolerance(
    tolerances: Mapping[str, Tolerance], prefix: str, name: str, otherwise: Tolerance
) -> Tolerance:
    return tolerances.get(
        f"{prefix}.{name}", tolerances.get(name, tolerances.get("default", otherwise))
    )


def _limit(was: float, tolerance: Tolerance, higher: bool) -> str:
    allowed = tolerance.allowance(was)
    edge = was - allowed if higher else was + allowed
    return f"{'>=' if higher else '<='} {words.number(edge, 6)}"


def _compare_figure(
    name: str, value: float, was: float, tolerance: Tolerance, higher: bool
) -> GateResult:
    worse = was - value if higher else value - was
    kept = worse <= tolerance.allowance(was) + 1e-12
    note = f"{words.number(was, 6)} before"
    limit = _limit(was, tolerance, higher)
    outcome = GateOutcome.PASSED if kept else GateOutcome.MISSED
    return GateResult(name, outcome, words.number(value, 6), limit, note, value)
