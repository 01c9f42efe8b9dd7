# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks of tables: what training computes is what the integers of the written file are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ModelError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.lookup.settings import LookupPlan, LookupSettings, plan_tables
from edgeinfer.precision.qat.aims import aims
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.readers import load
from quantization.fixed import Ints


def rings() -> g.Graph:
    """A network of two numbers that knows three rings."""
    rng = np.random.default_rng(3)
    return g.Graph(
        "rings",
        (
            g.InputNode("x", (2,)),
            g.DenseNode("a", "a", "x", rng.normal(size=(2, 3)), np.zeros(3)),
            g.SoftmaxNode("y", "a"),
        ),
        ("y",),
    )


def ring_samples(count: int) -> Samples:
    rng = np.random.default_rng(5)
    x = rng.uniform(-2.0, 2.0, (count, 2)).astype(np.float32)
    kind = np.digitize(np.hypot(*x.T), [0.9, 1.6])
    return Samples({"x": x}, "rings", {"y": np.eye(3)[kind]})


def read_for(path: Path, samples: Samples) -> tuple[Program, dict[str, Ints]]:
    """The network of a file, and samples as it reads them."""
    loaded = load(path)
    lowered = lower(loaded.graph, loaded.recipe)
    return lowered.program, judge.raw_inputs(lowered.program, lowered.recipe, samples)


def test_only_a_vector_between_two_vectors_becomes_tables() -> None:
    plan = plan_tables(rings(), {"y": "a"})
    assert (plan.input.name, plan.output, plan.units) == ("x", "y", 3)
    picture = g.Graph("p", (g.InputNode("x", (4, 4, 1)), g.ReshapeNode("y", "x", (16,))), ("y",))
    with pytest.raises(ModelError, match=r"x \(4, 4, 1\).*one vector"):
        plan_tables(picture, {"y": "y"})
    with pytest.raises(UsageError, match="--neurons"):
        LookupSettings(neurons=65)


@pytest.mark.slow
def test_the_file_holds_what_was_trained(tmp_path: Path) -> None:
    from edgeinfer.precision.learned.train import LearnedLesson
    from edgeinfer.precision.lookup.model import LookupModel
    from edgeinfer.precision.lookup.train import learn_tables

    graph, samples = rings(), ring_samples(2_000)
    plan = LookupPlan(graph, "a")
    answers = judge.float_outputs(graph, samples)
    wanted = aims(graph, samples, answers, 0.0)
    training = QatSettings(epochs=12, batch=100, learning_rate=0.1)
    lesson = LearnedLesson(samples, wanted, training, LearnedSettings(2))
    seen: list[int] = []
    files = list(
        learn_tables(plan, lesson, LookupSettings(neurons=3), lambda done, total: seen.append(1))
    )
    assert len(files) == 2 and len(seen) == 2 * 12 * 20
    right = []
    for number, file in enumerate(files):
        path = tmp_path / f"{number}.keras"
        path.write_bytes(file.content)
        program, raw = read_for(path, samples)
        found = interpret(program, raw)[program.outputs[0].value]
        right.append(float((found.argmax(1) == samples.labels["y"].argmax(1)).mean()))
    assert max(right) > 0.9
    x = samples.inputs["x"].astype(np.float32)
    model = LookupModel(plan, x, 3, 1)
    y = model.run(x)[0]
    path = tmp_path / "drawn.keras"
    model.to_keras().save(path)
    program, raw = read_for(path, samples)
    value = program.outputs[0].value
    computed = interpret(program, raw)[value] * program.type(value).lsb
    assert np.array_equal(computed, y.numpy())


@pytest.mark.slow
def test_the_file_holds_the_neurons_that_were_trained(tmp_path: Path) -> None:
    from edgeinfer.precision.learned.train import LearnedLesson
    from edgeinfer.precision.lookup.train import learn_tables

    graph, samples = rings(), ring_samples(2_000)
    answers = judge.float_outputs(graph, samples)
    training = QatSettings(epochs=15, batch=100, learning_rate=0.03)
    lesson = LearnedLesson(
        samples, aims(graph, samples, answers, 0.0), training, LearnedSettings(2, 0.01, 0.1)
    )
    settings = LookupSettings("neurons", 8, fan_in=2, code_bits=3)
    files = list(learn_tables(LookupPlan(graph, "a"), lesson, settings, lambda done, total: None))
    shares = []
    for number, file in enumerate(files):
        path = tmp_path / f"{number}.keras"
        path.write_bytes(file.content)
        program, raw = read_for(path, samples)
        answer = interpret(program, raw)[program.outputs[0].value]
        shares.append(float((answer.argmax(1) == samples.labels["y"].argmax(1)).mean()))
    assert max(shares) > 0.85  # rings are no sum of few steps along both axes
