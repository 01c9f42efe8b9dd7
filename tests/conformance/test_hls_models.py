# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reference models and other people's: C-simulation == engine, every layer, every output.

io_parallel is left out where a dense layer of 17,125 inputs, all at once, is no design at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats, draw_samples_for, plain
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.zoo import resolve
from quantization.recipe import Recipe
from tests.bench.csim_project import shared
from tests.support.hit_tagger_programs import FAITHFUL, hit_tagger, patches
from tests.support.random_programs import random_inputs
from tests.support.sampling import sample_cases

TARGET = HlsTarget()
PARALLEL, STREAM = IoType.PARALLEL, IoType.STREAM
ZOO = (
    ("jet-tagger", (PARALLEL, STREAM)),
    ("hit-tagger-pooled", (PARALLEL, STREAM)),
    ("track-pid", (PARALLEL, STREAM)),
    ("roi-finder", (PARALLEL, STREAM)),
    ("calo-classifier", (STREAM,)),
    ("energy-regression", (STREAM,)),
    ("jet-recurrent", (PARALLEL, STREAM)),
)
CASES = (
    "KERAS_3layer.json",
    "KERAS_3layer_batch_norm.json",
    "KERAS_conv1d_small.json",
    "qkeras_mnist_cnn.json",
    "two_layer_keras.onnx",
    "three_layer_bn_pytorch.onnx",
    "conv2d_small_keras.onnx",
    "TFC_1W2A.onnx",
    "unsw_nb15-mlp-w2a2.onnx",
)


def program_of(path: Path, bits: int = 8) -> Program:
    """The model's Program, at 8 bits where it states no formats."""
    loaded = load(path)
    if loaded.recipe == Recipe():
        loaded = add_formats(loaded, plain(bits), draw_samples_for(loaded, Recipe()))
    return lower(loaded.graph, loaded.recipe).program


def agree(program: Program, settings: HlsSettings, folder: Path, samples: int) -> None:
    """Emit, compile, run, and compare every value that the project holds."""
    assert TARGET.check(program, settings) == ()
    TARGET.emit(program, settings).write(folder)
    raw = random_inputs(program, 11, samples)
    taps = TARGET.tappable(program, folder, settings)
    expected = Engine(program).run(raw, taps)
    result = TARGET.simulate(program, folder, raw, settings, taps=taps)
    assert set(result) == set(expected)
    differing = [
        name for name, values in result.items() if not np.array_equal(values, expected[name])
    ]
    assert differing == []


@pytest.mark.parametrize("io", sample_cases([PARALLEL, STREAM], 2))
def test_the_jet_tagger(tmp_path: Path, io: IoType) -> None:
    agree(program_of(resolve("jet-tagger")), HlsSettings(io=io), tmp_path, 64)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "ways"), ZOO[1:])
def test_reference_models(tmp_path: Path, model: str, ways: Sequence[IoType]) -> None:
    program = program_of(resolve(model))
    for io in ways:
        agree(program, HlsSettings(io=io), tmp_path / io, 16)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", [Backend.VIVADO, Backend.QUARTUS])
@pytest.mark.parametrize("model", ["jet-tagger", "hit-tagger-pooled", "track-pid"])
def test_other_backends(tmp_path: Path, model: str, backend: Backend) -> None:
    agree(program_of(resolve(model)), HlsSettings(backend=backend), tmp_path, 16)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_faithful_hit_tagger(tmp_path: Path) -> None:
    program = hit_tagger(FAITHFUL).program
    settings = shared(program)
    TARGET.emit(program, settings).write(tmp_path)
    raw = {"patch": patches(8)}
    expected = Engine(program).run(raw)
    result = TARGET.simulate(program, tmp_path, raw, settings)
    assert set(result) == set(expected) == {"track_shower", "michel"}
    for name, values in expected.items():
        np.testing.assert_array_equal(result[name], values)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("io", [PARALLEL, STREAM])
@pytest.mark.parametrize("name", CASES)
def test_other_peoples_models(cases: Path, tmp_path: Path, name: str, io: IoType) -> None:
    program = program_of(cases / "models" / name)
    agree(program, HlsSettings(io=io), tmp_path, 8)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_network_for_whole_images(cases: Path, tmp_path: Path) -> None:
    """256 x 256 x 3, fourteen convolutions and a branch that is upsampled and joined again."""
    program = program_of(cases / "models" / "branched_model_ch_last.onnx")
    settings = HlsSettings(io=STREAM)
    assert TARGET.check(program, settings) == ()
    TARGET.emit(program, settings).write(tmp_path)
    raw = {name: values[2:] for name, values in random_inputs(program, 11, 3).items()}
    result = TARGET.simulate(program, tmp_path, raw, settings)
    for name, values in Engine(program).run(raw).items():
        np.testing.assert_array_equal(result[name], values)
