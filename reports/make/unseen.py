# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What quantization costs on events that neither trained, calibrated nor chose, with intervals.

Intervals resample whole events of the difference between the float and the integer network, since
both see the same events and err on the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.precision.search.objective import SearchObjective, objective_on

REPLICAS = 200
COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class ScoreLoss:
    """How much lower the integer network scores than the float one; 95 % of the replicas lie
    between `low` and `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Unseen:
    """A network's test samples, and which event each belongs to."""

    graph: Graph
    samples: Samples
    event: NDArray[np.int64]
    whole: SearchObjective

    @staticmethod
    def of(graph: Graph, samples: Samples, event: NDArray[np.int64]) -> Unseen:
        """Test samples for a float network."""
        return Unseen(graph, samples, event, objective_on(graph, samples))

    def loss(self, lowered: LoweredModel, *, seed: int = 0, replicas: int = REPLICAS) -> ScoreLoss:
        """What an integer network loses against the float one."""
        raw = judge.raw_inputs(lowered.program, lowered.recipe, self.samples)
        return self.loss_of(judge.quantized_outputs(lowered.program, raw), seed, replicas)

    def loss_of(
        self, actual: Mapping[str, NDArray[np.float64]], seed: int = 0, replicas: int = REPLICAS
    ) -> ScoreLoss:
        """The same for outputs that are known already."""
        score_loss = self.whole.exact_score - self.whole.of(actual)
        rng = np.random.default_rng(seed)
        order = np.argsort(self.event, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(self.event[order])) + 1)
        drawn = []
        for _ in range(replicas):
            chosen = rng.integers(0, len(groups), len(groups))
            rows = np.concatenate([groups[i] for i in chosen])
            part = self._taken(rows)
            exact = {name: values[rows] for name, values in self.whole.exact.items()}
            rounded = {name: values[rows] for name, values in actual.items()}
            drawn.append(part.of(exact) - part.of(rounded))
        low, high = np.quantile(drawn, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
        return ScoreLoss(score_loss, min(float(low), score_loss), max(float(high), score_loss))

    def _taken(self, rows: NDArray[np.intp]) -> SearchObjective:
        labels = {name: values[rows] for name, values in self.samples.labels.items()}
        return SearchObjective(self.graph, Samples({}, "replica", labels), self.whole.name, {})
