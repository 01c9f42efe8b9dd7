# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random networks of patches, and planes with charge at the borders, in clusters, everywhere."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat

NO_PADS = ((0, 0), (0, 0))
CHARGES = ("border", "clusters", "sparse", "everywhere", "nowhere")


def random_tagger(seed: int) -> Program:
    """Up to three of: convolution, depthwise convolution, pool; then dense layers and heads."""
    rng = np.random.default_rng(seed)
    size = [int(rng.integers(9, 15)), int(rng.integers(9, 15))]
    channels, last = 1, "x"
    nodes: list[g.Node] = [g.InputNode("x", (*size, 1))]
    activations = {"x": Quantizer.parse(str(rng.choice(["ufixed<8,0>", "fixed<7,1>"])))}
    for number in range(int(rng.integers(0, 4))):
        name = f"op{number}"
        node = _spatial(rng, name, last, size, channels)
        if node is None:
            continue
        nodes.append(node)
        if isinstance(node, g.ConvNode):
            channels = node.kernel.shape[-1]
        last = name
        if rng.random() < 0.8:
            last = f"act{number}"
            nodes.append(g.ActivationNode(last, name, g.Function.RELU))
        form = str(rng.choice(["ufixed<8,3>", "ufixed<5,3>", "fixed<8,4>", "fixed<11,5>"]))
        activations[last] = Quantizer.parse(form)
    if rng.random() < 0.15:  # a patch-wide mean in the place of the flattening
        nodes.append(g.PoolNode("whole", last, g.PoolNodeKind.MAX, tuple(size), (1, 1), NO_PADS))
        last, size = "whole", [1, 1]
    flat = size[0] * size[1] * channels
    hidden = int(rng.choice([5, 20, 130]))
    nodes += [
        g.ReshapeNode("flat", last, (flat,)),
        g.DenseNode("d", "d", "flat", rng.normal(size=(flat, hidden)) / 2, rng.normal(size=hidden)),
        g.ActivationNode("s", "d", g.Function.RELU),
        g.DenseNode("h", "h", "s", rng.normal(size=(hidden, 3)), rng.normal(size=3)),
        g.DenseNode("m", "m", "s", rng.normal(size=(hidden, 1)), None),
    ]
    activations["s"] = Quantizer.parse("ufixed<8,6>")
    bits = str(rng.choice(["fixed<8,2>", "fixed<5,1>", "fixed<12,3>"]))
    graph = g.Graph("tagger", tuple(nodes), ("h", "m"))
    keys = [key for key, _ in graph.weights() if key.endswith("kernel")]
    recipe = Recipe.of(activations, {key: WeightFormat.of(Quantizer.parse(bits)) for key in keys})
    return lower(graph, recipe).program


def _spatial(
    rng: np.random.Generator, name: str, x: str, size: list[int], channels: int
) -> g.Node | None:
    """A convolution or a pool that leaves places; `size` becomes that of its result."""
    window = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    strides = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    dilation = (int(rng.integers(1, 3)), 1)
    kind = rng.choice(["conv", "conv", "depthwise", "max", "mean"])
    if kind in ("max", "mean"):
        dilation = (1, 1)
    left = [
        (n - (w - 1) * d - 1) // s + 1
        for n, w, d, s in zip(size, window, dilation, strides, strict=True)
    ]
    if min(left) < 2:
        return None
    size[:] = left
    match kind:
        case "max":
            return g.PoolNode(name, x, g.PoolNodeKind.MAX, window, strides, NO_PADS)
        case "mean":
            return g.PoolNode(name, x, g.PoolNodeKind.AVERAGE, window, strides, NO_PADS)
        case _:
            groups = channels if kind == "depthwise" else 1
            outputs = channels if kind == "depthwise" else int(rng.integers(1, 8))
            kernel = rng.normal(size=(*window, channels // groups, outputs))
            bias = rng.normal(size=outputs)
            return g.ConvNode(name, name, x, kernel, bias, strides, NO_PADS, dilation, groups)


def random_plane(seed: int, charge: str, shape: tuple[int, int] = (26, 33)) -> np.ndarray:
    """ADC counts (wires, pixels): 0 or 5 to 30."""
    rng = np.random.default_rng(seed)
    charged = np.zeros(shape, np.bool_)
    match charge:
        case "border":
            charged[0], charged[:, -1] = rng.random(shape[1]) < 0.4, rng.random(shape[0]) < 0.4
            charged[-1, 0] = charged[0, 0] = charged[-1, -1] = True
        case "clusters":
            for _ in range(3):
                y, x = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
                charged[y : y + 4, x : x + 4] = rng.random((4, 4)) < 0.8
        case "sparse":
            charged = rng.random(shape) < 0.03
        case "everywhere":
            charged[:] = True
        case _:
            pass
    return np.where(charged, rng.uniform(5, 30, shape), 0).astype(np.float32)
