# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks whose states go from sample to sample: the samples are one stream, in their order.

A state is an input and an output. The first sample's state is what the input holds, zeros unless
someone says otherwise; every other sample's is what the network has made of the sample before it.
With all states known the samples are as independent as those of any other network, so that every
stage computes them as it computes others, and states that are equal after each sample prove that
the streams are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from quantization.fixed import Ints

Arrays = Mapping[str, NDArray[Any]]


def follow_states(graph: Graph, samples: Samples) -> Samples:
    """The samples with every state that the float network passes through; it begins with zeros."""
    if not graph.states:
        return samples
    from edgeinfer.ir.engine.float_engine import FloatEngine

    shapes = {name: graph.shapes[name] for name in graph.states}
    inputs_given = begin_with_zeros(samples.inputs, shapes)
    inputs = _thread(graph.states, inputs_given, FloatEngine(graph).run)
    return replace(samples, inputs=inputs, stream=True)


def follow_raw_states(program: Program, raw: Mapping[str, Ints]) -> dict[str, Ints]:
    """Raw inputs with every state that the Program passes through, from that of the first."""
    if not program.states:
        return dict(raw)
    return _thread(program.states, raw, Engine(program, threads=1, batch=1).run)


def begin_with_zeros(inputs: Arrays, states: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Inputs with zeros for each state, of these shapes, that is not among them."""
    count = len(next(iter(inputs.values())))
    zeros = {name: np.zeros((count, *shape), np.float32) for name, shape in states.items()}
    return {**zeros, **inputs}


def _thread(
    states: Mapping[str, str], inputs: Arrays, run: Callable[[dict[str, Any]], Arrays]
) -> dict[str, Any]:
    threaded = dict(inputs) | {name: np.array(inputs[name]) for name in states}
    count = len(next(iter(threaded.values())))
    for place in range(count - 1):
        outputs = run({name: values[place : place + 1] for name, values in threaded.items()})
        for name, output in states.items():
            threaded[name][place + 1] = outputs[output][0]
    return threaded
