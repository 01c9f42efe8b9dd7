# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The training loop of tables: LUTs become dearer from point to point, and each point is a network.

Edges that have become flat when most of a point's steps are over stay away from then on, while the
others settle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeinfer.base.errors import ModelError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.precision.learned.front import TrainedFile
from edgeinfer.precision.learned.train import LearnedLesson, Watch, fall
from edgeinfer.precision.lookup.model import LookupModel
from edgeinfer.precision.lookup.neuron_model import NeuronModel
from edgeinfer.precision.lookup.settings import LOOKUP_PACE, LookupPlan, LookupSettings
from edgeinfer.precision.qat.aims import Loss, yields_logits
from edgeinfer.precision.qat.losses import loss_between
from edgeinfer.precision.qat.settings import refuse_infinite

WARM_UP = 0.3  # share of the first point's steps in which a neuron reads all that it could
SETTLING = 0.35  # share of a point's steps in which no further edge goes


def learn_tables(
    plan: LookupPlan, lesson: LearnedLesson, settings: LookupSettings, watch: Watch
) -> Iterator[TrainedFile]:
    """The networks of the front, one after the other, as files of Keras."""
    if lesson.aims[0].loss is Loss.SQUARED:
        raise ModelError(
            f"{plan.graph.name}: {plan.output} is a quantity; networks of tables are trained for "
            f"classes and for yes or no.",
            hint="Train it with --method learned or --method qat.",
        )
    training, points = lesson.training, lesson.settings.points
    pace = training.pace(LOOKUP_PACE)
    x = lesson.samples.inputs[plan.input.name].astype(np.float32)
    model: LookupModel | NeuronModel
    if settings.tables == "edges":
        model = LookupModel(plan, x, settings.neuron_count, training.seed)
    else:
        model = NeuronModel(plan, x, settings, training.seed)
    aim_values = lesson.aims[0].values
    batch = min(pace.batch, len(x))
    each = len(x) // batch
    steps = each * pace.epochs
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.variables)
    step = _compile_step(model, lesson, optimizer)
    unit = float(model.run(tf.constant(x[:batch]))[1])
    rng = np.random.default_rng(training.seed)
    growth = lesson.settings.cost_high / lesson.settings.cost_low
    began = time.monotonic()
    for point in range(points):
        weight = 0.0
        for number in range(steps):
            if number % each == 0:
                order = rng.permutation(len(x))
            if number == int(steps * (1.0 - SETTLING)):
                model.bury()
            if point == 0 and number == int(steps * WARM_UP) and isinstance(model, NeuronModel):
                model.connect_strongest()
                step = _compile_step(model, lesson, optimizer)
            share = number / steps
            optimizer.learning_rate.assign(pace.learning_rate * fall(share))
            along = (point + min(share / (1.0 - SETTLING), 1.0)) / points
            weight = lesson.settings.cost_low * growth**along
            rows = order[number % each * batch :][:batch]
            loss = float(step(x[rows], aim_values[rows], np.float32(weight / unit)))
            refuse_infinite(loss, plan.graph.name)
            watch(point * steps + number + 1, points * steps)
        model.bury()
        yield TrainedFile(_save(model.to_keras()), weight, round(time.monotonic() - began, 2))
        if training.is_over(time.monotonic() - began):
            return


def _compile_step(model: LookupModel | NeuronModel, lesson: LearnedLesson, optimizer: Any) -> Any:
    """One step as a compiled function, which moves what learns."""
    aim, plan = lesson.aims[0], model.plan
    logits = yields_logits(plan.graph, aim.output)

    def step(x: Any, aim_values: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            y, cost, _ = model.run(x)
            loss = loss_between(aim.loss, y, aim_values, logits=logits, unit=aim.unit)
            total = loss + weight * cost
        optimizer.apply(tape.gradient(total, model.variables), model.variables)
        return loss

    return tf.function(step, jit_compile=True, autograph=False)


def _save(model: Any) -> bytes:
    with scratch_folder("lookup") as folder:
        path = folder / "model.keras"
        model.save(path)
        return path.read_bytes()
