# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats that a recipe leaves open, filled in by stated rules, each with a finding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeinfer.graph import nodes as g
from quantization.calibrate import fit_quantizer, fitted_channels
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, fixed_of_range
from quantization.recipe import Recipe, WeightFormat

INPUT = Quantizer(Fixed(True, 16, 6), Rounding.RND_CONV, Overflow.SAT)
STATE = Quantizer(Fixed(True, 24, 6), Rounding.RND_CONV, Overflow.SAT)
BITS = 24  # as many as a float32 mantissa has
FINER = 6  # bits of an input below the step to which a scaled quantizer rounds it
PIECEWISE_LINEAR = frozenset(
    {
        g.Function.LINEAR,
        g.Function.RELU,
        g.Function.RELU6,
        g.Function.LEAKY_RELU,
        g.Function.HARD_TANH,
        g.Function.SIGN,
        g.Function.TERNARY,
    }
)


@dataclass(frozen=True, slots=True)
class CompletedRecipe:
    """A recipe that names every input and every weight, and what was added."""

    recipe: Recipe
    findings: tuple[str, ...]


def complete_recipe(graph: g.Graph, recipe: Recipe) -> CompletedRecipe:
    """The recipe with a format for each input and weight that it left open.

    An index takes whole numbers that mean every entry, and some beside them that mean none; a mask
    takes 0 and 1. Any other input takes the format to which all that read it round it first (or one
    that divides that format's steps, where a scale lies between), else fixed<16,6>; so does a
    function that no integer holds exactly, or it would be rounded twice. Kernels, biases and other
    constants get 24 bits, as many as a float32 has, placed to fit their largest value (for each
    channel of a batch norm). A state of a recurrence takes the format of what becomes it, and so
    does the input that holds it between samples.
    """
    findings: list[str] = []
    activations: dict[str, Quantizer] = {}
    whole = g.whole_inputs(graph)
    for input_node in graph.inputs:
        if recipe.activation(input_node.name) is not None or input_node.output_before is not None:
            continue
        if input_node.name in whole:
            activations[input_node.name] = Quantizer(
                fixed_of_range(*whole[input_node.name], 0), Rounding.TRN, Overflow.SAT
            )
        else:
            activations[input_node.name], why = input_format(graph, recipe, input_node.name)
            findings.append(
                f"{input_node.name}: the input has no format; taken as "
                f"{activations[input_node.name]}{why}."
            )
    for network in _networks(graph):
        for node in network.nodes:
            if _is_curve(node) and recipe.activation(node.name) is None:
                rounding = first_rounding(network, recipe, node.name)
                if rounding is not None:
                    activations[node.name] = rounding
            if isinstance(node, g.ScanNode):
                _complete_states(node, recipe, activations, findings)
    for outer, inner in state_ports(graph):
        if recipe.activation(outer) is None:
            rounding = recipe.activation(inner) or activations.get(inner)
            activations[outer] = rounding or STATE
    weights: dict[str, WeightFormat] = {}
    for node in graph.all_nodes():
        if isinstance(node, g.ScanNode):
            continue  # the weights are those of its body's nodes
        per_channel = isinstance(node, g.BatchNormNode | g.AffineNode)
        for key, values in g.weights_of(node).items():
            if recipe.weight(key) is None and key not in weights:
                weights[key] = open_format(values, per_channel)
                if not (per_channel or _error(values, weights[key]) == 0.0):
                    findings.append(
                        f"{key} has no format; rounded to {weights[key]}, "
                        f"by at most {_error(values, weights[key]):.2g}."
                    )
    return CompletedRecipe(recipe.updated(Recipe.of(activations, weights)), tuple(findings))


def state_ports(graph: g.Graph) -> Iterator[tuple[str, str]]:
    """Inputs that go from sample to sample, and the states of recurrences that begin as they are:
    both have one format, so that nothing is rounded between two samples."""
    for node in graph.nodes:
        if isinstance(node, g.ScanNode):
            for start, state in zip(node.starts, node.states, strict=True):
                if start in graph.states:
                    yield start, state.name


