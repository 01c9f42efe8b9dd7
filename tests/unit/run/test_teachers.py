# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks that teach others: whose answers they give, and which are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.precision.search.objective import objective_on
from edgeinfer.run.teachers import Teachers, guessing_findings, load_teachers
from edgeinfer.zoo import entry_of, reference_path
from edgeinfer.zoo.reference import load_reference


def classifier(prefix: str, scale: float) -> g.Graph:
    """Two inputs, three classes, and names that begin with the prefix."""
    kernel = scale * np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -1.0]])
    x, dense, out = (f"{prefix}_{name}" for name in ("x", "dense", "out"))
    nodes = (
        g.InputNode(x, (2,)),
        g.DenseNode(dense, dense, x, kernel, np.zeros(3)),
        g.SoftmaxNode(out, dense),
    )
    return g.Graph(prefix, nodes, (out,))


SAMPLES = Samples({"own_x": np.random.default_rng(0).normal(size=(40, 2))}, "drawn")


def test_a_network_without_teachers_teaches_itself() -> None:
    own = classifier("own", 1.0)
    answers = Teachers(own).answers(SAMPLES)
    np.testing.assert_array_equal(answers["own_out"], judge.float_outputs(own, SAMPLES)["own_out"])


def test_several_teachers_answer_with_the_mean_of_their_probabilities() -> None:
    first, second = classifier("a", 0.3), classifier("b", 3.0)
    answers = Teachers(classifier("own", 1.0), (first, second)).answers(SAMPLES)["own_out"]
    each = []
    for teacher in (first, second):
        renamed = replace(SAMPLES, inputs={f"{teacher.name}_x": SAMPLES.inputs["own_x"]})
        each.append(judge.float_outputs(teacher, renamed)[f"{teacher.name}_out"])
    np.testing.assert_allclose(answers, (each[0] + each[1]) / 2)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=1e-6)


def test_a_teacher_has_the_inputs_and_outputs_of_what_it_teaches() -> None:
    student = load_reference("jet-tagger")
    taught = load_teachers(student, [reference_path(entry_of("jet-tagger"))])
    assert len(taught.others) == 1
    with pytest.raises(UsageError, match=r"jet-transformer\.keras cannot teach jet-tagger: "):
        load_teachers(student, [reference_path(entry_of("jet-transformer"))])


@pytest.mark.parametrize("other_classes", [False, True])
def test_a_teacher_that_only_guesses_is_a_finding(other_classes: bool) -> None:
    own = classifier("own", 1.0)
    kinds = judge.float_outputs(own, SAMPLES)["own_out"].argmax(axis=1)
    labels = (kinds + other_classes) % 3  # as a file has them that lists the classes otherwise
    objective = objective_on(own, replace(SAMPLES, labels={"own_out": labels.astype(float)}))
    assert objective.name == "auc"
    findings = guessing_findings(own, objective, 0.7)
    assert len(findings) == other_classes
    if findings:
        assert f"auc {objective.exact_score:.3f}" in findings[0]
        assert "--standardize '*'" in findings[0] and "train it" in findings[0]
        assert guessing_findings(own, objective, 0.0) == []  # it does not teach
