# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where the error comes from: what is lost if one tensor alone were quantized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.precision.ptq import QuantizedGraph
from edgeinfer.precision.ptq.network import (
    CutNetwork,
    Tensors,
    divide_network,
    round_values,
)
from edgeinfer.precision.ptq.streamed import refinable_samples
from edgeinfer.precision.ptq.weights import plain
from edgeinfer.precision.search.objective import objective_on
from quantization.recipe import Recipe

MOST_SAMPLES = 2048

Score = Callable[[Tensors], float]  # of the network's ends, before what the host applies


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One tensor's or kernel's share of the loss, everything else being exact."""

    name: str
    format: str
    error: float  # mean squared error of the outputs in units of their usual spread, squared
    decision_flips: float  # share of samples that are decided otherwise
    score_drop: float | None = None  # None: no labels


def sensitivity_table(quantized: QuantizedGraph, samples: Samples) -> tuple[Sensitivity, ...]:
    """What each format of a quantized network costs by itself, worst first; in the task's own
    figure where there are labels."""
    formatted = [name for name, _ in quantized.recipe.activations]
    network = divide_network(quantized.exact, formatted)
    few = samples.part(0, MOST_SAMPLES).spread(max(1, min(refinable_samples(network))))
    network = network.on(few.inputs)
    score = objective_on(quantized.exact, few).of_ends if few.labels else None
    return sensitivities(network, quantized.recipe, score)


def sensitivities(
    network: CutNetwork, recipe: Recipe, score: Score | None = None
) -> tuple[Sensitivity, ...]:
    """Each tensor and each weight that the recipe names, worst first."""
    whole = {end: network.exact[end] for end in network.ends}
    best = score(whole) if score else None
    results = []
    for tensor in network.tensors:
        quantizer = recipe.activation(tensor)
        if quantizer is None:
            continue
        point = network.point(tensor)
        outputs = network.outputs_after({point: round_values(network.exact[point], quantizer)})
        results.append(_sensitivity(network, tensor, str(quantizer), outputs, score, best))
    for key, values in network.graph.weights():
        fmt = recipe.weight(key)
        if fmt is not None:
            outputs = network.outputs_after({}, weights={key: plain(values, fmt)})
            results.append(_sensitivity(network, key, str(fmt), outputs, score, best))
    order = sorted(results, key=lambda row: (-(row.score_drop or 0.0), -row.error))
    return tuple(order)


def _sensitivity(
    network: CutNetwork,
    name: str,
    fmt: str,
    outputs: Tensors,
    score: Score | None,
    best: float | None,
) -> Sensitivity:
    drop = best - score(outputs) if score is not None and best is not None else None
    return Sensitivity(name, fmt, network.error(outputs), flips(network, outputs), drop)


def flips(network: CutNetwork, outputs: Tensors) -> float:
    """Share of samples for which any output is decided otherwise than by the float network."""
    changed = [
        decide_class(network.exact[end]) != decide_class(outputs[end]) for end in network.ends
    ]
    if not changed:
        return 0.0
    whole = np.concatenate([part.reshape(len(part), -1) for part in changed], axis=1)
    return float(whole.any(axis=1).mean())


def decide_class(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of the highest score; of one score, its sign."""
    if values.ndim > 1 and values.shape[-1] > 1:
        return np.asarray(values.argmax(axis=-1))
    return np.asarray(values > 0, dtype=np.int64)
