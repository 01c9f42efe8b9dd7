# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a float network and a recipe to trained weights, judged as integers all along."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgeinfer import evaluate
from edgeinfer import graph as g
from edgeinfer.errors import InputError
from edgeinfer.ir.lower import lower
from edgeinfer.qat.aims import Aim, aims
from edgeinfer.qat.settings import QatSettings
from edgeinfer.qat.train import Trained, Watch, train
from edgeinfer.samples import Samples
from edgeinfer.search.objective import Objective, objective_on
from quantization.recipe import Recipe


@dataclass(slots=True)
class Tutor:
    """Who teaches networks of one kind: the float network, samples, and samples that choose."""

    teacher: g.Graph
    teach: Samples
    objective: Objective
    settings: QatSettings
    _aims: dict[str, tuple[Aim, ...]] = field(default_factory=dict)

    @staticmethod
    def of(teacher: g.Graph, teach: Samples, choose: Samples, settings: QatSettings) -> Tutor:
        """A tutor; `choose` decides which epoch was the best."""
        return Tutor(teacher, teach, objective_on(teacher, choose), settings)

    def trained(
        self, graph: g.Graph, recipe: Recipe, watch: Watch = lambda done, total: None
    ) -> Trained:
        """A network of the same inputs and outputs, trained under a recipe."""
        if "all" not in self._aims:
            answers = evaluate.float_outputs(self.teacher, self.teach)
            self._aims["all"] = aims(self.teacher, self.teach, answers, self.settings.distillation)
        return train(
            graph, recipe, self.teach, self._aims["all"], self._judge, self.settings, watch
        )

    def briefly(self, epochs: int) -> Tutor:
        """The same tutor with less time for each network."""
        return replace(self, settings=replace(self.settings, epochs=epochs, minutes=None))

    def _judge(self, graph: g.Graph, recipe: Recipe) -> float:
        lowered = lower(graph, recipe)
        return self.objective.of_program(lowered.program, lowered.recipe)


def refuse_untrainable(graph: g.Graph) -> None:
    """An error for a network that has nothing to train."""
    if not any(isinstance(node, g.Conv | g.Dense) for node in graph.nodes):
        raise InputError(f"{graph.name} has no layer with weights, so there is nothing to train.")
