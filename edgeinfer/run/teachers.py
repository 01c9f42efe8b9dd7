# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whose answers a network is taught: its own float ones, or those of networks that know better.

A small network learns little from its own floats, for these fall short of what samples allow. A
larger network, or the mean of several, comes nearer to that, and costs nothing in hardware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph.nodes import Graph, Shape
from edgeinfer.precision.qat.aims import output_function
from edgeinfer.precision.search.objective import SearchObjective
from edgeinfer.readers import load

Answers = Mapping[str, NDArray[np.float64]]  # by output
GUESSING_AUC = 0.6  # below, answers are hardly better than guesses: those have 0.5


@dataclass(frozen=True, slots=True)
class Teachers:
    """Networks that answer in place of the one that learns; where there are none, itself."""

    student: Graph
    others: tuple[Graph, ...] = ()

    def answers(self, samples: Samples) -> Answers:
        """What they say of the student's samples on average, by the student's outputs."""
        if not self.others:
            return judge.float_outputs(self.student, samples)
        answers = [self._answer(teacher, samples) for teacher in self.others]
        return {
            name: np.mean([one[name] for one in answers], axis=0) for name in self.student.outputs
        }

    def _answer(self, teacher: Graph, samples: Samples) -> Answers:
        pairs = zip(teacher.inputs, self.student.inputs, strict=True)
        inputs = {theirs.name: samples.inputs[ours.name] for theirs, ours in pairs}
        outputs = judge.float_outputs(teacher, replace(samples, inputs=inputs, labels={}))
        named = zip(self.student.outputs, teacher.outputs, strict=True)
        return {ours: outputs[theirs] for ours, theirs in named}


def load_teachers(student: Graph, paths: Sequence[Path], batch_axis: int | None = 0) -> Teachers:
    """The teachers of a network. Inputs and outputs are those of the network, in the same order
    and whatever their names."""
    teachers = tuple(load(path, batch_axis=batch_axis).graph for path in paths)
    for path, teacher in zip(paths, teachers, strict=True):
        theirs, ours = _ports(teacher), _ports(student)
        if theirs != ours or teacher.states or student.states:
            raise UsageError(
                f"{path} cannot teach {student.name}: it goes from {_text(theirs)}, the network "
                f"from {_text(ours)}.",
                hint="A teacher has the inputs and outputs of what it teaches, in the same order "
                "and with the same function at the end, and no states.",
            )
    return Teachers(student, teachers)


def guessing_findings(graph: Graph, objective: SearchObjective, distillation: float) -> list[str]:
    """What a user should know of a network that teaches itself and does not know the samples."""
    if objective.name != "auc" or objective.exact_score >= GUESSING_AUC or not distillation:
        return []
    return [
        f"{graph.name} itself has auc {objective.exact_score:.3f} on these samples, where guesses "
        f"have 0.5, and its answers are {distillation:.0%} of what is taught. Its features may "
        f"have had other scales, or its classes another order. Bring the data to like scales "
        f"(edgeinfer convert DATA -o data.h5 --standardize '*') and train it on them first "
        f"(edgeinfer train), or let the labels alone teach (--distillation 0)."
    ]


Ports = tuple[list[Shape], list[tuple[Shape, str]]]


def _ports(graph: Graph) -> Ports:
    outputs = [(graph.shapes[name], output_function(graph, name)) for name in graph.outputs]
    return [node.shape for node in graph.inputs], outputs


def _text(ports: Ports) -> str:
    inputs, outputs = ports
    ends = [f"{function} of {_size(shape)}" for shape, function in outputs]
    return f"{', '.join(map(_size, inputs))} to {', '.join(ends)}"


def _size(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "1"
