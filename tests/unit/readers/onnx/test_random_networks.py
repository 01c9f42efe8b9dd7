# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random chains of operators that move, window, split and join: as ONNX Runtime computes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import NodeProto

from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import floats, node

I64 = np.int64
STEPS = (
    "conv", "pool", "mean", "norm", "scale", "shift", "relu", "transpose", "merge", "flip",
    "unsqueeze", "split", "pad", "resize", "dense", "softmax", "add", "prelu",
    "gather", "tile", "mirror", "cumulate", "choose", "extreme", "stack", "erf",
)  # fmt: skip


@dataclass
class Chain:
    """Nodes so far; x is the latest tensor, of shape (batch, *shape)."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    x: str = "x"
    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    dyadic: bool = False  # weights are quarters, so that float32 sums are exact
    oddly: float = 0.3  # the step of odd quantizers

    def add(self, kind: str, *inputs: Any, **attributes: Any) -> None:
        """Append a node; arrays among the inputs become weights."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                name = f"w{len(self.weights)}"
                real = np.asarray(value).dtype == np.float32 and np.ndim(value) > 0
                self.weights[name] = np.round(value * 4) / 4 if self.dyadic and real else value
                value = name
            names.append(value)
        self.nodes.append(node(kind, names, [f"t{len(self.nodes)}"], **attributes))
        self.x = f"t{len(self.nodes) - 1}"

    def step(self, what: str) -> None:
        """One more operator, if the shape allows it."""
        rng, shape, rank = self.rng, self.shape, len(self.shape)
        match what:
            case "conv" if rank in (2, 3) and min(shape[1:]) >= 2:
                width = (2,) * (rank - 1)
                self.add("Conv", self.x, floats(rng, 3, shape[0], *width), floats(rng, 3))
                self.shape = (3, *(size - 1 for size in shape[1:]))
            case "pool" if rank in (2, 3) and min(shape[1:]) >= 3:
                self.add("MaxPool", self.x, kernel_shape=[2] * (rank - 1), strides=[1] * (rank - 1))
                self.shape = (shape[0], *(size - 1 for size in shape[1:]))
            case "mean" if rank > 1:
                axis = int(rng.integers(1, rank + 1))
                self.add("ReduceMean", self.x, axes=[axis], keepdims=0)
                self.shape = (*shape[: axis - 1], *shape[axis:])
            case "norm":
                ones = [floats(rng, shape[0]) for _ in range(3)]
                self.add("BatchNormalization", self.x, *ones, np.abs(floats(rng, shape[0])) + 0.5)
            case "scale":
                self.add("Mul", self.x, floats(rng, *(1,) * (rank - 1), shape[-1]))
            case "shift":
                self.add("Add", floats(rng, 1, shape[0], *(1,) * (rank - 1)), self.x)
            case "relu":
                self.add("LeakyRelu", self.x, alpha=0.25)
            case "prelu":
                self.add("PRelu", self.x, floats(rng, shape[0], *(1,) * (rank - 1)))
            case "transpose":
                order = rng.permutation(rank)
                self.add("Transpose", self.x, perm=[0, *(int(a) + 1 for a in order)])
                self.shape = tuple(shape[a] for a in order)
            case "merge" if rank > 1:
                at = int(rng.integers(0, rank - 1))
                self.shape = (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
                self.add("Reshape", self.x, I64([-1, *self.shape]))
            case "flip" if rank < 4:
                at = int(rng.integers(0, rank))
                divisor = next((d for d in (2, 3, 5) if shape[at] % d == 0), 1)
                parts = (divisor, shape[at] // divisor)
                self.shape = (*shape[:at], *parts, *shape[at + 1 :])
                self.add("Reshape", self.x, I64([0, *self.shape]))
            case "unsqueeze" if rank < 4:
                at = int(rng.integers(1, rank + 2))
                self.add("Unsqueeze", self.x, I64([at]))
                self.shape = (*shape[: at - 1], 1, *shape[at - 1 :])
            case "split":
                axis = int(rng.integers(0, rank))
                if shape[axis] > 1:
                    cut = int(rng.integers(1, shape[axis]))
                    before = self.x
                    ends = I64([cut]), I64([shape[axis]]), I64([axis + 1])
                    self.add("Slice", before, I64([0]), I64([cut]), I64([axis + 1]))
                    first = self.x
                    self.add("Slice", before, *ends)
                    self.add("Concat", self.x, first, axis=axis + 1)
            case "pad" if max(shape) < 8:
                widths = [int(w) for w in rng.integers(0, 2, 2 * rank)]
                pads = I64([0, *widths[:rank], 0, *widths[rank:]])
                self.add("Pad", self.x, pads)
                self.shape = tuple(
                    s + widths[a] + widths[a + rank] for a, s in enumerate(shape)
                )  # fmt: skip
            case "resize" if rank == 3 and max(shape) < 8:
                self.add("Resize", self.x, "", np.float32([1, 1, 2, 1]), mode="nearest")
                self.shape = (shape[0], shape[1] * 2, shape[2])
            case "gather":
                axis = int(rng.integers(0, rank))
                indices = rng.integers(0, shape[axis], int(rng.integers(1, 6)))
                self.add("Gather", self.x, I64(indices), axis=axis + 1)
                self.shape = (*shape[:axis], len(indices), *shape[axis + 1 :])
            case "tile" if max(shape) < 8:
                repeats = [int(count) for count in rng.integers(1, 3, rank)]
                self.add("Tile", self.x, I64([1, *repeats]))
                self.shape = tuple(s * count for s, count in zip(shape, repeats, strict=True))
            case "mirror" if 1 < max(shape) < 8:
                axis = int(np.argmax(shape))
                pads = [0] * (2 * rank + 2)
                pads[axis + 1], pads[axis + rank + 2] = 1, min(2, shape[axis] - 1)
                self.add("Pad", self.x, I64(pads), mode=str(rng.choice(["reflect", "edge"])))
                grown = shape[axis] + pads[axis + 1] + pads[axis + rank + 2]
                self.shape = (*shape[:axis], grown, *shape[axis + 1 :])
            case "cumulate":
                self.add("CumSum", self.x, np.int64(int(rng.integers(1, rank + 1))))
            case "choose":
                before = self.x
                self.add("Greater", before, np.float32(0.25))
                self.add("Where", self.x, before, floats(rng, shape[-1]))
            case "extreme" if rank > 1:
                axis = int(rng.integers(1, rank + 1))
                self.add("ReduceMin", self.x, axes=[axis], keepdims=1)
                self.shape = (*shape[: axis - 1], 1, *shape[axis:])
            case "stack" if rank > 1:
                self.add("MatMul", self.x, floats(rng, 1, *shape[:-2], shape[-1], 3))
                self.shape = (*shape[:-1], 3)
            case "erf":
                self.add("Erf", self.x)
            case "dense":
                self.add("MatMul", self.x, floats(rng, shape[-1], 4))
                self.shape = (*shape[:-1], 4)
            case "softmax":
                self.add("Softmax", self.x, axis=int(rng.integers(1, rank + 1)))
            case "quantize" | "quantize oddly":
                step = np.float32(0.5 if what == "quantize" else self.oddly)
                zero = np.asarray(rng.integers(-7, 8), np.int8)
                self.add("QuantizeLinear", self.x, step, zero)
                self.add("DequantizeLinear", self.x, step, zero)
            case "add":
                before = self.x
                self.step("relu")
                self.add("Add", before, self.x)


@settings(max_examples=200)
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=9),
    shape=st.sampled_from([(3, 6, 5), (4, 6), (2, 4, 4), (12,)]),
    seed=st.integers(0, 1000),
)
def test_random_chains(
    steps: list[str],
    shape: tuple[int, ...],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chain = Chain(np.random.default_rng(seed), shape)
    for step in steps:
        chain.step(step)
    if not chain.nodes:
        return
    result = m.model(chain.nodes, {"x": ("n", *shape)}, [chain.x], chain.weights)
    path = m.saved(result, tmp_path_factory.mktemp("chain"))
    feeds = {"x": floats(chain.rng, 2, *shape)}
    (theirs,) = m.runtime(path, feeds)
    loaded = read(path)
    (ours,) = m.computed(loaded, feeds, [theirs.shape])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * (1 + np.abs(theirs).max()))


