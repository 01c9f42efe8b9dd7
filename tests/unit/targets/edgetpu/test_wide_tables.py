# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions of wide sums on int8 levels, and what is said where decisions change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.graph import nodes as g
from edgeinfer.ir import ops
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat


def curved(x: str, y: str) -> LoweredModel:
    """Two layers with tanh between them, which reads a sum as wide as it comes."""
    rng = np.random.default_rng(5)
    first, second = rng.normal(0, 0.5, (8, 6)), rng.normal(0, 0.5, (6, 3))
    layers = (
        g.DenseNode("hidden", "hidden", "x", first, None),
        g.ActivationNode("curve", "hidden", g.Function.TANH),
        g.DenseNode("y", "y", "curve", second, None),
    )
    graph = g.Graph("net", (g.InputNode("x", (8,)), *layers), ("y",))
    kernel = WeightFormat.of(Quantizer.parse("fixed<8,1>"))
    formats = {"x": Quantizer.parse(x), "curve": Quantizer.parse(y)}
    return lower(graph, Recipe.of(formats, {"hidden/kernel": kernel, "y/kernel": kernel}))


@pytest.mark.parametrize(("x", "tables"), [("fixed<8,3>", 1), ("fixed<14,3>", 2)])
def test_a_table_of_a_wide_sum_is_the_chips_own_function(x: str, tables: int) -> None:
    lowered = curved(x, "fixed<8,1>")
    result = [op for op in lowered.program.ops if isinstance(op, ops.Table)]
    assert len(result) == tables
    assert convert.check(lowered.program) == ()
    names = [op.name for op in convert.convert_program(lowered.program).model.operators]
    assert names.count("TANH") == 1


def test_decisions_that_change_are_a_finding_and_not_a_figure_alone(tmp_path: Path) -> None:
    """A file that was made from other formats stands for one that int8 changes."""
    target, settings = EdgeTpuTarget(), EdgeTpuSettings()
    coarse, fine = (curved("fixed<8,3>", y) for y in ("fixed<1,1>", "fixed<8,1>"))
    raw = {"x": np.random.default_rng(1).integers(-128, 128, (200, 8))}
    target.emit_from(fine.program, fine.graph, raw, settings).plan.write(tmp_path)

    def said(lowered: LoweredModel) -> list[str]:
        judged = target.judge(lowered.program, lowered.graph, tmp_path, raw, settings)
        return [each for each in judged.findings if "decides" in each]

    assert len(said(coarse)) == 1 and "of 200 samples" in said(coarse)[0]
    assert not said(fine)
