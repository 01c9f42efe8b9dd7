# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training that goes on from a network whose formats are stated, because it was trained for them.

Such a network relies on where its formats cut off: without them it is another one, whose outputs
may be far beyond any that matter to a decision. So formats of the width that is asked for stay as
they are, and the others are moved, one after the other, to where the integer network scores best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.ptq.points import points_of
from edgeinfer.precision.qat.train import Judge
from quantization.fixed import Fixed, Quantizer
from quantization.recipe import Recipe, WeightFormat

KERNEL = "/kernel"


def states_all_formats(graph: g.Graph, stated: Recipe, settings: PtqSettings) -> bool:
    """Whether a recipe leaves no tensor and no kernel open, and divides kernels as is asked for."""
    if settings.input_bits is not None or any(isinstance(n, g.ScanNode) for n in graph.nodes):
        return False
    kernels = [stated.weight(key) for key, _ in graph.weights() if key.endswith(KERNEL)]
    if not kernels or any(fmt is None for fmt in kernels):
        return False
    if settings.per_channel and not any(fmt.per_channel for fmt in kernels if fmt):
        return False
    return all(
        stated.activation(tensor) is not None or _is_formatted_behind(graph, tensor, stated)
        for tensor in points_of(graph)
    )


def _is_formatted_behind(graph: g.Graph, tensor: str, stated: Recipe) -> bool:
    """Whether all that reads an input brings it into a format first, as in QKeras' files."""
    readers = [node for node in graph.nodes if tensor in g.inputs_of(node)]
    return isinstance(graph.node(tensor), g.InputNode) and all(
        isinstance(node, g.ActivationNode) and stated.activation(node.name) for node in readers
    )


def change_widths(graph: g.Graph, stated: Recipe, settings: PtqSettings, judge: Judge) -> Recipe:
    """A stated recipe with the widths that are asked for."""
    recipe = stated
    for name in [node.name for node in graph.nodes]:
        quantizer = stated.activation(name)
        bits = settings.width_of(name)
        if quantizer is not None and quantizer.type.bits != bits:
            choices = [Recipe.of({name: one}) for one in _places(quantizer, bits)]
            recipe = _best(graph, recipe, choices, judge)
    for key, fmt in stated.weights:
        layer = key.removesuffix(KERNEL)
        if layer == key or fmt.bits == (bits := settings.width_of(layer)):
            continue
        of_channels = zip(*(_places(one, bits) for one in fmt.quantizers), strict=False)
        choices = [Recipe.of({}, {key: WeightFormat.of(*ones)}) for ones in of_channels]
        recipe = _best(graph, recipe, choices, judge)
    return recipe


def _places(quantizer: Quantizer, bits: int) -> Iterator[Quantizer]:
    """The format in another width: with its range, and with less of it down to its own grid."""
    type_ = quantizer.type
    for less in range(max(type_.bits - bits, 0) + 1):
        yield replace(quantizer, type=Fixed(type_.signed, bits, type_.integer - less))


def _best(graph: g.Graph, recipe: Recipe, choices: list[Recipe], judge: Judge) -> Recipe:
    """The recipe with the change that scores best; of equals the first."""
    changed = [recipe.updated(choice) for choice in choices]
    return changed[0] if len(changed) == 1 else max(changed, key=lambda one: judge(graph, one))
