# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a float network and a recipe to trained weights, judged as integers all along."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.base.errors import InputError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.qat.aims import Aim, aims
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.qat.stated import change_widths, states_all_formats
from edgeinfer.precision.qat.train import Lesson, TrainedWeights, Watch, train
from edgeinfer.precision.search.objective import SearchObjective, objective_on
from quantization.recipe import Recipe

Network = tuple[g.Graph, Recipe]  # weights, and the formats that they have


@dataclass(frozen=True, slots=True)
class Tutor:
    """Who teaches networks of one kind: samples and what they aim at, and who chooses an epoch."""

    samples: Samples
    aims: tuple[Aim, ...]
    objective: SearchObjective
    settings: QatSettings

    @staticmethod
    def of(teacher: g.Graph, teach: Samples, choose: Samples, settings: QatSettings) -> Tutor:
        """A tutor; `choose` decides which epoch was the best."""
        answers = judge.float_outputs(teacher, teach)
        aim_list = aims(teacher, teach, answers, settings.distillation)
        return Tutor(teach, aim_list, objective_on(teacher, choose), settings)

    def train(
        self, graph: g.Graph, recipe: Recipe, watch: Watch = lambda done, total: None
    ) -> TrainedWeights:
        """A network of the same inputs and outputs, trained under a recipe."""
        lesson = Lesson(self.samples, self.aims, self._judge, self.settings)
        return train(graph, recipe, lesson, watch)

    def begin(self, chosen: Network, stated: Network, settings: PtqSettings) -> Network:
        """Where training begins: with a network that states its formats, in the widths that are
        asked for, unless what calibration chose scores more."""
        graph, formats = fold_batch_norms(stated[0]), stated[1]
        if not states_all_formats(graph, formats, settings):
            return chosen
        again = graph, change_widths(graph, formats, settings, self._judge)
        return again if self._judge(*again) >= self._judge(*chosen) else chosen

    def _judge(self, graph: g.Graph, recipe: Recipe) -> float:
        lowered = lower(graph, recipe)
        return self.objective.of_program(lowered.program, lowered.recipe)


def refuse_untrainable(graph: g.Graph) -> None:
    """An error for a network that has nothing to train."""
    if not any(isinstance(node, g.ConvNode | g.DenseNode) for node in graph.nodes):
        raise InputError(f"{graph.name} has no layer with weights, so there is nothing to train.")
