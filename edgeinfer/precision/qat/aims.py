# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What training aims at: labels and the float network's own answers, blended, output by output.

Every loss used here is linear in its aim (up to a constant), so that a share of the one loss and a
share of the other is the loss towards the blended aim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.metrics import Task
from edgeinfer.data.samples import Samples, task_of
from edgeinfer.evaluate.judge import apply_host_functions, sigmoid
from edgeinfer.graph import nodes as g
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.program import HostFunction

Floats32 = NDArray[np.float32]


class Loss(StrEnum):
    """How far an output is from its aim."""

    CLASSES = "classes"  # cross-entropy of a softmax over the last axis
    YES_NO = "yes_no"  # cross-entropy of a sigmoid, element by element
    SQUARED = "squared"  # in units of the aim's variance


@dataclass(frozen=True, slots=True)
class Aim:
    """One output's loss, and its aim for every sample."""

    output: str
    loss: Loss
    values: Floats32  # probabilities, or quantities over `unit`
    unit: float = 1.0


def aims(
    graph: g.Graph,
    samples: Samples,
    answers: Mapping[str, NDArray[np.float64]],
    distillation: float,
) -> tuple[Aim, ...]:
    """An aim for each output that has labels, or, where none has, for every output; `answers` are
    the float network's outputs."""
    aim_names = [name for name in graph.outputs if name in samples.labels] or list(graph.outputs)
    return tuple(
        _aim(graph, name, samples.labels.get(name), answers[name], distillation)
        for name in dict.fromkeys(aim_names)
    )


def _aim(
    graph: g.Graph,
    name: str,
    labels: NDArray[np.float64] | None,
    answer: NDArray[np.float64],
    distillation: float,
) -> Aim:
    shape = graph.shapes[name]
    loss = loss_of(graph, name, labels)
    share = 1.0 if labels is None else distillation
    match loss:
        case Loss.CLASSES:
            own = (
                answer
                if _is_softmax(graph, name)
                else apply_host_functions(answer, HostFunction.SOFTMAX)
            )
            truth = own if labels is None else _one_hot(labels, shape)
        case Loss.YES_NO:
            own = answer if _is_sigmoid(graph, name) else sigmoid(answer)
            truth = own if labels is None else labels.reshape(own.shape)
        case Loss.SQUARED:
            own, truth = answer, answer if labels is None else labels.reshape(answer.shape)
    aim = share * own + (1.0 - share) * truth
    unit = 1.0
    if loss is Loss.SQUARED:
        unit = float(aim.std()) or 1.0
    return Aim(name, loss, (aim / unit).astype(np.float32), unit)


def loss_of(graph: g.Graph, name: str, labels: NDArray[np.float64] | None) -> Loss:
    """What an output is for, as its last function or else its labels tell."""
    shape = graph.shapes[name]
    several = bool(shape) and shape[-1] > 1
    if _is_softmax(graph, name):
        return Loss.CLASSES
    if _is_sigmoid(graph, name):
        whole = labels is None or bool(np.all((labels >= 0) & (labels <= 1)))
        single = labels is None or labels.size == len(labels) * int(np.prod(shape, dtype=int))
        if whole and single:
            return Loss.YES_NO
    if labels is not None and task_of(labels, shape) is Task.CLASSIFICATION:
        return Loss.CLASSES if several else Loss.YES_NO
    return Loss.SQUARED


def output_function(graph: g.Graph, name: str) -> str:
    """What an output is the result of, as far as it matters to an aim."""
    if _is_softmax(graph, name):
        return "softmax"
    return "sigmoid" if _is_sigmoid(graph, name) else "numbers"


def _is_softmax(graph: g.Graph, name: str) -> bool:
    return isinstance(graph.node(name), g.SoftmaxNode)


def _is_sigmoid(graph: g.Graph, name: str) -> bool:
    node = graph.node(name)
    return isinstance(node, g.ActivationNode) and node.function is g.Function.SIGMOID


def yields_logits(graph: g.Graph, name: str) -> bool:
    """Whether what the network computes of an output is not squashed yet: the host does it, or
    nothing does."""
    hosts = host_functions(graph)
    if name in hosts:
        return hosts[name][1] is not HostFunction.NONE
    return not (_is_softmax(graph, name) or _is_sigmoid(graph, name))


def _one_hot(labels: NDArray[np.float64], shape: g.Shape) -> NDArray[np.float64]:
    if labels.shape == (len(labels), *shape):
        return labels
    classes = np.arange(shape[-1])
    numbers = labels.reshape(len(labels), *shape[:-1])
    return np.asarray(numbers[..., None] == classes, dtype=np.float64)
