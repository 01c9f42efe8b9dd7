# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Other people's ONNX and QONNX files compute what ONNX Runtime and qonnx compute with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeinfer.graph.nodes import TransposeNode
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m

FLOAT = {
    "two_layer_keras.onnx": ("input_1_0", (1, 10)),
    "three_layer_bn_pytorch.onnx": ("0", (64, 16)),
    "conv2d_small_keras.onnx": ("conv2d_1_input_0", (1, 8, 8, 1)),
}


def test_every_onnx_file_is_read(cases: Path) -> None:
    files = sorted((cases / "models").glob("*.onnx"))
    assert files
    for path in files:
        loaded = read(path)
        assert m.on_its_grid(loaded), path.name
        assert not any(isinstance(node, TransposeNode) for node in loaded.graph.nodes), path.name


@pytest.mark.parametrize("name", FLOAT)
def test_float_files_agree_with_onnx_runtime(cases: Path, name: str) -> None:
    path, (entry, shape) = cases / "models" / name, FLOAT[name]
    rng = np.random.default_rng(1)
    for _ in range(3):
        feeds = {entry: m.floats(rng, *shape)}
        theirs = m.runtime(path, feeds)
        ours = m.computed(read(path), feeds, [y.shape for y in theirs])
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=0)


def test_bipolar_network_is_qonnx_own(cases: Path) -> None:
    path = cases / "models" / "TFC_1W2A.onnx"
    rng = np.random.default_rng(2)
    loaded = read(path)
    for _ in range(20):
        feeds = {"0": rng.uniform(0, 1, (1, 1, 28, 28)).astype(np.float32)}
        theirs = m.reference(path, feeds)
        ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)


def test_network_with_free_scales_is_qonnx_own(cases: Path) -> None:
    path = cases / "models" / "unsw_nb15-mlp-w2a2.onnx"
    rng = np.random.default_rng(3)
    loaded = read(path)
    signs = set()
    for _ in range(40):
        feeds = {"onnx::Add_0": np.sign(m.floats(rng, 1, 600))}
        theirs = m.reference(path, feeds)
        ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
        np.testing.assert_array_equal(ours[0], theirs[0])
        signs.add(float(theirs[0].squeeze()))
    assert signs <= {-1.0, 1.0}


def test_channels_last_network_is_qonnx_own(cases: Path, tmp_path: Path) -> None:
    result = onnx.load(cases / "models" / "branched_model_ch_last.onnx")
    for value in (*result.graph.input, *result.graph.output, *result.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:  # the same network on a smaller image
            dim.dim_value = {256: 32, 128: 16}.get(dim.dim_value, dim.dim_value)
    path = m.saved(result, tmp_path)
    loaded = read(path)
    rng = np.random.default_rng(4)
    feeds = {"global_in": rng.uniform(-0.5, 0.5, (1, 32, 32, 3)).astype(np.float32)}
    theirs = m.reference(path, feeds)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
    np.testing.assert_array_equal(ours[0], theirs[0])
