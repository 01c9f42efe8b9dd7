# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks of SparseConvNet, MinkowskiEngine and spconv, written by the script that users copy: the
Graph gives what the frameworks' rules say, any runtime does, and the integers agree."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeinfer.graph.nodes import Floats, SitesNode
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq.choose import PtqSettings, quantize
from edgeinfer.readers import load
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.sparse_frameworks import (
    Reference,
    Sites,
    container,
    join,
    layer,
    minkowski,
    norm,
    scn,
    scn_norm,
    spconv,
)

SCRIPT = Path(__file__).parents[4] / "docs" / "examples" / "export_sparse.py"
SIZE, CHANNELS, THRESHOLD = (12, 8), 2, 0.2


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("export_sparse", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["export_sparse"] = module
    spec.loader.exec_module(module)
    return module


def scn_unet() -> Any:
    """As SparseConvNet's UNet makes it: two levels, blocks that add, a linear layer."""
    down = container(
        "Sequential",
        scn_norm("BatchNormReLU", 4, 0),
        scn("Convolution", 4, 5, 2, 2),
        scn_norm("BatchNormLeakyReLU", 5, 0.333),
        scn("SubmanifoldConvolution", 5, 5, 3, bias=False),
        scn_norm("BatchNormReLU", 5, 0),
        scn("Deconvolution", 5, 4, 2, 2),
    )
    block = container(
        "Sequential", scn_norm("BatchNormReLU", 4, 0), scn("SubmanifoldConvolution", 4, 4, 3)
    )
    return container(
        "Sequential",
        scn("SubmanifoldConvolution", CHANNELS, 4, 3),
        container("ConcatTable", layer("Identity"), block),
        container("AddTable"),
        container("ConcatTable", layer("Identity"), down),
        container("JoinTable"),
        layer("NetworkInNetwork", weight=norm(8)["weight"][:, None] * np.ones((1, 3)),
              bias=np.arange(3.0)),
        layer("OutputLayer"),
    )  # fmt: skip


def scn_run(run: Any, x: Any, join_: Any) -> Any:
    del join_
    return run(scn_unet_model, x)


def without_bias(module: Any) -> None:
    """The reference adds a bias of zeros where there is none."""
    for child in getattr(module, "_modules", {}).values():
        without_bias(child)
    if getattr(module, "bias", 0) is None:
        module.bias = np.zeros(module.nOut)


scn_unet_model = scn_unet()
minkowski_parts = {
    "first": container(
        "Sequential",
        minkowski(CHANNELS, 4, [3, 5]),
        layer("MinkowskiBatchNorm", bn=layer("BatchNorm1d", **norm(4))),
        layer("MinkowskiReLU"),
    ),
    "down": minkowski(4, 5, [2, 2], 2),
    "deep": container(
        "Sequential",
        minkowski(5, 6, [3, 3], 2),
        minkowski(6, 5, [3, 3], 2, transpose=True),
        layer("MinkowskiReLU"),
    ),
    "up": minkowski(5, 4, [2, 2], 2, transpose=True),
    "head": minkowski(8, 3, [1, 1]),
}
spconv_model = container(
    "SparseSequential",
    spconv("SubMConv2d", CHANNELS, 4, 3),
    layer("BatchNorm1d", **norm(4)),
    layer("LeakyReLU", negative_slope=0.125),
    spconv("SparseConv2d", 4, 5, 3, "down", stride=2, padding=1),
    layer("ReLU"),
    spconv("SubMConv2d", 5, 6, 1),
    spconv("SparseInverseConv2d", 6, 3, 3, "down"),
    layer("Linear", weight=np.arange(6.0).reshape(2, 3), bias=np.ones(2)),
)


def minkowski_run(run: Any, x: Any, join_: Any) -> Any:
    """The forward function of a U-net, part by part."""
    parts = minkowski_parts
    fine = run(parts["first"], x)
    coarse = run(parts["deep"], run(parts["down"], fine))
    return run(parts["head"], join_(run(parts["up"], coarse), fine))


def spconv_run(run: Any, x: Any, join_: Any) -> Any:
    del join_
    return run(spconv_model, x)


def images(count: int) -> Floats:
    """Few lit pixels, also at borders; channels last."""
    rng = np.random.default_rng(1)
    lit = rng.random((count, *SIZE, 1)) < 0.2
    lit[:, 0, 0] = lit[:, -1, -1] = True
    return np.round(rng.random((count, *SIZE, CHANNELS)) * lit * 64) / 64


def computed(forward: Any, image: Floats) -> Floats:
    """What the framework's rules give, everywhere."""
    lit = np.argwhere(image.max(axis=-1) > THRESHOLD)
    sites = Sites({(int(row), int(column)): image[row, column] for row, column in lit}, SIZE)
    y = forward(Reference().run, sites, join)
    channels = len(next(iter(y.features.values())))
    everywhere = np.zeros((*SIZE, channels))
    for place, value in y.features.items():
        everywhere[place] = value
    return everywhere


@pytest.mark.parametrize("forward", [scn_run, minkowski_run, spconv_run])
def test_a_network_is_what_its_framework_computes(
    forward: Any, script: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    net = script.SparseExport(SIZE, CHANNELS, THRESHOLD)
    net.save(forward(net.run, net.image, net.join), path)
    without_bias(scn_unet_model)
    onnx.checker.check_model(str(path))
    image = images(2)
    expected = np.stack([computed(forward, one) for one in image])
    feeds = {"image": np.moveaxis(image, -1, 1).astype(np.float32)}
    (by_runtime,) = onnxruntime.InferenceSession(path).run(None, feeds)
    np.testing.assert_allclose(np.moveaxis(by_runtime, 1, -1), expected, atol=2e-4)

    graph = load(path).graph
    assert sum(isinstance(node, SitesNode) for node in graph.nodes) == 1
    (read,) = FloatEngine(graph).run({"image": image}).values()
    np.testing.assert_allclose(read, expected, atol=2e-4)

    quantized = quantize(graph, {"image": image}, PtqSettings(bits=10))
    program = lower(quantized.graph, quantized.recipe).program
    steps = np.round(image * 2.0 ** program.inputs[0].type.frac).astype(np.int64)
    raw = {"image": np.minimum(steps, program.inputs[0].type.raw_max)}
    integers = results(program, interpret(program, raw))
    for name, values in Engine(program, threads=1).run(raw).items():
        np.testing.assert_array_equal(values, integers[name])
        assert values.any()


def test_a_file_with_a_limit_becomes_a_design_in_tokens(script: ModuleType, tmp_path: Path) -> None:
    """Masks and images lie alike, with one channel too, so that tokens can be made of them."""
    parts = (
        spconv("SubMConv2d", 1, 3, 3),
        layer("ReLU"),
        spconv("SparseConv2d", 3, 2, 2, stride=2),
    )
    path = tmp_path / "net.onnx"
    script.export_sparse(container("SparseSequential", *parts), SIZE, path, most=9)
    graph = load(path).graph
    image = images(4)[..., :1]
    quantized = quantize(graph, {"image": image}, PtqSettings(bits=6))
    program = lower(quantized.graph, quantized.recipe).program
    assert RtlTarget().check(program, RtlSettings(sparse="tokens")) == ()


def test_the_first_sites_stay(script: ModuleType, tmp_path: Path) -> None:
    """As the file says it in operators of ONNX, and as a limit in the Graph."""
    path = tmp_path / "net.onnx"
    model = container("Sequential", scn("SubmanifoldConvolution", CHANNELS, 3, 3))
    script.export_sparse(model, SIZE, path, CHANNELS, THRESHOLD, most=5)
    image = images(3)
    feeds = {"image": np.moveaxis(image, -1, 1).astype(np.float32)}
    (by_runtime,) = onnxruntime.InferenceSession(path).run(None, feeds)
    graph = load(path).graph
    assert [node.most for node in graph.nodes if isinstance(node, SitesNode)] == [5]
    (read,) = FloatEngine(graph).run({"image": image}).values()
    np.testing.assert_allclose(read, np.moveaxis(by_runtime, 1, -1), atol=1e-5)
    assert (read.any(axis=-1).sum(axis=(1, 2)) == 5).all()


CROSS = minkowski(CHANNELS, 3, [3, 3])
CROSS.kernel_generator.region_type = "RegionType.HYPER_CROSS"
NEW_SITES = minkowski(CHANNELS, 3, [2, 2], 2)
NEW_SITES.kernel_generator.expand_coordinates = True


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (layer("MaxPooling"), r"model\.0 \(MaxPooling\).*does not know its class"),
        (spconv("SparseConvTranspose2d", CHANNELS, 3, 2), "SparseConvTranspose2d"),
        (spconv("SparseInverseConv2d", CHANNELS, 3, 2, "x"), "windows are not those"),
        (scn("Deconvolution", CHANNELS, 3, 2, 2), "windows are not those"),
        (scn("Convolution", CHANNELS, 3, 3, 2), "do not fill"),
        (scn("SubmanifoldConvolution", 5, 3, 3), "it reads 2 channels"),
        (CROSS, "no rectangles"),
        (NEW_SITES, "new sites"),
        (container("JoinTable"), "reads one value"),
    ],
)
def test_what_has_no_place_in_the_file_is_named(
    module: Any, reason: str, script: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(script.CannotExportError, match=reason):
        script.export_sparse(container("Sequential", module), SIZE, tmp_path / "net.onnx", CHANNELS)
