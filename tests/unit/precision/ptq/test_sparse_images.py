# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats of networks that compute at lit pixels: the pixels between them say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.ptq.adapt import Effort, adapt_weights
from edgeinfer.precision.ptq.network import cut, usual_spread
from edgeinfer.precision.ptq.points import quantized_tensors
from edgeinfer.precision.ptq.shown import places_shown

SIDE, CHANNELS, CLASSES = 8, 4, 3
NONE = ((0, 0), (0, 0))
WINDOW = ((1, 1), (1, 1))


def labels(side: int) -> g.Graph:
    """A network that labels each lit pixel."""
    rng = np.random.default_rng(3)
    nodes = (
        g.InputNode("image", (side, side, 1)),
        g.SitesNode("lit", "image", 0.0),
        g.ConvNode(
            "window", "window", "image", rng.normal(0.3, 0.4, (3, 3, 1, CHANNELS)),
            rng.normal(size=CHANNELS), (1, 1), WINDOW, (1, 1),
        ),
        g.MergeNode("window_at_sites", ("window", "lit"), g.MergeKind.MULTIPLY),
        g.ActivationNode("relu", "window_at_sites", g.Function.RELU),
        g.ConvNode(
            "logits", "logits", "relu", rng.normal(size=(1, 1, CHANNELS, CLASSES)),
            rng.normal(size=CLASSES), (1, 1), NONE, (1, 1),
        ),
        g.MergeNode("logits_at_sites", ("logits", "lit"), g.MergeKind.MULTIPLY),
        g.SoftmaxNode("label", "logits_at_sites", 2),
    )  # fmt: skip
    return g.Graph("labels", nodes, ("label",))


def pixels(samples: int = 120, lit: float = 0.6) -> np.ndarray:
    """Planes of SIDE x SIDE, of which a few pixels are far brighter than most."""
    rng = np.random.default_rng(4)
    bright = rng.gamma(0.7, 1.0, (samples, SIDE, SIDE, 1)) + 0.1
    return (bright * (rng.random(bright.shape) < lit)).astype(np.float32)


def framed(planes: np.ndarray, side: int) -> np.ndarray:
    """The same planes amid a larger frame, where nothing is lit."""
    margin = side - planes.shape[1]
    return np.pad(planes, ((0, 0), (1, margin - 1), (1, margin - 1), (0, 0)))


@pytest.mark.parametrize("side", [2 * SIDE, 8 * SIDE])
def test_unlit_pixels_around_an_image_leave_the_error_per_lit_pixel_as_it_is(side: int) -> None:
    planes = pixels()
    errors = []
    for frame in (framed(planes, SIDE + 2), framed(planes, side)):
        graph = labels(frame.shape[1])
        network = cut(graph, quantized_tensors(graph), {"image": frame})
        changed = np.minimum(network.exact["image"], 1.5)  # as a format that is too narrow does
        error = network.error(network.outputs_after({"image": changed}))
        errors.append(error * frame[0].size)
    assert errors[1] == pytest.approx(errors[0], rel=0.02)


@pytest.mark.parametrize("samples", [9, 30, 60])
def test_the_spread_is_that_of_lit_pixels_for_any_number_of_planes(samples: int) -> None:
    planes = pixels(lit=0.12)
    graph = labels(SIDE)
    network = cut(graph, quantized_tensors(graph), {"image": planes})
    (end,) = network.ends
    exact = network.exact[end]
    lit = exact[exact.any(axis=-1)]
    low, high = np.quantile(lit - lit.mean(axis=-1, keepdims=True), (0.16, 0.84), axis=0)
    expected = float(np.mean(high - low)) / 2
    assert usual_spread(exact[:samples], scores=True) == pytest.approx(expected, rel=0.5)


def test_what_moves_all_scores_of_a_pixel_alike_is_no_error() -> None:
    frame = framed(pixels(), 2 * SIDE)
    graph = labels(2 * SIDE)
    network = cut(graph, quantized_tensors(graph), {"image": frame})
    (end,) = network.ends
    lit = frame > 0.0
    assert network.error({end: network.exact[end] + 5.0 * lit}) == pytest.approx(0.0, abs=1e-9)
    moved = network.exact[end] + np.array([5.0, 0.0, 0.0], np.float32) * lit
    assert network.error({end: moved}) > 0.01


def test_a_corrected_bias_keeps_the_mean_of_lit_pixels() -> None:
    graph, inputs = labels(SIDE), {"image": pixels(400, lit=0.3)}
    network = cut(graph, quantized_tensors(graph), inputs)
    (end,) = network.ends
    lit = inputs["image"][..., 0] > 0.0
    recipe = quantize(graph, inputs, PtqSettings(5)).recipe
    away = {}
    for effort in (Effort.NEAREST, Effort.BIAS):
        weights = adapt_weights(network, recipe, effort).weights
        ends = network.rounded_outputs(dict(recipe.activations), weights)
        away[effort] = np.abs((ends[end] - network.exact[end])[lit].mean(axis=0)).max()
    assert away[Effort.BIAS] < 0.1 * away[Effort.NEAREST]


def test_a_layer_whose_channels_become_pixels_is_seen_where_one_of_these_is_lit() -> None:
    rng = np.random.default_rng(5)
    half = SIDE // 2
    nodes = (
        g.InputNode("image", (SIDE, SIDE, 1)),
        g.SitesNode("lit", "image", 0.0),
        g.ConvNode("down", "down", "image", rng.normal(size=(2, 2, 1, 3)), None, (2, 2), NONE,
                   (1, 1)),
        g.ConvNode("up", "up", "down", rng.normal(size=(1, 1, 3, 8)), None, (1, 1), NONE, (1, 1)),
        g.ReshapeNode("apart", "up", (half, half, 2, 2, 2)),
        g.TransposeNode("turned", "apart", (0, 2, 1, 3, 4)),
        g.ReshapeNode("fine", "turned", (SIDE, SIDE, 2)),
        g.MergeNode("fine_at_sites", ("fine", "lit"), g.MergeKind.MULTIPLY),
    )  # fmt: skip
    graph = g.Graph("up", nodes, ("fine_at_sites",))
    planes = pixels(20, lit=0.1)
    coarse = planes.reshape(20, half, 2, half, 2).any(axis=(2, 4))
    shown = places_shown(graph, "up")
    assert shown is not None
    assert np.array_equal(shown.lit(planes > 0.0), coarse.reshape(20, -1))
    assert places_shown(graph, "down") is None, "all places of it are read"
