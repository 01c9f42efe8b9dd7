# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The training loop. Order, flips, dropout and learning rate follow from seed and history alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.zoo.checkpoint import Checkpoints, EpochRecord, Position, TrainingPlan
from edgeinfer.zoo.entry import LOCATED, Loss, TrainingSchedule, ZooEntry
from edgeinfer.zoo.teaching import Teaching, feed_keras

if TYPE_CHECKING:
    import keras

CHECKPOINT_SECONDS = 60.0
_VALIDATION_BATCH = 1024
_VALIDATION_PLANES = 64  # of networks that learn at sites, whose planes are large

Stop = Literal["epochs", "patience", "minutes", "interrupted"]


class TrainingWatcher(Protocol):
    """Who is told how a training goes."""

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """A batch is done; the loss is the epoch's mean so far."""
        ...

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """An epoch is done."""
        ...


def best_epoch_and_halvings(losses: Sequence[float], patience: int) -> tuple[int, int]:
    """The epoch of the lowest loss, and how often the learning rate has been halved.

    It is halved whenever half the patience has passed without a lower loss.
    """
    best, halvings, waited = 0, 0, 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] or epoch == 0:
            best, waited = epoch, 0
            continue
        waited += 1
        if waited == max(patience // 2, 1):
            halvings, waited = halvings + 1, 0
    return best, halvings


@dataclass(slots=True)
class Fit:
    """A training under way."""

    entry: ZooEntry
    plan: TrainingPlan
    data: Teaching
    model: keras.Model
    position: Position
    checkpoints: Checkpoints
    best: Path | None
    watcher: TrainingWatcher | None

    @property
    def losses(self) -> list[float]:
        """Validation losses of the epochs done."""
        return [record.validation_loss for record in self.position.history]

    def go(self, late: Callable[[], bool], interrupted: Callable[[], bool]) -> Stop:
        """Train until there is nothing left to do, or someone says stop."""
        patience = self.entry.schedule.patience
        while len(self.losses) < self.plan.epochs:
            best, _ = best_epoch_and_halvings(self.losses, patience)
            if self.losses and len(self.losses) - 1 - best >= patience:
                return "patience"
            stop = self._epoch(late, interrupted)
            if stop is not None:
                self.checkpoints.save(self.plan, self.position, self.model, self.best)
                return stop
        return "epochs"

    def _epoch(self, late: Callable[[], bool], interrupted: Callable[[], bool]) -> Stop | None:
        schedule, position, epoch = self.entry.schedule, self.position, len(self.losses)
        rate = _rate(schedule, self.losses, self.plan.epochs)
        self.model.optimizer.learning_rate.assign(rate)
        _seed_dropout(self.model, self.plan.seed, epoch, position.step)
        rng = np.random.default_rng([self.plan.seed, epoch])
        order = rng.permutation(self.data.teaching)
        flips = {axis: rng.random(order.size) < 0.5 for axis in schedule.flips}
        steps = -(-order.size // schedule.batch)
        resumed_seconds, began = position.seconds, time.monotonic()
        saved_at = began
        while position.step < steps:
            if interrupted():
                return "interrupted"
            if late():
                return "minutes"
            here = slice(position.step * schedule.batch, (position.step + 1) * schedule.batch)
            mirrored = {axis: marked[here] for axis, marked in flips.items()}
            batch, weights = self.data.batch(order[here], mirrored)
            self.model.reset_metrics()
            loss = float(
                self.model.train_on_batch(*feed_keras(batch, weights), return_dict=True)["loss"]
            )
            if not np.isfinite(loss):
                raise EdgeInferError(
                    f"{self.entry.name}: the loss became {loss} in epoch {epoch + 1}.",
                    hint="This is a bug of edgeinfer: please report the command.",
                )
            position.step += 1
            position.loss_sum += loss * len(batch)
            position.seconds = resumed_seconds + time.monotonic() - began
            done = min(position.step * schedule.batch, order.size)
            if self.watcher:
                self.watcher.step(epoch, position.step, steps, position.loss_sum / done)
            if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                self.checkpoints.save(self.plan, position, self.model, self.best)
                saved_at = time.monotonic()
        self._close_epoch(epoch, rate, order.size)
        return None

    def _close_epoch(self, epoch: int, rate: float, size: int) -> None:
        position = self.position
        loss = self.validation_loss(self.model)
        record = EpochRecord(
            epoch + 1, position.loss_sum / size, loss, rate, round(position.seconds, 2)
        )
        better = not self.losses or loss < min(self.losses)
        position.history.append(record)
        position.step, position.loss_sum, position.seconds = 0, 0.0, 0.0
        if better:
            self.best = self.checkpoints.save_best(self.model, epoch + 1)
        self.checkpoints.save(self.plan, position, self.model, self.best)
        if self.watcher:
            self.watcher.epoch(record, better)

    def validation_loss(self, model: keras.Model) -> float:
        """Mean loss over the events that do not teach."""
        total, rows = 0.0, self.data.validating
        count = _VALIDATION_BATCH if self.entry.sites is None else _VALIDATION_PLANES
        for start in range(0, rows.size, count):
            batch, weights = self.data.batch(rows[start : start + count])
            model.reset_metrics()
            results = model.test_on_batch(*feed_keras(batch, weights), return_dict=True)
            total += float(results["loss"]) * len(batch)
        return total / rows.size


def _rate(schedule: TrainingSchedule, losses: Sequence[float], epochs: int) -> float:
    """The learning rate of the epoch that follows so many losses."""
    if schedule.cosine:
        return schedule.learning_rate * 0.5 * (1.0 + math.cos(math.pi * len(losses) / epochs))
    return schedule.learning_rate * 0.5 ** best_epoch_and_halvings(losses, schedule.patience)[1]


def _seed_dropout(model: keras.Model, seed: int, epoch: int, step: int) -> None:
    """Set the states that Keras does not save; each moves on by one with every step."""
    states = [v for v in model.non_trainable_variables if v.name == "seed_generator_state"]
    for index, state in enumerate(states):
        word = np.random.SeedSequence([seed, epoch, index]).generate_state(1)[0]
        state.assign([int(word) >> 1, step])


def compile_keras(entry: ZooEntry) -> keras.Model:
    """A fresh model with its optimizer and losses."""
    build = entry.build if entry.sites is None else entry.sites.build
    model = without_features(entry, build())
    model.compile(
        optimizer=_optimizer(entry.schedule),
        loss={head.name: _loss(head.loss) for head in entry.heads},
        loss_weights={head.name: head.weight for head in entry.heads},
        # Each batch has its own number of sites, and would be compiled anew.
        jit_compile="auto" if entry.sites is None else False,
    )
    model.optimizer.build(model.trainable_variables)  # so that it can be saved before any step
    return model


def read_saved(path: Path) -> keras.Model:
    """A model of a saved training. Keras knows our losses and layers once they are imported."""
    import keras

    from edgeinfer.zoo import losses, site_layers  # noqa: F401

    return keras.saving.load_model(path)


def without_features(entry: ZooEntry, model: keras.Model) -> keras.Model:
    """The same layers, with those outputs alone that have a truth to learn from."""
    if not entry.features:
        return model
    from keras import Model

    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    return Model(model.inputs, [outputs[head.name] for head in entry.heads], name=model.name)


def _loss(name: Loss) -> Any:
    """A loss as Keras takes it: ours are functions."""
    if name not in LOCATED:
        return name
    from edgeinfer.zoo import losses

    return getattr(losses, name)


def _optimizer(schedule: TrainingSchedule) -> keras.optimizers.Optimizer:
    from keras import optimizers

    if schedule.optimizer == "sgd":
        return optimizers.SGD(schedule.learning_rate, momentum=0.9, nesterov=True)
    return optimizers.Adam(schedule.learning_rate)
