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

from edgeinfer import graph as g
from edgeinfer.errors import InputError
from edgeinfer.qat.aims import Aim, yields_logits
from edgeinfer.qat.latent import Latent, settled
from edgeinfer.qat.settings import QatSettings
from edgeinfer.qat.sparsity import Mask, Schedule, masks
from edgeinfer.samples import Samples
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
class Trained:
    """Weights on no grid yet, the recipe that fits them, and how it went."""

    graph: g.Graph
    recipe: Recipe
    history: tuple[Epoch, ...]
    best: int  # number of the epoch whose weights these are


Watch = Callable[[int, int], None]  # steps done, steps in all


def train(
    graph: g.Graph,
    recipe: Recipe,
    samples: Samples,
    aims: tuple[Aim, ...],
    judge: Judge,
    settings: QatSettings,
    watch: Watch = lambda done, total: None,
) -> Trained:
    """Train a network's weights under a recipe that names every tensor and every weight."""
    run = _Run(graph, recipe, samples, aims, judge, settings, watch)
    run.go()
    best = run.best()
    return Trained(best[1], best[2], tuple(run.history), best[0])


class _Run:
    """A training under way."""

    def __init__(
        self,
        graph: g.Graph,
        recipe: Recipe,
        samples: Samples,
        aims: tuple[Aim, ...],
        judge: Judge,
        settings: QatSettings,
        watch: Watch,
    ) -> None:
        import keras

        self.recipe, self.samples, self.aims = recipe, samples, aims
        self.judge, self.settings, self.watch = judge, settings, watch
        keras.utils.set_random_seed(settings.seed)
        self.latent = Latent.of(graph, recipe)
        self.optimizer = keras.optimizers.Adam(settings.learning_rate)
        self.variables = self.latent.model.trainable_variables
        self.batch = min(settings.batch, len(samples))
        self.steps_an_epoch = max(1, len(samples) // self.batch)
        self.steps = self.steps_an_epoch * settings.epochs
        self.schedule = Schedule(settings.sparsity, self.steps)
        self.masks: dict[str, Mask] = {}
        self.history: list[Epoch] = []
        self.kept: tuple[int, float, g.Graph, Recipe] | None = None
        self.began = time.monotonic()
        self.step_of = _compiled_step(self.latent, aims, self.optimizer, self.variables)

    def go(self) -> None:
        """All epochs, or as many as there is time for."""
        self._close(0, None)
        rng = np.random.default_rng(self.settings.seed)
        for epoch in range(1, self.settings.epochs + 1):
            order = rng.permutation(len(self.samples))
            losses = []
            for i in range(self.steps_an_epoch):
                if self._late():
                    break
                losses.append(self._step((epoch - 1) * self.steps_an_epoch + i, order, i))
            if losses:
                self._close(epoch, float(np.mean(losses)))
            if self._late():
                break

    def best(self) -> tuple[int, g.Graph, Recipe]:
        """The epoch that scored best; with pruning, among those that are as sparse as asked."""
        assert self.kept is not None, "the state before training is always kept"
        return self.kept[0], self.kept[2], self.kept[3]

    def _late(self) -> bool:
        minutes = self.settings.minutes
        return minutes is not None and time.monotonic() - self.began > 60.0 * minutes

    def _step(self, step: int, order: NDArray[np.int64], place: int) -> float:
        rows = np.sort(order[place * self.batch : (place + 1) * self.batch])
        self.optimizer.learning_rate.assign(self._rate(step))
        inputs = [
            self.samples.inputs[node.name][rows].astype(np.float32)
            for node in self.latent.drawing.graph.inputs
        ]
        loss = float(self.step_of(inputs, [aim.values[rows] for aim in self.aims]))
        if not np.isfinite(loss):
            raise InputError(
                f"{self.latent.drawing.graph.name}: the loss became {loss} at step {step + 1}.",
                hint="Try a lower --learning-rate, or check the labels.",
            )
        self._prune(step)
        self.watch(step + 1, self.steps)
        return loss

    def _rate(self, step: int) -> float:
        warm = max(1.0, WARM_UP * self.steps)
        if step < warm:
            return self.settings.learning_rate * (step + 1) / (warm + 1)
        along = (step - warm) / max(1.0, self.steps - warm)
        share = LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + np.cos(np.pi * along))
        return float(self.settings.learning_rate * share)

    def _prune(self, step: int) -> None:
        """Zero the masked weights, which the optimizer has just moved."""
        if not self.settings.sparsity:
            return
        kernels = self.latent.kernels()
        if self.schedule.changes(step):
            held = {name: np.asarray(kernel) for name, kernel in kernels.items()}
            self.masks = masks(held, self.schedule.at(step))
        for name, mask in self.masks.items():
            kernels[name].assign(kernels[name] * mask.astype(np.float32))

    def _close(self, number: int, loss: float | None) -> None:
        """Judge the integer network as it is now, and keep it where it is the best so far."""
        graph = self.latent.graph()
        recipe = settled(graph, self.recipe)
        score = self.judge(graph, recipe)
        zeros = zero_share(graph, recipe)
        seconds = round(time.monotonic() - self.began, 2)
        self.history.append(Epoch(number, loss, score, zeros, seconds))
        better = self.kept is None or score > self.kept[1]
        if self.settings.sparsity:  # nothing that is not as sparse as asked will do
            due = self.schedule.at((number + 1) * self.steps_an_epoch)
            finished = due >= self.settings.sparsity
            held = self.history[self.kept[0]].zero_weights if self.kept else -1.0
            better = zeros > held if not finished or held < zeros * 0.98 else better
        if better:
            self.kept = (number, score, graph, recipe)


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

    from edgeinfer.qat.losses import loss_between

    graph = latent.drawing.graph
    ends = list(dict.fromkeys(latent.ends.values()))
    logits = {aim.output: yields_logits(graph, aim.output) for aim in aims}

    def total(inputs: Any, wanted: Any) -> Any:
        found = latent.model(inputs, training=True)
        tensors: Mapping[str, Any] = dict(
            zip(ends, found if isinstance(found, list | tuple) else [found], strict=True)
        )
        losses = [
            loss_between(
                aim.loss,
                tensors[latent.ends[aim.output]],
                values,
                logits=logits[aim.output],
                unit=aim.unit,
            )
            for aim, values in zip(aims, wanted, strict=True)
        ]
        return tf.add_n(losses) / len(losses)

    def step(inputs: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = total(inputs, wanted)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    optimizer.build(variables)
    return tf.function(step, autograph=False, reduce_retracing=True)
