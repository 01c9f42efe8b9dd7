# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats for a model that states none, compiled without a recipe: wide, drawn from data, said."""

from __future__ import annotations

from dataclasses import replace

from edgeinfer.data import samples
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import affordable
from edgeinfer.evaluate.streams import follow_states
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.ptq import quantize as choose
from edgeinfer.readers import LoadedModel
from quantization.recipe import Recipe

BITS = 16  # of a float model that is compiled as it is
DRAWN = 256  # samples where no data are given, or fewer where the inputs are large


def draw_samples_for(loaded: LoadedModel, full_recipe: Recipe) -> Samples:
    """Inputs of the type that the model, the recipe, or else the house rule states."""
    graph = loaded.graph
    named = {node.name for node in graph.inputs}
    stated = [item for item in full_recipe.activations if item[0] in named]
    recipe = complete_recipe(graph, loaded.recipe.updated(Recipe(tuple(stated)))).recipe
    formats = dict(recipe.activations)
    types = {
        node.name: (node.shape, formats[node.name].type)
        for node in graph.inputs
        if node.name not in graph.states
    }
    count = min(DRAWN, affordable(node.shape for node in graph.inputs))
    return follow_states(graph, samples.draw_samples(types, count))


def plain(bits: int) -> PtqSettings:
    """One width for every tensor, placed by the values alone."""
    return PtqSettings(bits, refine=False, equalize=False)


def add_formats(
    loaded: LoadedModel, settings: PtqSettings, drawn_samples: Samples, *, drawn: bool = False
) -> LoadedModel:
    """The model with formats that these settings give it, and a finding that says so. Samples that
    were `drawn` here say nothing about the network, such as which channels are never used."""
    chosen = choose(loaded.graph, drawn_samples.inputs, settings)
    widths = f"{settings.bits} bits were taken for every tensor"
    if settings.bits_of:
        listed = ", ".join(f"{pattern} {bits}" for pattern, bits in settings.bits_of)
        widths += f" (but {listed})"
    if settings.rounding is not None:
        widths += f" and activations rounded by {settings.rounding}"
    finding = (
        f"{loaded.graph.name} states no number formats: {widths}, "
        f"their ranges drawn from {drawn_samples.origin}. Choose them with edgeinfer quantize."
    )
    findings = (*loaded.findings, finding, *(() if drawn else chosen.findings))
    return replace(loaded, graph=chosen.graph, recipe=chosen.recipe, findings=findings)
