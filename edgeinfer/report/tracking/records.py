# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run as MLflow has it: parameters, figures, tags, within the lengths that a server takes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from edgeinfer.report.gates.figures import best_of, figure_of_metric
from edgeinfer.report.quantity import targets_of, whole
from edgeinfer.report.result import Result

LONGEST_NAME, LONGEST_VALUE = 250, 5000
UNKNOWN = re.compile(r"[^\w./ -]")  # what names of figures may not hold
KEY = "edgeinfer.key"  # the tag by which a run is known again


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What is sent of a run. `key` says what it is made of: the same is not sent twice."""

    name: str
    key: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False

    def cleaned(self) -> TrackedRun:
        """The same with names and values that a server takes; figures that are no numbers are left
        out."""
        return TrackedRun(
            _value(self.name),
            self.key,
            {_name(name): _value(value) for name, value in self.parameters.items()},
            {_name(name): float(v) for name, v in self.figures.items() if math.isfinite(v)},
            {_name(name): _value(value) for name, value in self.tags.items()},
            self.failed,
        )


def _name(text: str) -> str:
    return UNKNOWN.sub("_", text.replace("*", "any"))[:LONGEST_NAME]


def _value(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST_VALUE]


def track_result(result: Result) -> TrackedRun:
    """A run's result: scores by stage, figures by target, and where each comes from."""
    figures: dict[str, float] = {}
    tags = {
        "program": result.program.digest,
        "exact": "no" if result.disagreements else "yes",
        "edgeinfer.version": result.edgeinfer,
    }
    for stage, scores in result.accuracy.items():
        numbers = {name: value for name, value in asdict(scores).items() if _is_number(value)}
        figures |= {f"{stage}.{name}": float(value) for name, value in numbers.items()}
    for target in [*targets_of(result.metrics), None]:
        metrics = list(whole(result.metrics, target))
        for name in dict.fromkeys(metric.name for metric in metrics):
            best = best_of(metric for metric in metrics if metric.name == name)
            if best is None:
                continue
            known_figure = figure_of_metric(best)
            label = name if target is None else f"{target}.{name}"
            figures[label] = float(known_figure.value)
            how = f"{known_figure.origin} {known_figure.how}".strip()
            tags[f"origin.{label}"] = how
    parameters = {
        "model": result.model.name,
        "device": result.device or "",
        "targets": ", ".join(result.targets),
        "parameters": str(result.program.parameters),
        "macs": str(result.program.macs),
    }
    named = {name: value for name, value in parameters.items() if value}
    content = json.dumps([result.program.digest, named, figures], sort_keys=True).encode()
    key = hashlib.sha256(content).hexdigest()[:24]
    return TrackedRun(result.model.name, key, named, figures, tags)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
