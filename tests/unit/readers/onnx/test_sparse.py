# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A sparse U-net as PyTorch exports it, with its masks: read alike, and computed at lit pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from edgeinfer.graph.nodes import SitesNode
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.engine.site_sets import SiteSearch
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv
from edgeinfer.ir.passes import fold_constants
from edgeinfer.precision.ptq.choose import PtqSettings, quantize
from edgeinfer.readers import load
from tests.support.onnx_models import floats, model, node, saved

SAME = {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
HALF = {"strides": [2, 2], "kernel_shape": [2, 2]}


def sparse_unet(folder: Path) -> Path:
    """Two levels: a submanifold convolution, one down, one there, one up, one at the end."""
    rng = np.random.default_rng(3)
    weights = {
        "limit": np.float32(0.2),
        "w1": floats(rng, 4, 1, 3, 3),
        "b1": floats(rng, 4),
        "w2": floats(rng, 6, 4, 2, 2),
        "w3": floats(rng, 6, 6, 3, 3),
        "w4": floats(rng, 6, 4, 2, 2),
        "b4": floats(rng, 4),
        "w5": floats(rng, 3, 8, 3, 3),
        "b5": floats(rng, 3),
    }
    nodes = [
        node("Greater", ["image", "limit"], ["lit"]),
        node("Cast", ["lit"], ["mask"], to=1),
        node("Mul", ["image", "mask"], ["x0"]),
        node("Conv", ["x0", "w1", "b1"], ["c1"], **SAME),
        node("Mul", ["c1", "mask"], ["m1"]),
        node("Relu", ["m1"], ["x1"]),
        node("MaxPool", ["mask"], ["coarse"], **HALF),
        node("Conv", ["x1", "w2"], ["c2"], **HALF),
        node("Mul", ["c2", "coarse"], ["m2"]),
        node("Relu", ["m2"], ["x2"]),
        node("Conv", ["x2", "w3"], ["c3"], **SAME),
        node("Mul", ["c3", "coarse"], ["m3"]),
        node("Relu", ["m3"], ["x3"]),
        node("ConvTranspose", ["x3", "w4", "b4"], ["c4"], **HALF),
        node("Mul", ["c4", "mask"], ["x4"]),
        node("Concat", ["x1", "x4"], ["x5"], axis=1),
        node("Conv", ["x5", "w5", "b5"], ["c5"], **SAME),
        node("Mul", ["c5", "mask"], ["classes"]),
    ]
    return saved(model(nodes, {"image": (1, 1, 12, 12)}, ["classes"], weights), folder)


def test_a_sparse_unet_of_pytorch(tmp_path: Path) -> None:
    path = sparse_unet(tmp_path)
    graph = load(path).graph
    assert sum(isinstance(each, SitesNode) for each in graph.nodes) == 1
    rng = np.random.default_rng(0)
    image = floats(rng, 1, 1, 12, 12) * (rng.random((1, 1, 12, 12)) < 0.2)
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"image": image})
    (inputs,) = graph.inputs
    (found,) = FloatEngine(graph).run({inputs.name: image.reshape(1, *inputs.shape)}).values()
    assert found.shape[1:] == (12, 12, 3)  # channels last
    np.testing.assert_allclose(found, np.moveaxis(np.asarray(wanted), 1, -1), atol=1e-4)

    quantized = quantize(graph, {inputs.name: image.reshape(1, *inputs.shape)}, PtqSettings(bits=8))
    program = lower(quantized.graph, quantized.recipe).program
    folded = fold_constants(program)
    types = {op.name: op.type for op in folded.ops}
    kept = [output.value for output in program.outputs]
    held = SiteSearch(folded.ops, bounds_of(folded), types, folded.shapes, kept).run()
    assert all(op.name in held for op in folded.ops if isinstance(op, Conv))
    raw = rng.integers(0, program.inputs[0].type.raw_max, (4, *inputs.shape))
    raw *= rng.random(raw.shape) < 0.1
    integers = {program.inputs[0].name: raw}
    expected = results(program, interpret(program, integers))
    for name, values in Engine(program, threads=1).run(integers).items():
        np.testing.assert_array_equal(values, expected[name])
