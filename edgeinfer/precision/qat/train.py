# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The training loop: steps towards the aims through the quantizers, and the best epoch kept.

What an epoch is worth is what the integer network scores on samples that teach nothing. The state
before the first step counts as an epoch, so training never gives back less than it was given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.precision.qat.aims import Aim
from edgeinfer.precision.qat.latent import Latent, settle_biases
from edgeinfer.precision.qat.settings import QAT_PACE, QatSettings, refuse_infinite
from edgeinfer.precision.qat.sparsity import Mask, SparsitySchedule, masks
from quantization.recipe import Recipe

WARM_UP = 0.05  # share of the steps over which the learning rate rises
LOWEST_RATE = 0.01  # of the learning rate, at the end

Judge = Callable[[g.Graph, Recipe], float]  # what an integer network is worth; higher is better


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; number 0 is the state before training."""

    number: int
    loss: float | None
    score: float
    zero_weights: float  # share of the kernels' weights on their grids that are zero
    seconds: float


@dataclass(frozen=True, slots=True)
class TrainedWeights:
    """Weights on no grid yet, the recipe that fits them, and how it went."""

    graph: g.Graph
    recipe: Recipe
    history: tuple[Epoch, ...]
    best: int  # number of the epoch whose weights these are


Watch = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a network is trained on, towards what, and what an epoch is judged by."""

    samples: Samples
    aims: tuple[Aim, ...]
    judge: Judge
    settings: QatSettings


@dataclass(frozen=True, slots=True)
class _BestEpoch:
    """The best epoch so far: one that is nearer to the sparsity asked for comes first."""

    due: float  # share of zero weights that the schedule had come to
    score: float
    number: int
    graph: g.Graph
    recipe: Recipe


def train(
    graph: g.Graph,
    recipe: Recipe,
    lesson: Lesson,
    watch: Watch = lambda done, total: None,
) -> TrainedWeights:
    """Train a network's weights under a recipe that names every tensor and every weight."""
    run = _Run(graph, recipe, lesson, watch)
    best = run.go()
    return TrainedWeights(best.graph, best.recipe, tuple(run.history), best.number)


class _Run:
    """A training under way."""

    def __init__(self, graph: g.Graph, recipe: Recipe, lesson: Lesson, watch: Watch) -> None:
        import keras

        samples, settings = lesson.samples, lesson.settings
        self.recipe, self.samples, self.aims = recipe, samples, lesson.aims
        self.judge, self.settings, self.watch = lesson.judge, settings, watch
        self.pace = settings.pace(QAT_PACE)
        keras.utils.set_random_seed(settings.seed)
        self.latent = Latent.of(graph, recipe)
        self.optimizer = keras.optimizers.Adam(self.pace.learning_rate)
        self.variables = self.latent.model.trainable_variables
        self.batch = min(self.pace.batch, len(samples))
        self.steps_an_epoch = max(1, len(samples) // self.batch)
        self.steps = self.steps_an_epoch * self.pace.epochs
        self.schedule = SparsitySchedule(settings.sparsity, self.steps)
        self.masks: dict[str, Mask] = {}
        self.due = 0.0  # share of zero weights that the masks were last chosen for
        self.history: list[Epoch] = []
        self.began = time.monotonic()
        self.step_of = _compiled_step(self.latent, lesson.aims, self.optimizer, self.variables)

    def go(self) -> _BestEpoch:
        """All epochs, or as many as there is time for; the best of them."""
        best = self._closed(0, None)
        rng = np.random.default_rng(self.settings.seed)
        for epoch in range(1, self.pace.epochs + 1):
            order = rng.permutation(len(self.samples))
            losses = []
            for i in range(self.steps_an_epoch):
                if self._late():
                    break
                losses.append(self._step((epoch - 1) * self.steps_an_epoch + i, order, i))
            if losses:
                closed_epoch = self._closed(epoch, float(np.mean(losses)))
                best = max(best, closed_epoch, key=lambda kept: (kept.due, kept.score))
            if self._late():
                break
        return best

    def _late(self) -> bool:
        return self.settings.is_over(time.monotonic() - self.began)

    def _step(self, step: int, order: NDArray[np.int64], place: int) -> float:
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])
        self.optimizer.learning_rate.assign(self._rate(step))
        inputs = [
            self.samples.inputs[node.name][rows].astype(np.float32)
            for node in self.latent.drawing.graph.inputs
        ]
        loss = float(self.step_of(inputs, [aim.values[rows] for aim in self.aims]))
        refuse_infinite(loss, self.latent.drawing.graph.name, f" at step {step + 1}")
        self._prune(step)
        self.watch(step + 1, self.steps)
        return loss

    def _rate(self, step: int) -> float:
        warm = max(1.0, WARM_UP * self.steps)
        if step < warm:
            return self.pace.learning_rate * (step + 1) / (warm + 1)
        along = (step - warm) / max(1.0, self.steps - warm)
        share = LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + np.cos(np.pi * along))
        return float(self.pace.learning_rate * share)

    def _prune(self, step: int) -> None:
        """Zero the masked weights, which the optimizer has just moved."""
        if not self.settings.sparsity:
            return
        kernels = self.latent.kernels()
        if self.schedule.changes(step):
            kernels_by_name = {name: np.asarray(kernel) for name, kernel in kernels.items()}
            self.due = self.schedule.at(step)
            self.masks = masks(kernels_by_name, self.due)
        for name, mask in self.masks.items():
            kernels[name].assign(kernels[name] * mask.astype(np.float32))

    def _closed(self, number: int, loss: float | None) -> _BestEpoch:
        """Judge the integer network as it is now."""
        graph = self.latent.graph()
        recipe = settle_biases(graph, self.recipe)
        score = self.judge(graph, recipe)
        zeros = zero_share(graph, recipe)
        seconds = round(time.monotonic() - self.began, 2)
        self.history.append(Epoch(number, loss, score, zeros, seconds))
        return _BestEpoch(self.due, score, number, graph, recipe)


def zero_share(graph: g.Graph, recipe: Recipe) -> float:
    """The share of the kernels' weights that are zero on their grids."""
    zero = total = 0
    for key, values in graph.weights():
        fmt = recipe.weight(key)
        if key.endswith("/kernel") and fmt is not None:
            raw = fmt.raw(values)
            zero, total = zero + int(np.sum(raw == 0)), total + raw.size
    return zero / total if total else 0.0


def _compiled_step(latent: Latent, aims: tuple[Aim, ...], optimizer: Any, variables: Any) -> Any:
    """One step as a TensorFlow function: inputs and aims -> the loss before it."""
    import tensorflow as tf

    from edgeinfer.precision.qat.losses import mean_loss

    graph = latent.drawing.graph
    ends = list(dict.fromkeys(latent.ends.values()))

    def total(inputs: Any, aim_values: Any) -> Any:
        outputs = latent.model(inputs, training=True)
        tensors: Mapping[str, Any] = dict(
            zip(ends, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True)
        )
        results = {name: tensors[end] for name, end in latent.ends.items()}
        return mean_loss(graph, aims, results, aim_values)

    def step(inputs: Any, aim_values: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = total(inputs, aim_values)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    optimizer.build(variables)
    return tf.function(step, autograph=False, reduce_retracing=True)