def _networks(graph: g.Graph) -> Iterator[g.Graph]:
    """A graph and the bodies of all recurrences in it."""
    yield graph
    for node in graph.nodes:
        if isinstance(node, g.ScanNode):
            yield from _networks(node.body)


def _complete_states(
    node: g.ScanNode, recipe: Recipe, activations: dict[str, Quantizer], findings: list[str]
) -> None:
    """A state has one format in every step. What becomes the state is brought to it at once, and
    whatever else reads that sees it so, unless the recipe gives it a format of its own."""
    for state, after in zip(node.states, node.body.outputs[1:], strict=True):
        state_format = recipe.activation(state.name)
        if state_format is None:
            state_format = recipe.activation(after) or activations.get(after) or STATE
            activations[state.name] = state_format
            if state_format is STATE:
                findings.append(f"{state.name}: the state has no format; taken as {state_format}.")
        own = isinstance(node.body.node(after), g.InputNode) or recipe.activation(after)
        if not own:
            activations.setdefault(after, state_format)


def _is_curve(node: g.Node) -> bool:
    """Whether a node's values lie on no grid until they are rounded."""
    if isinstance(node, g.ActivationNode):
        return node.function not in PIECEWISE_LINEAR
    return isinstance(node, g.SoftmaxNode)


def first_rounding(graph: g.Graph, recipe: Recipe, tensor: str) -> Quantizer | None:
    """The one quantizer through which everything that reads a tensor sees it, if there is one."""
    formats = {
        recipe.activation(node.name)
        if isinstance(node, g.ActivationNode) and node.function is g.Function.LINEAR
        else None
        for node in graph.nodes
        if tensor in g.inputs_of(node)
    }
    return formats.pop() if len(formats) == 1 and tensor not in graph.outputs else None


def input_format(graph: g.Graph, recipe: Recipe, tensor: str) -> tuple[Quantizer, str]:
    """What an input without a format of its own is taken as, and why."""
    rounded = first_rounding(graph, recipe, tensor)
    if rounded is not None:
        return rounded, ", to which it is rounded first"
    spanned = scaled_rounding(graph, recipe, tensor)
    if spanned is not None:
        return spanned, f", {1 << FINER} times finer than the steps to which it is rounded first"
    return INPUT, ""


def scaled_rounding(graph: g.Graph, recipe: Recipe, tensor: str) -> Quantizer | None:
    """A format that spans the range of the quantizers which see the tensor through a scale that is
    no power of two, and divides their steps finely."""
    lows: list[float] = []
    highs: list[float] = []
    steps: list[float] = []
    for node in graph.nodes:
        if tensor not in g.inputs_of(node):
            continue
        if not isinstance(node, g.AffineNode) or not (node.scale.size == node.shift.size == 1):
            return None
        rounded = first_rounding(graph, recipe, node.name)
        scale, shift = node.scale.item(), node.shift.item()
        if rounded is None or scale == 0:
            return None
        ends = sorted((end - shift) / scale for end in (rounded.type.min, rounded.type.max))
        lows.append(ends[0])
        highs.append(ends[1])
        steps.append(abs(rounded.type.lsb / scale))
    if not steps or tensor in graph.outputs:
        return None
    frac = math.ceil(-math.log2(min(steps))) + FINER
    low, high = math.floor(math.ldexp(min(lows), frac)), math.ceil(math.ldexp(max(highs), frac))
    type_ = fixed_of_range(min(low, 0), max(high, 0), frac)
    return Quantizer(type_) if type_.bits <= BITS else None


def open_format(values: g.Floats, per_channel: bool) -> WeightFormat:
    """24 bits, placed to fit."""
    if per_channel and values.ndim and values.shape[-1] > 1:
        return fitted_channels(values, BITS)
    return WeightFormat.of(fit_quantizer(values, BITS))


def _error(values: g.Floats, fmt: WeightFormat) -> float:
    return float(np.abs(np.ldexp(fmt.raw(values).astype(np.float64), -fmt.frac) - values).max())
