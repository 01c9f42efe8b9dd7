# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A softmax with a mask: what it leaves out has no share, and no format has to hold how little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.explain import explain
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support import float_graph
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_session import cache_of_the_session

__all__ = ["cache_of_the_session"]

RNG = np.random.default_rng(1)
CAUSAL = g.ConstantNode("m", np.tri(5))
GIVEN = g.InputNode("m", (1, 5, 5))
KEPT = (RNG.random((40, 1, 5, 5)) > 0.4).astype(float)  # some rows keep nothing


def attention(mask: g.InputNode | g.ConstantNode) -> g.Graph:
    """The shares that a mask leaves, weighed."""
    softmax = g.SoftmaxNode("p", "x", -1, "m")
    dense = g.DenseNode("y", "y", "p", np.random.default_rng(2).normal(size=(5, 3)), None)
    return g.Graph("masked", (g.InputNode("x", (2, 5, 5)), mask, softmax, dense), ("y",))


def data(graph: g.Graph) -> dict[str, np.ndarray]:
    x = {"x": np.random.default_rng(3).normal(0, 2, (40, 2, 5, 5))}
    return x | ({"m": KEPT} if len(graph.inputs) == 2 else {})


@pytest.mark.parametrize("mask", [CAUSAL, GIVEN])
def test_what_is_left_out_has_no_share(mask: g.InputNode | g.ConstantNode) -> None:
    graph = attention(mask)
    inputs = data(graph)
    expected = float_graph.evaluate(graph, inputs)
    results = FloatEngine(graph).run(inputs, ("p",))
    np.testing.assert_allclose(results["p"], expected["p"], atol=1e-6)
    chosen = quantize(graph, inputs, PtqSettings(8))
    assert chosen.recipe.activation("x").type.max < 16.0
    model = lower(chosen.graph, chosen.recipe)
    assert explain(model, graph, Samples(inputs, "drawn")).findings == ()
    raw = {
        op.name: np.clip(
            np.rint(np.ldexp(inputs[op.name], op.type.frac)), op.type.raw_min, op.type.raw_max
        ).astype(np.int64)
        for op in model.program.inputs
    }
    values = interpret(model.program, raw)
    shares, type_ = values["p"], model.program.type("p")
    kept = np.broadcast_to(CAUSAL.value if mask is CAUSAL else KEPT, shares.shape) > 0
    empty = ~kept.any(axis=-1, keepdims=True) & np.ones_like(kept)
    assert (shares[~kept & ~empty] == 0).all()
    assert len(set(shares[empty].tolist())) <= 1
    assert np.abs(np.ldexp(shares.astype(float), -type_.frac) - expected["p"]).max() < 0.05
    results = Engine(model.program, threads=1).run(raw)["y"]
    np.testing.assert_array_equal(results, values[model.program.outputs[0].value])


def test_a_mask_of_an_input_is_one_bit_wide() -> None:
    graph = attention(GIVEN)
    program = lower(graph, Recipe.of({"x": Quantizer.parse("fixed<6,3>")})).program
    assert program.type("m").bits == 1


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("target", [HlsTarget(), RtlTarget()])
def test_every_stage_has_the_same_shares(target: HlsTarget | RtlTarget, tmp_path: Path) -> None:
    graph = attention(GIVEN)
    formats = {"x": "fixed<6,3>", "p": "ufixed<8,0>"}
    program = lower(
        graph, Recipe.of({name: Quantizer.parse(text) for name, text in formats.items()})
    ).program
    rng = np.random.default_rng(4)
    raw = {"x": rng.integers(-32, 32, (6, 2, 5, 5)), "m": rng.integers(0, 2, (6, 1, 5, 5))}
    settings = HlsSettings() if isinstance(target, HlsTarget) else RtlSettings()
    assert target.check(program, settings) == ()  # type: ignore[arg-type]
    target.emit(program, settings).write(tmp_path)  # type: ignore[arg-type]
    result = target.simulate(program, tmp_path, raw, settings)  # type: ignore[arg-type]
    np.testing.assert_array_equal(result["y"], Engine(program, threads=1).run(raw)["y"])
