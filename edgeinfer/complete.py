# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats that a recipe leaves open, filled in by stated rules, each with a finding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeinfer.graph import (
    Activation,
    Affine,
    BatchNorm,
    Floats,
    Function,
    Graph,
    inputs_of,
    weights_of,
)
from quantization.calibrate import fitted, fitted_channels
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

INPUT = Quantizer(Fixed(True, 16, 6), Rounding.RND_CONV, Overflow.SAT)
BITS = 24  # as many as a float32 mantissa has


@dataclass(frozen=True, slots=True)
class Completed:
    """A recipe that names every input and every weight, and what was added."""

    recipe: Recipe
    findings: tuple[str, ...]


def completed(graph: Graph, recipe: Recipe) -> Completed:
    """The recipe with a format for each input and weight that it left open.

    An input takes the format to which all that read it round it first, else fixed<16,6>; kernels,
    biases and other constants get 24 bits, as many as a float32 has, placed to fit their largest
    value (for each channel of a batch norm).
    """
    findings: list[str] = []
    activations: dict[str, Quantizer] = {}
    for node in graph.inputs:
        if recipe.activation(node.name) is None:
            found = first_rounding(graph, recipe, node.name)
            activations[node.name] = found or INPUT
            why = ", to which it is rounded first" if found else ""
            findings.append(
                f"{node.name}: the input has no format; taken as {activations[node.name]}{why}."
            )
    weights: dict[str, WeightFormat] = {}
    for node in graph.nodes:
        per_channel = isinstance(node, BatchNorm | Affine)
        for key, values in weights_of(node).items():
            if recipe.weight(key) is None and key not in weights:
                weights[key] = open_format(values, per_channel)
                if not (per_channel or _held(values, weights[key])):
                    findings.append(
                        f"{key} has no format; rounded to {weights[key]}, "
                        f"by at most {_error(values, weights[key]):.2g}."
                    )
    return Completed(recipe.updated(Recipe.of(activations, weights)), tuple(findings))


def first_rounding(graph: Graph, recipe: Recipe, tensor: str) -> Quantizer | None:
    """The one quantizer through which everything that reads a tensor sees it, if there is one."""
    seen = {
        recipe.activation(node.name)
        if isinstance(node, Activation) and node.function is Function.LINEAR
        else None
        for node in graph.nodes
        if tensor in inputs_of(node)
    }
    return seen.pop() if len(seen) == 1 and tensor not in graph.outputs else None


def open_format(values: Floats, per_channel: bool) -> WeightFormat:
    """24 bits, placed to fit."""
    if per_channel and values.ndim and values.shape[-1] > 1:
        return fitted_channels(values, BITS)
    return WeightFormat.of(fitted(values, BITS))


def _error(values: Floats, fmt: WeightFormat) -> float:
    return float(np.abs(np.ldexp(fmt.raw(values).astype(np.float64), -fmt.frac) - values).max())


def _held(values: Floats, fmt: WeightFormat) -> bool:
    return _error(values, fmt) == 0.0
