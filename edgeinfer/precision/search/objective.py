# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The one number that quantization is to keep: what a network's outputs are worth on samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Scores
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.ops import Weights, pack_weights
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq.network import Tensors
from quantization.recipe import Recipe

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SearchObjective:
    """Judges outputs by labels where there are any, else by their distance from the float ones.

    `name` is what the number is: ``auc`` (the mean over heads and classes), ``accuracy`` (where no
    class is told apart by an area), ``negated_relative_error`` of quantities, in standard
    deviations of the truth, or ``negated_float_error`` in those of the float outputs.
    """

    graph: g.Graph
    samples: Samples
    name: str
    exact: Mapping[str, Floats] = field(repr=False)
    exact_score: float = 0.0
    _raw: dict[str, dict[str, Weights]] = field(default_factory=dict, repr=False)

    def of(self, outputs: Mapping[str, NDArray[Any]]) -> float:
        """The number; higher is better."""
        if not self.samples.labels:
            return -_mean_error(self.exact, outputs)
        scores = judge.score(self.graph, _wide(outputs), self.samples)
        return figure(scores, self.samples)[1]

    def of_program(self, program: Program, recipe: Recipe) -> float:
        """The number that the integer network reaches."""
        key = ", ".join(
            f"{op.name} {recipe.activation(op.name)} {op.type}" for op in program.inputs
        )
        if key not in self._raw:
            raws = judge.raw_inputs(program, recipe, self.samples)
            self._raw[key] = {name: pack_weights(values) for name, values in raws.items()}
        return self.of(judge.quantized_outputs(program, self._raw[key]))

    def of_ends(self, ends: Tensors) -> float:
        """The number for outputs before what the host applies."""
        hosts = host_functions(self.graph)
        outputs = {}
        for name in self.graph.outputs:
            if name in hosts:
                tensor, function = hosts[name]
                outputs[name] = judge.apply_host_functions(
                    ends[tensor].astype(np.float64), function
                )
            elif name in ends:
                outputs[name] = ends[name].astype(np.float64)
            else:  # an output that depends on nothing, or is an input
                outputs[name] = self.exact[name]
        return self.of(outputs)


def objective_on(graph: g.Graph, samples: Samples) -> SearchObjective:
    """What the samples can say about this network."""
    exact = _wide(judge.float_outputs(graph, samples))
    if not samples.labels:
        return SearchObjective(graph, samples, "negated_float_error", exact, 0.0)
    name, value = figure(judge.score(graph, exact, samples), samples)
    return SearchObjective(graph, samples, name, exact, value)


def figure(scores: Scores, samples: Samples) -> tuple[str, float]:
    """The one number out of all scores, and its name."""
    if scores.auc is not None:
        return "auc", scores.auc
    if scores.accuracy is not None:
        return "accuracy", scores.accuracy
    heads = scores.heads or dict.fromkeys(samples.labels, scores)
    away = [
        (head.rms_error or 0.0) / (float(np.std(samples.labels[name])) or 1.0)
        for name, head in heads.items()
    ]
    return "negated_relative_error", -float(np.mean(away))


def _mean_error(exact: Mapping[str, Floats], outputs: Mapping[str, NDArray[Any]]) -> float:
    away = [
        float(np.sqrt(np.mean((outputs[name] - exact_values) ** 2)))
        / (float(exact_values.std()) or 1.0)
        for name, exact_values in exact.items()
    ]
    return float(np.mean(away))


def _wide(outputs: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    return {name: np.asarray(values, dtype=np.float64) for name, values in outputs.items()}
