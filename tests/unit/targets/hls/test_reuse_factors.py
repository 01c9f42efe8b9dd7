# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reuse factors reach hls4ml as values that it takes, for pointwise and dilated windows too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType, Strategy
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

INPUT = Quantizer.parse("fixed<6,3>")
WEIGHTS = WeightFormat.of(Quantizer.parse("fixed<5,2>"))


def pointwise(outputs: int) -> Program:
    """A 1x1 convolution behind a dilated one."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 3, 2, 3)), rng.normal(size=(1, 1, 3, outputs))
    none, no_pads = (1, 1), ((0, 0), (0, 0))
    nodes = (
        g.InputNode("x", (7, 7, 2)),
        g.ConvNode("a", "a", "x", first, None, none, no_pads, (2, 2)),
        g.ConvNode("y", "y", "a", second, None, none, no_pads, none),
    )
    recipe = Recipe.of({"x": INPUT, "a": INPUT}, {"a/kernel": WEIGHTS, "y/kernel": WEIGHTS})
    return lower(g.Graph("net", nodes, ("y",)), recipe).program


@pytest.mark.parametrize("io", list(IoType))
@pytest.mark.parametrize("reuse", [2, 4, 5])
def test_no_kernel_is_named_that_hls4ml_does_not_have(reuse: int, io: IoType) -> None:
    settings = HlsSettings(io=io, strategy=Strategy.RESOURCE, reuse=reuse)
    files = HlsTarget().emit(pointwise(5), settings).files
    text = files["firmware/parameters.h"].decode()
    assert "DenseResource_rf_gt_nin<" not in text
    for inputs, outputs, taken in re.findall(
        r"n_in = (\d+);\s+static const unsigned n_out = (\d+);\s+"
        r"static const unsigned reuse_factor = (\d+)",
        text,
    ):
        assert int(inputs) * int(outputs) % int(taken) == 0
        assert int(taken) <= int(inputs) or int(taken) % int(inputs) == 0


@pytest.mark.slow
@pytest.mark.parametrize("reuse", [2, 4])
def test_quartus_simulates_a_folded_pointwise_convolution(tmp_path: Path, reuse: int) -> None:
    program, target = pointwise(2), HlsTarget()
    settings = HlsSettings(backend=Backend.QUARTUS, io=IoType.PARALLEL, reuse=reuse)
    target.emit(program, settings).write(tmp_path)
    raw = {"x": np.random.default_rng(1).integers(-32, 32, (4, 7, 7, 2))}
    actual = target.simulate(program, tmp_path, raw, settings)
    np.testing.assert_array_equal(actual["y"], interpret(program, raw)["y"])
