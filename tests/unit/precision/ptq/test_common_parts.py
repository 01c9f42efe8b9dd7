# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats of what moves all scores of a sample alike, which no decision shows."""

from __future__ import annotations

import numpy as np

from edgeinfer.data.samples import Samples
from edgeinfer.graph.nodes import (
    ActivationNode,
    Function,
    Graph,
    InputNode,
    MergeKind,
    MergeNode,
    PoolNode,
    PoolNodeKind,
    ReshapeNode,
)
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.run.defaults import add_formats
from quantization.recipe import Recipe


def test_what_is_taken_from_all_scores_keeps_its_range() -> None:
    window, none = (1, 8), ((0, 0), (0, 0))
    nodes = (
        InputNode("x", (1, 8, 1)),
        PoolNode("top", "x", PoolNodeKind.MAX, window, (1, 1), none),
        MergeNode("below", ("x", "top"), MergeKind.SUBTRACT),
        ActivationNode("powers", "below", Function.EXPONENTIAL),
        PoolNode("total", "powers", PoolNodeKind.SUM, window, (1, 1), none),
        ActivationNode("log", "total", Function.LOG),
        MergeNode("rest", ("below", "log"), MergeKind.SUBTRACT),
        ReshapeNode("y", "rest", (8,)),
    )
    x = np.random.default_rng(0).normal(0, 1.5, (24, 1, 8, 1))
    largest = np.log(np.exp(x - x.max(axis=2, keepdims=True)).sum(axis=2)).max()
    loaded = LoadedModel(Graph("scores", nodes, ("y",)), Recipe(), ())
    recipe = add_formats(loaded, PtqSettings(16), Samples({"x": x}, "drawn")).recipe
    format_ = recipe.activation("log")
    assert format_ is not None
    assert format_.type.raw_max * 2.0**-format_.type.frac >= largest
