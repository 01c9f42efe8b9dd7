# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The training loop: hardware becomes dearer from point to point, and each point is a network.

At each point the widths learn first, while the learning rate falls; then they stay as they are, and
the weights alone settle into them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.ir.target_costs import MultiplierPrices
from edgeinfer.precision.learned.formats import LearnedState
from edgeinfer.precision.learned.model import LearnedModel
from edgeinfer.precision.learned.network import LearnedPlan
from edgeinfer.precision.learned.settings import LEARNED_PACE, LearnedSettings
from edgeinfer.precision.learned.tensors import nearest, power
from edgeinfer.precision.qat.aims import Aim
from edgeinfer.precision.qat.losses import mean_loss
from edgeinfer.precision.qat.settings import QatSettings, refuse_infinite

SETTLING = 0.35  # share of a point's steps in which widths stay as they are
RISING = 0.7  # share of the other steps over which the weight of the cost rises
LOWEST_RATE = 0.02  # of the learning rate, at the end of a point
WIDTH_RATE = 1.0  # learning rate of the widths, in units of the weights': faster ones collapse
MOMENTS = (0.9, 0.999)  # how much of their past the means of the gradients keep (Adam)
ALIVE = 0.505  # steps from zero, which are rounded to one
AT_ONCE = 4096  # samples, where no gradient is wanted

Watch = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True, slots=True)
class LearnedLesson:
    """What a network learns from, and how."""

    samples: Samples
    aims: tuple[Aim, ...]
    training: QatSettings
    settings: LearnedSettings
    prices: MultiplierPrices | None = None  # of folded designs


def learn(
    plan: LearnedPlan, lesson: LearnedLesson, watch: Watch = lambda done, total: None
) -> Iterator[LearnedState]:
    """The networks of the front, one after the other."""
    run = _Run(plan, lesson, watch)
    for point in range(lesson.settings.points):
        run.pass_point(point)
        yield run.state()
        if run.late():
            return


