# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures of a result as a HEPData submission: scores by stage, designs by target, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer.base.metrics import Metric
from edgeinfer.evaluate.profile.data import Curve, Profile
from edgeinfer.report.quantity import quantity_of, targets_of, whole
from edgeinfer.report.result import Result
from edgeinfer.report.titles import SCORE_TITLES, stage_title, target_title

INTERVAL, BAND = "95 % interval", "band of the estimate"
CLOSEST = 1e-12  # of a value to the end of its interval


def hepdata_files(result: Result, profile: Profile | None) -> dict[str, str]:
    """`submission.yaml` and a file for each table."""
    import yaml

    tables = [_scores_table(result), *(_design_table(result, t) for t in _targets(result))]
    tables += [] if profile is None else _curve_tables(profile)
    documents: list[Any] = [
        {"comment": f"{result.model.name}, program {result.program.digest[:16]}, edgeinfer "
                    f"{result.edgeinfer}"}
    ]  # fmt: skip
    files = {}
    for name, description, content in tables:
        if content["dependent_variables"]:
            file = f"{''.join(c if c.isalnum() else '_' for c in name.lower())}.yaml"
            files[file] = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            documents.append(
                {"name": name, "description": description, "keywords": [], "data_file": file}
            )
    files["submission.yaml"] = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)
    return files


def _targets(result: Result) -> list[str]:
    return list(targets_of(result.metrics))


Table = tuple[str, str, dict[str, Any]]


def _scores_table(result: Result) -> Table:
    """Scores of the stages, with their intervals."""
    stages = list(result.accuracy)
    columns = []
    for name, title in SCORE_TITLES.items():
        values = []
        for stage in stages:
            scores = result.accuracy[stage]
            value = getattr(scores, name)
            low, high = scores.intervals.get(name, (None, None))
            values.append(_value(value, low, high, INTERVAL))
        if any(value["value"] != "-" for value in values):
            columns.append({"header": {"name": title}, "values": values})
    samples = max((scores.samples for scores in result.accuracy.values()), default=0)
    first = [{"value": stage_title(stage, result)} for stage in stages]
    return (
        "Scores",
        f"Scores against the labels by stage, on {samples} samples.",
        _content("stage", first, columns),
    )


def _design_table(result: Result, target: str) -> Table:
    """What is known of a target's design, figure by figure."""
    own = [m for m in whole(result.metrics, target) if not math.isnan(m.value)]
    title = target_title(target, result)
    first = [{"value": _metric_title(metric)} for metric in own]
    values = [_value(metric.value, metric.low, metric.high, BAND) for metric in own]
    columns = [{"header": {"name": "value"}, "values": values}] if own else []
    return f"Design {title}", f"The design for {title}.", _content("figure", first, columns)


def _metric_title(metric: Metric) -> str:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return f"{quantity_of(metric)}{unit}, {metric.origin}"


def _curve_tables(profile: Profile) -> list[Table]:
    """A table for each curve: background kept at each share of signal kept."""
    return [
        (
            f"ROC {curve.output} {curve.label} {curve.stage}",
            f"{curve.label} against the rest at the output {curve.output}, {curve.stage} network, "
            f"AUC {curve.auc:.5f}.",
            _curve_content(curve),
        )
        for curve in profile.curves
    ]


def _curve_content(curve: Curve) -> dict[str, Any]:
    first = [{"value": round(share, 9)} for share in curve.signal]
    values = [{"value": round(share, 9)} for share in curve.background]
    return _content(
        "signal kept", first, [{"header": {"name": "background kept"}, "values": values}]
    )


def _content(
    name: str, first: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "independent_variables": [{"header": {"name": name}, "values": list(first)}],
        "dependent_variables": list(columns),
    }


def _value(
    value: float | None, low: float | None, high: float | None, label: str
) -> dict[str, Any]:
    """A value as HEPData writes it, with its error where it has one; `-` where it is not known."""
    if value is None or not math.isfinite(value):
        return {"value": "-"}
    document: dict[str, Any] = {"value": float(value)}
    if low is not None and high is not None and high - low > CLOSEST:
        error = {"minus": float(low - value), "plus": float(high - value)}
        document["errors"] = [{"asymerror": error, "label": label}]
    return document
