# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Comparisons, truth values, choices and casts, against ONNX Runtime and in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.readers.onnx.reader import read
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

RNG = np.random.default_rng(16)
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")


def one(*nodes: Any, x: Any = (2, 3, 4), weights: Any = None, **inputs: Any) -> ModelProto:
    return m.model(nodes, {"x": x, **inputs}, ["y"], weights, opset=18)


def truth(kind: str, *names: str) -> list[Any]:
    """A comparison as numbers."""
    return [node(kind, names, ["t"]), node("Cast", ["t"], ["y"], to=1)]


MODELS: dict[str, ModelProto] = {
    **{f"{kind} constant": one(*truth(kind, "x", "c"), weights={"c": np.float32([0, 0.25, -1, 9])})
       for kind in COMPARISONS},
    **{f"constant {kind}": one(*truth(kind, "c", "x"), weights={"c": np.float32(0.25)})
       for kind in COMPARISONS},
    **{f"{kind} of tensors": one(*truth(kind, "x", "z"), z=(2, 3, 4)) for kind in COMPARISONS},
    **{
        kind: one(
            node("Greater", ["x", "c"], ["a"]),
            node("Less", ["x", "e"], ["b"]),
            *truth(kind, "a", "b"),
            weights={"c": np.float32(-0.5), "e": np.float32(0.5)},
        )
        for kind in ("And", "Or", "Xor")
    },
    "not": one(
        node("Cast", ["x"], ["b"], to=TensorProto.BOOL), *truth("Not", "b")
    ),
    "a choice by a comparison": one(
        node("Greater", ["x", "c"], ["t"]),
        node("Where", ["t", "x", "a"], ["y"]),
        weights={"c": np.float32(0.25), "a": floats(RNG, 4)},
    ),
    "a choice between tensors": one(
        node("Less", ["x", "z"], ["t"]), node("Where", ["t", "x", "z"], ["y"]), z=(2, 3, 4)
    ),
    "a choice between constants": one(
        node("Less", ["x", "a"], ["t"]),
        node("Where", ["t", "a", "b"], ["y"]),
        weights={"a": floats(RNG, 4), "b": floats(RNG, 3, 1)},
    ),
    "a constant choice": one(
        node("Where", ["t", "x", "a"], ["y"]),
        weights={"t": np.array([[True], [False], [True]]), "a": floats(RNG, 4)},
    ),
    "a constant choice between tensors": one(
        node("Where", ["t", "x", "z"], ["y"]),
        weights={"t": np.array([True, False, True, False])},
        z=(2, 3, 4),
    ),
    "cut to integers": one(
        node("Mul", ["x", "c"], ["a"]),
        node("Cast", ["a"], ["i"], to=TensorProto.INT32),
        node("Cast", ["i"], ["y"], to=1),
        weights={"c": np.float32(5)},
    ),
    "cast like a constant": one(
        node("CastLike", ["x", "c"], ["i"]), node("Cast", ["i"], ["y"], to=1),
        weights={"c": np.int64([1])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_onnx_runtime(name: str, tmp_path: Path) -> None:
    path = m.saved(MODELS[name], tmp_path)
    feeds = {
        value.name: RNG.integers(-8, 8, (2, 3, 4)).astype(np.float32) / 4
        for value in MODELS[name].graph.input
    }
    theirs = m.runtime(path, feeds)
    ours = m.computed(read(path), feeds, [y.shape for y in theirs])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", COMPARISONS)
def test_a_comparison_is_exact_in_integers(kind: str, tmp_path: Path) -> None:
    result = one(*truth(kind, "x", "c"), x=(2, 16), weights={"c": np.float32(0.25)})
    graph = read(m.saved(result, tmp_path)).graph
    program = lower(graph, Recipe.of({"x": Quantizer.parse("fixed<4,2>")})).program
    raw = {"x": np.arange(-8, 8)[None]}
    found = results(program, interpret(program, raw))["y"]
    np.testing.assert_array_equal(Engine(program).run(raw)["y"], found)
    expected = {
        "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal,
        "Less": np.less, "LessOrEqual": np.less_equal,
    }[kind](raw["x"], 1)  # fmt: skip
    frac = program.type(program.outputs[0].value).frac
    np.testing.assert_array_equal(np.ldexp(found, -frac), expected)


REFUSED = {
    "an infinite choice": (
        one(node("Where", ["t", "x", "a"], ["y"]),
            weights={"t": np.array([True, False, True, False]), "a": np.float32(-np.inf)}),
        "NaN or infinity",
    ),
    "a cast that wraps": (
        one(node("Cast", ["x"], ["i"], to=TensorProto.INT32),
            node("Cast", ["i"], ["y"], to=TensorProto.INT8)),
        "wraps int32 to int8",
    ),
    "a cast to eight bits of precision": (
        one(node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)), "rounds to BFLOAT16",
    ),
    "a mean of integers": (
        one(node("Cast", ["x"], ["i"], to=TensorProto.INT32),
            node("ReduceMean", ["i"], ["y"], axes=[1])),
        "mean of integers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    result, reason = REFUSED[name]
    with pytest.raises(EdgeInferError, match=reason):
        read(m.saved(result, tmp_path))