EXACT = (
    "conv", "pool", "scale", "shift", "relu", "transpose", "merge", "flip", "unsqueeze", "split",
    "pad", "resize", "dense", "add", "prelu", "quantize", "quantize", "gather", "tile", "mirror",
)  # fmt: skip


@settings(max_examples=150)
@given(
    steps=st.lists(st.sampled_from(EXACT), min_size=2, max_size=7),
    shape=st.sampled_from([(3, 6, 5), (4, 6), (2, 4, 4), (12,)]),
    seed=st.integers(0, 1000),
)
def test_random_quantized_chains_are_exact(
    steps: list[str],
    shape: tuple[int, ...],
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Steps of powers of two, any zero points, ties among the numbers: equal to the last bit."""
    chain = Chain(np.random.default_rng(seed), shape, dyadic=True)
    chain.step("quantize")
    for position, step in enumerate(steps):
        chain.step(step)
        if position % 2:
            chain.step("quantize")
    result = m.model(chain.nodes, {"x": ("n", *shape)}, [chain.x], chain.weights)
    path = m.saved(result, tmp_path_factory.mktemp("chain"))
    feeds = {"x": (chain.rng.integers(-40, 40, (2, *shape)) / 4).astype(np.float32)}
    (theirs,) = m.runtime(path, feeds)
    loaded = read(path)
    assert m.on_its_grid(loaded)
    (ours,) = m.computed(loaded, feeds, [theirs.shape], recipe=loaded.recipe)
    np.testing.assert_array_equal(ours, theirs)
