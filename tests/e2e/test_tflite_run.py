# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 TensorFlow Lite file, from the file to simulated hardware and to results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeinfer
from edgeinfer.targets.hls.csim import build as csim_build
from tests.support.command_line import shown
from tests.support.rtl_designs import needs_verilator
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_operators import (
    before_softmax,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)

SAMPLES = 40


def small_network() -> bytes:
    """A convolution with scales by channel, a sum, a pool, a table and a classifier."""
    rng = np.random.default_rng(5)
    scales = (0.011, 0.004, 0.02)
    tensors = [
        T("x", (1, 6, 6, 2), scales=(0.047,), zero_points=(-7,)),
        T("w", (3, 3, 3, 2), "INT8", rng.integers(-127, 128, (3, 3, 3, 2)), scales, (0, 0, 0)),
        T("b", (3,), "INT32", rng.integers(-300, 300, 3), scales, (0, 0, 0)),
        T("conv", (1, 6, 6, 3), scales=(0.09,), zero_points=(-128,)),
        T("sum", (1, 6, 6, 3), scales=(0.17,), zero_points=(11,)),
        T("pool", (1, 3, 3, 3), scales=(0.17,), zero_points=(11,)),
        T("gate", (1, 3, 3, 3), scales=(1 / 256,), zero_points=(-128,)),
        T("flat", (1, 27), scales=(1 / 256,), zero_points=(-128,)),
        T("shape", (2,), "INT32", [1, 27], (), ()),
        T("v", (4, 27), "INT8", rng.integers(-127, 128, (4, 27)), (0.013,)),
        T("logits", (1, 4), scales=(0.06,), zero_points=(4,)),
        T("y", (1, 4), scales=(1 / 256,), zero_points=(-128,)),
    ]
    window = {1: ("i32", 2), 2: ("i32", 2), 3: ("i32", 2), 4: ("i32", 2)}
    steps = [
        O("CONV_2D", ("x", "w", "b"), ("conv",), 3, {1: ("i32", 1), 2: ("i32", 1), 3: ("i8", 1)}),
        O("ADD", ("conv", "conv"), ("sum",), 2),
        O("AVERAGE_POOL_2D", ("sum",), ("pool",), 2, window),
        O("LOGISTIC", ("pool",), ("gate",), 2),
        O("RESHAPE", ("gate", "shape"), ("flat",)),
        O("FULLY_CONNECTED", ("flat", "v", None), ("logits",), 4),
        O("SOFTMAX", ("logits",), ("y",), 2, {0: ("f32", 1.0)}),
    ]
    return tflite(tensors, steps, ["x"], ["y"])


@needs_verilator
def test_all_stages_have_the_integers_of_the_reference_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(csim_build, "FLAGS", ("-O0", "-w", "-pthread"))
    Path("net.tflite").write_bytes(small_network())
    Path("logits.tflite").write_bytes(before_softmax(small_network()))
    ports = ports_of(Path("logits.tflite"))
    stored = random_stored(ports, SAMPLES, np.random.default_rng(0))
    expected = reference(Path("logits.tflite"), ports, stored)
    made = program_outputs(Path("logits.tflite"), ports, stored)
    assert np.array_equal(made["logits"], expected["logits"])
    winners = np.argmax(expected["logits"], axis=-1)
    np.savez("data.npz", x=ports.inputs[0].real(stored["x"]), y=winners)
    result = shown(
        capsys,
        *("compile", "net.tflite", "--data", "data.npz", "-o", "RUN"),
        *("--target", "hls", "--target", "rtl"),
    )
    pairs = {tuple(entry["pair"]): entry for entry in result["agreement"]}
    for stages in (("interpret", "engine"), ("engine", "csim"), ("engine", "rtl")):
        assert pairs[stages]["bit_identical"], stages
    for stage in ("quantized", "csim", "rtl"):  # real samples are decided as by the file
        assert result["accuracy"][stage]["accuracy"] == 1.0, stage


def test_the_library_takes_real_samples(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(small_network())
    model = edgeinfer.load(path)
    assert model.graph.inputs[0].shape == (6, 6, 2)
    run = model.compile(tmp_path / "run")
    assert run.exact
