# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training goes on from the formats that a network states: kept, or moved to where it scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.qat.fine_tune import Tutor
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.qat.stated import change_widths, states_all_formats
from edgeinfer.precision.search.objective import objective_on
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
CHOOSE = bars(600, seed=2)
SIX = quantize(GRAPH, CHOOSE.inputs, PtqSettings(6))


def score(graph: g.Graph, recipe: Recipe) -> float:
    lowered = lower(graph, recipe)
    return objective_on(GRAPH, CHOOSE).of_program(lowered.program, lowered.recipe)


def refuse_to_judge(graph: g.Graph, recipe: Recipe) -> float:
    raise AssertionError("there is nothing to choose")


def test_formats_of_the_width_that_is_asked_for_stay() -> None:
    assert states_all_formats(SIX.graph, SIX.recipe, PtqSettings(6))
    assert change_widths(SIX.graph, SIX.recipe, PtqSettings(6), refuse_to_judge) == SIX.recipe


def test_a_wider_format_keeps_its_range() -> None:
    wider = change_widths(
        SIX.graph, SIX.recipe, PtqSettings(6, bits_of=(("image", 8), ("wide", 9))), refuse_to_judge
    )
    before, after = SIX.recipe.activation("image"), wider.activation("image")
    assert before is not None and after is not None
    assert (after.type.bits, after.type.integer) == (8, before.type.integer)
    kernel, old = wider.weight("wide/kernel"), SIX.recipe.weight("wide/kernel")
    assert kernel is not None and old is not None
    assert (kernel.bits, kernel.frac) == (9, old.frac + 3)


@pytest.mark.parametrize("integer", [2, 6])
def test_a_narrower_format_goes_to_where_the_network_scores(integer: int) -> None:
    """Activations reach about 4: of a range of 64 the upper bits hold nothing, of 4 all do."""
    stated = Quantizer.parse(f"ufixed<8,{integer},RND_CONV,SAT>")
    wide = SIX.recipe.updated(Recipe.of({"relu": stated}))
    recipe = change_widths(SIX.graph, wide, PtqSettings(6, bits_of=(("relu", 4),)), score)
    places = range(integer - 4, integer + 1)
    others = [replace(stated, type=replace(stated.type, bits=4, integer=i)) for i in places]
    scores = [score(SIX.graph, wide.updated(Recipe.of({"relu": other}))) for other in others]
    assert recipe.activation("relu") in others
    assert score(SIX.graph, recipe) == max(scores) > min(scores)


def test_channels_move_together() -> None:
    key = "conv/kernel"
    old = SIX.recipe.weight(key)
    assert old is not None
    channels = WeightFormat.of(*[old.quantizers[0]] * 8)
    stated = SIX.recipe.updated(Recipe.of({}, {key: channels}))
    recipe = change_widths(SIX.graph, stated, PtqSettings(6, bits_of=(("conv", 4),)), score)
    fmt = recipe.weight(key)
    assert fmt is not None and fmt.per_channel and {q.type.bits for q in fmt.quantizers} == {4}


def test_a_recipe_that_leaves_something_open_is_not_gone_on_from() -> None:
    kept = {name: fmt for name, fmt in SIX.recipe.activations if name != "relu"}
    partial = Recipe.of(kept, dict(SIX.recipe.weights))
    assert not states_all_formats(SIX.graph, partial, PtqSettings(6))
    assert not states_all_formats(GRAPH, Recipe(), PtqSettings(6))
    assert not states_all_formats(SIX.graph, SIX.recipe, PtqSettings(6, per_channel=True))


def test_training_goes_on_from_a_network_that_its_formats_cut_off() -> None:
    """In a few pictures something is 3,000 times as bright as a bar, beyond the input's format.
    Without it, the logits of these are all that calibration sees."""
    x, labels = CHOOSE.inputs["image"].copy(), CHOOSE.labels
    rng = np.random.default_rng(5)
    bright = rng.random(len(x)) < 0.3
    x[bright, :2, :2] = 3000.0
    samples = Samples({"image": x}, "bright pictures", labels)
    tutor = Tutor.of(GRAPH, samples, samples, QatSettings(epochs=1))
    stated = SIX.graph, SIX.recipe
    chosen = quantize(SIX.graph, samples.inputs, PtqSettings(6))
    start = tutor.begin((chosen.graph, chosen.recipe), stated, PtqSettings(6))
    assert start[1] == SIX.recipe
    kept, calibrated = lower(*start), lower(chosen.graph, chosen.recipe)
    judge = tutor.objective.of_program
    assert judge(kept.program, kept.recipe) > 0.02 + judge(calibrated.program, calibrated.recipe)
