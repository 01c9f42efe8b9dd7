# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small networks that work, without training: blobs told apart by a least-squares read-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine

CLASSES = 3


def pictures(seed: int, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """10 x 10 pictures of bars of three directions under noise, and which it is."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, samples)
    x = rng.normal(0.0, 0.25, (samples, 10, 10, 1))
    for i, kind in enumerate(label):
        at = int(rng.integers(1, 9))
        match int(kind):
            case 0:
                x[i, at, :, 0] += 1.0
            case 1:
                x[i, :, at, 0] += 1.0
            case _:
                x[i, np.arange(10), np.arange(10), 0] += 1.0
    return x, label.astype(np.float64)


def bars(samples: int = 1500, seed: int = 0) -> Samples:
    """Labelled pictures for `tagger`."""
    x, label = pictures(seed, samples)
    return Samples({"image": x}, f"{samples} pictures", {"kind": label})


def tagger(seed: int = 0, *, uneven: bool = False, dead: bool = False) -> g.Graph:
    """Convolution, pool, two dense layers; the last one is fitted, so that the network works.

    uneven: channels of very unlike size, though the function is the same.
    dead: one channel that never fires.
    """
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0.0, 0.4, (3, 3, 1, 8))
    bias, wide = rng.normal(0.0, 0.2, 8), rng.normal(0.0, 0.15, (128, 24))
    if dead:
        bias[3] = -1e3
    if uneven:
        powers = np.array([-4, 5, 0, 3, -3, 4, -5, 1])
        kernel, bias = np.ldexp(kernel, powers), np.ldexp(bias, powers)
        wide = np.ldexp(wide, -np.tile(powers, 16)[:, None])
    trunk: tuple[g.Node, ...] = (
        g.InputNode("image", (10, 10, 1)),
        g.ConvNode("conv", "conv", "image", kernel, bias, (1, 1), ((0, 0), (0, 0)), (1, 1)),
        g.ActivationNode("relu", "conv", g.Function.RELU),
        g.PoolNode("pool", "relu", g.PoolNodeKind.MAX, (2, 2), (2, 2), ((0, 0), (0, 0))),
        g.ReshapeNode("flat", "pool", (128,)),
        g.DenseNode("wide", "wide", "flat", wide, rng.normal(0.0, 0.1, 24)),
        g.ActivationNode("wide_relu", "wide", g.Function.RELU),
    )
    x, label = pictures(seed + 100, 2000)
    seen = FloatEngine(g.Graph("trunk", trunk, ("wide_relu",))).run({"image": x})["wide_relu"]
    rows = np.column_stack([seen, np.ones(len(seen))]).astype(np.float64)
    expected = 6.0 * np.eye(CLASSES)[label.astype(int)]
    fitted = np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ expected)
    head = g.DenseNode("logits", "logits", "wide_relu", fitted[:-1], fitted[-1])
    return g.Graph("tagger", (*trunk, head, g.SoftmaxNode("kind", "logits")), ("kind",))