class _Run:
    """A training under way."""

    def __init__(self, plan: LearnedPlan, lesson: LearnedLesson, watch: Watch) -> None:
        training = lesson.training
        self.plan, self.lesson, self.watch = plan, lesson, watch
        self.rng = np.random.default_rng(training.seed)
        settings = lesson.settings
        self.model = LearnedModel(
            plan, self.rng, settings.cost, lesson.prices, settings.first_weights
        )
        self.pace = training.pace(LEARNED_PACE)
        self.batch = min(self.pace.batch, len(lesson.samples))
        self.steps = len(lesson.samples) // self.batch * self.pace.epochs
        self.began = time.monotonic()
        self.step = _compile_step(self.model, lesson)
        self.look = tf.function(
            lambda inputs: self.model.run(inputs).ranges, jit_compile=True, autograph=False
        )
        self.weight = 0.0
        self.inputs = {
            node.name: lesson.samples.inputs[node.name].astype(np.float32)
            for node in plan.graph.inputs
        }
        self._see_ranges()
        first = {name: tf.constant(values[: self.batch]) for name, values in self.inputs.items()}
        self.unit = float(self.model.run(first).cost)  # the cost of the network as it begins

    def late(self) -> bool:
        """Whether the time is over."""
        return self.lesson.training.is_over(time.monotonic() - self.began)

    def pass_point(self, point: int) -> None:
        """All steps of a point."""
        settings, pace = self.lesson.settings, self.pace
        count = len(self.lesson.samples)
        each = count // self.batch
        growth = settings.cost_high / settings.cost_low
        self.model.settled.assign(False)
        for epoch in range(pace.epochs):
            order = self.rng.permutation(count)
            for place in range(each):
                number = epoch * each + place
                share = number / self.steps
                learning = share / (1.0 - SETTLING)
                rate = pace.learning_rate * fall(share)
                width_rate = WIDTH_RATE * pace.learning_rate * fall(learning)
                if learning >= 1.0:
                    width_rate = 0.0
                    self.model.settled.assign(True)
                along = (point + min(learning / RISING, 1.0)) / settings.points
                self.weight = settings.cost_low * growth**along
                rows = order[place * self.batch : (place + 1) * self.batch]
                self._advance(rows, rate, width_rate)
                self.watch(point * self.steps + number + 1, settings.points * self.steps)
            if self.late():
                break
            self._see_ranges()
        self.model.settled.assign(True)
        self._see_ranges()

    def _advance(self, rows: NDArray[np.int64], rate: float, width_rate: float) -> None:
        inputs = {name: values[rows] for name, values in self.inputs.items()}
        aim_values = [aim.values[rows] for aim in self.lesson.aims]
        rates = np.array([rate, width_rate, self.weight / self.unit], np.float32)
        loss = float(self.step(inputs, aim_values, rates))
        refuse_infinite(loss, self.plan.graph.name)

    def _see_ranges(self) -> None:
        """Give every tensor the range that all samples show. A range changes those behind it, so
        this goes on until the network is passed through."""
        count = len(self.lesson.samples)
        for _ in range(1 + len(self.plan.linear)):
            low: dict[str, Any] = {}
            high: dict[str, Any] = {}
            for start in range(0, count, AT_ONCE):
                part = {n: values[start : start + AT_ONCE] for n, values in self.inputs.items()}
                for name, (least, most) in self.look(part).items():
                    low[name] = np.minimum(low.get(name, np.inf), least.numpy())
                    high[name] = np.maximum(high.get(name, -np.inf), most.numpy())
            before = [
                variable.numpy()
                for variable in (*self.model.low.values(), *self.model.high.values())
            ]
            for name in low:
                self.model.low[name].assign(low[name])
                self.model.high[name].assign(high[name])
            after = [*low.values(), *high.values()]
            if all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
                return

    def state(self) -> LearnedState:
        """The network as it is now."""
        model = self.model

        def arrays(variables: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
            return {name: variable.numpy() for name, variable in variables.items()}

        def whole(variables: dict[str, Any]) -> dict[str, NDArray[np.int64]]:
            return {
                name: np.floor(values + np.float32(0.5)).astype(np.int64)
                for name, values in arrays(variables).items()
            }

        linear = [node.name for node in self.plan.linear]
        return LearnedState(
            arrays(model.kernels),
            arrays(model.biases),
            whole({name: model.weight_bits(name) for name in linear}),
            {name: model.bias_bits(name).numpy().astype(np.int64) for name in linear},
            whole({name: model.tensor_bits(name) for name in model.bits}),
            {name: model.alive(name).numpy() for name in model.bits},
            arrays(model.low),
            arrays(model.high),
            self.lesson.settings.cost == "adders",
            self.weight,
            round(time.monotonic() - self.began, 2),
        )


def fall(share: float) -> float:
    """From 1 to almost 0 along a cosine."""
    return float(LOWEST_RATE + (1.0 - LOWEST_RATE) * 0.5 * (1.0 + np.cos(np.pi * min(share, 1.0))))


def _compile_step(model: LearnedModel, lesson: LearnedLesson) -> Any:
    """One step as a compiled function: inputs, aims, and [rate, rate of widths, weight of the
    cost] -> the loss before it, without the cost."""
    plan = model.plan
    variables = [*model.weights, *model.widths]
    of_weights = len(model.weights)
    means = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
    squares = [tf.Variable(tf.zeros_like(v), trainable=False) for v in variables]
    done = tf.Variable(0.0, trainable=False)

    def step(inputs: Any, aim_values: Any, rates: Any) -> Any:
        with tf.GradientTape() as tape:
            passed = model.run(inputs)
            tensors = {aim.output: plan.ends[aim.output] for aim in lesson.aims}
            outputs = {name: passed.tensors[end] for name, end in tensors.items()}
            loss = mean_loss(plan.graph, lesson.aims, outputs, aim_values)
            total = loss + rates[2] * passed.cost
        gradients = tape.gradient(total, variables, unconnected_gradients="zero")
        done.assign_add(1.0)
        own_bits = model.kind == "adders"
        ends = {name: _keep_alive(model, name) for name in model.kernels if own_bits}
        first, second = (1.0 - tf.pow(kept, done) for kept in MOMENTS)
        for number, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
            rate = rates[0] if number < of_weights else rates[1]
            means[number].assign(MOMENTS[0] * means[number] + (1.0 - MOMENTS[0]) * gradient)
            squares[number].assign(
                MOMENTS[1] * squares[number] + (1.0 - MOMENTS[1]) * tf.square(gradient)
            )
            size = tf.sqrt(squares[number] / second) + 1e-8
            variable.assign_sub(rate * means[number] / first / size)
        for name, (least, most) in ends.items():
            kernel = model.kernels[name]
            kept = tf.clip_by_value(kernel, least, most)
            kernel.assign(tf.where(rates[1] > 0.0, kernel, kept))
        model.limit_widths()
        for name, (low, high) in passed.ranges.items():
            model.low[name].assign(tf.minimum(model.low[name], low))
            model.high[name].assign(tf.maximum(model.high[name], high))
        return loss

    return tf.function(step, jit_compile=True, autograph=False)


def _keep_alive(model: LearnedModel, name: str) -> tuple[Any, Any]:
    """Between which ends each weight stays while widths do: where it is not zero on its grid, it
    does not become so, for nothing would bring it back."""
    kernel, scale = model.kernels[name], power(nearest(model.weight_bits(name)))
    raw = nearest(kernel * scale)
    least = tf.where(raw > 0.0, ALIVE / scale, kernel.dtype.min)
    most = tf.where(raw < 0.0, -ALIVE / scale, kernel.dtype.max)
    return least, most
