# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files that are no good, what is refused by name, and what a file's numbers become."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer import api
from edgeinfer.base.errors import EdgeInferError, InputError, UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import HostFunction
from edgeinfer.readers import load
from quantization.fixed import Overflow, Rounding, quantize
from tests.support.float_graph import outputs
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_operators import (
    OPERATORS,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)

SOUND = [OPERATORS[name](np.random.default_rng(3), "INT8") for name in OPERATORS]


def _load(data: bytes, folder: Path) -> Any:
    path = folder / "model.tflite"
    path.write_bytes(data)
    return load(path)


def _try(data: bytes, folder: Path) -> None:
    """Whatever a file holds, it is read or one error says why not."""
    try:
        loaded = _load(data, folder)
        lower(loaded.graph, loaded.recipe)
    except EdgeInferError as error:
        assert str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files are written that are read at once."""
    return tmp_path_factory.mktemp("files")


def test_files_cut_short(folder: Path) -> None:
    for data in SOUND[::4]:
        for length in range(8, len(data), 97):
            _try(data[:length], folder)


@settings(max_examples=150)
@given(st.sampled_from(SOUND), st.data())
def test_changed_words_are_survived(folder: Path, data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(2, len(data) // 4 - 1)) * 4
        word = draw.draw(
            st.one_of(
                st.integers(0, 64),
                st.integers(0, 0xFFFFFFFF),
                st.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000]),
            )
        )
        struct.pack_into("<I", changed, at, word)
    _try(bytes(changed), folder)


def _dense(**changes: Any) -> bytes:
    inputs: dict[str, Any] = {"x": T("x", (1, 4)), "y": T("y", (1, 2)), "w": (2, 4)} | changes
    weights = T("w", inputs["w"], "INT8", np.ones(inputs["w"]), (0.01,), (0,))
    step = O("FULLY_CONNECTED", ("x", "w", None), ("y",), 4, {0: ("i8", 0)})
    return tflite([inputs["x"], weights, inputs["y"]], [step], ["x"], ["y"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_dense(x=T("x", (1, 4), scales=(float("nan"),))), "not a positive number"),
        (_dense(x=T("x", (1, 4), scales=(0.0,))), "not one usable scale"),
        (_dense(x=T("x", (1, 4), zero_points=(900,))), "zero point 900"),
        (_dense(x=T("x", (1, 5))), "do not fit"),
        (_dense(y=T("y", (1, 3))), "cannot be reshaped"),
        (_dense(x=T("x", (1, 1 << 20, 1 << 20))), "elements can be computed"),
        (_dense(x=T("x", (1, 4), "INT16")), "INT16"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        _load(data, tmp_path)


def test_all_refusals_are_one_error(tmp_path: Path) -> None:
    tensors = [T(name, (1, 4)) for name in "xabcy"]
    steps = [
        O("SIN", ("x",), ("a",)),
        O("RELU", ("a",), ("b",)),  # cannot be tried: what it reads was refused
        O("RELU", ("x",), ("c",)),
        O("TOPK_V2", ("c",), ("y",)),
    ]
    with pytest.raises(UnsupportedModelError) as caught:
        _load(tflite(tensors, steps, ["x"], ["b", "y"]), tmp_path)
    assert [(o.path, o.kind) for o in caught.value.offences] == [
        ("operator 0", "SIN"),
        ("operator 3", "TOPK_V2"),
    ]
    assert "FULLY_CONNECTED" in caught.value.hint


def test_real_numbers_between_integers_move_with_them(tmp_path: Path) -> None:
    """As the converter parts the gates of an LSTM that it has unrolled."""
    real = {"type": "FLOAT32", "scales": (), "zero_points": ()}
    tensors = [
        T("x", (1, 6), scales=(0.031,), zero_points=(-9,)),
        T("r", (1, 6), **real),
        T("axis", (), "INT32", [1], (), ()),
        *(T(f"r{n}", (1, 2), **real) for n in range(3)),
        *(T(f"y{n}", (1, 2), scales=(0.02 + n / 64,), zero_points=(n,)) for n in range(3)),
    ]
    steps = [
        O("DEQUANTIZE", ("x",), ("r",)),
        O("SPLIT", ("axis", "r"), ("r0", "r1", "r2"), 2, {0: ("i32", 3)}),
        *(O("QUANTIZE", (f"r{n}",), (f"y{n}",)) for n in range(3)),
    ]
    path = tmp_path / "split.tflite"
    path.write_bytes(tflite(tensors, steps, ["x"], ["y0", "y1", "y2"]))
    ports = ports_of(path)
    stored = random_stored(ports, 40, np.random.default_rng(1))
    made, expected = program_outputs(path, ports, stored), reference(path, ports, stored)
    assert all(np.array_equal(made[name], values) for name, values in expected.items())


@pytest.mark.parametrize("scale", [0.05, 0.0625])
def test_numbers_beyond_what_an_input_stores_are_its_ends(scale: float, tmp_path: Path) -> None:
    x = T("x", (1, 2), scales=(scale,), zero_points=(83,))
    y = T("y", (1, 2), scales=(scale,), zero_points=(-100,))
    loaded = _load(tflite([x, y], [O("RELU", ("x",), ("y",))], ["x"], ["y"]), tmp_path)
    lowered = lower(loaded.graph, loaded.recipe)
    ends = np.array([[-(128 + 83), 127 - 83]]) * scale
    samples = Samples({"x": np.concatenate([ends, [[-100.0, 100.0]]])}, "two ends, and far beyond")
    raw = raw_inputs(lowered.program, lowered.recipe, samples)
    made = results(lowered.program, interpret(lowered.program, raw))["y"]
    assert np.array_equal(made[0], made[1]) and made[0, 1] > made[0, 0] == 0


def test_a_final_softmax_is_left_to_the_host(tmp_path: Path) -> None:
    x = T("x", (1, 4), scales=(0.25,), zero_points=(3,))
    y = T("y", (1, 4), scales=(1 / 256,), zero_points=(-128,))
    data = tflite([x, y], [O("SOFTMAX", ("x",), ("y",), 2, {0: ("f32", 1.0)})], ["x"], ["y"])
    loaded = _load(data, tmp_path)
    (output,) = lower(loaded.graph, loaded.recipe).program.outputs
    assert (output.name, output.host) == ("y", HostFunction.SOFTMAX)
    assert any("left to the host" in finding for finding in loaded.findings)


def test_a_softmax_inside_has_the_levels_that_its_kernel_knows(tmp_path: Path) -> None:
    tensors = [T(name, (1, 4)) for name in "xsy"]
    steps = [O("SOFTMAX", ("x",), ("s",), 2, {0: ("f32", 1.0)}), O("RELU", ("s",), ("y",))]
    with pytest.raises(UnsupportedModelError, match="levels are not 256ths"):
        _load(tflite(tensors, steps, ["x"], ["y"]), tmp_path)


@pytest.mark.parametrize("op", ["TILE", "MIRROR_PAD"])
def test_a_size_that_is_not_declared_is_refused_before_it_is_made(op: str, tmp_path: Path) -> None:
    x, y = T("x", (1, 2)), T("y", (1, 4))
    shape = (2,) if op == "TILE" else (2, 2)
    given = T("n", shape, "INT32", np.full(shape, 2**31 - 1), (), ())
    step = O(op, ("x", "n"), ("y",), 1)
    with pytest.raises(UnsupportedModelError, match=r"declared as \(1, 4\)"):
        _load(tflite([x, given, y], [step], ["x"], ["y"]), tmp_path)


@pytest.mark.slow
def test_attention_in_integers_is_alike_in_every_stage(tmp_path: Path) -> None:
    """Products of two tensors around a softmax, from the reference kernels to RTL."""
    places, width = 4, 3
    x, y = (
        T(name, (1, places, width), scales=(scale,), zero_points=(zero,))
        for name, scale, zero in (("x", 0.05, 3), ("y", 0.04, 5))
    )
    scores = T("scores", (1, places, places), scales=(0.06,), zero_points=(-7,))
    shares = T("shares", (1, places, places), scales=(1 / 256,), zero_points=(-128,))
    steps = [
        O("BATCH_MATMUL", ("x", "x"), ("scores",), 2, {1: ("bool", 1.0)}),
        O("SOFTMAX", ("scores",), ("shares",), 2, {0: ("f32", 1.0)}),
        O("BATCH_MATMUL", ("shares", "x"), ("y",), 2),
    ]
    path = tmp_path / "attention.tflite"
    path.write_bytes(tflite([x, scores, shares, y], steps, ["x"], ["y"]))
    ports = ports_of(path)
    stored = random_stored(ports, 100, np.random.default_rng(0))
    wanted = reference(path, ports, stored)["y"]
    assert np.array_equal(program_outputs(path, ports, stored)["y"], wanted)
    samples = ports.inputs[0].real(stored["x"]).astype(np.float32)
    run = api.load(path, {"x": samples}).compile(tmp_path / "run", targets=("hls", "rtl"))
    assert run.exact and len(run.result.agreement) == 3


def test_real_inputs_are_rounded_as_quantize_rounds_them(tmp_path: Path) -> None:
    """To the nearest stored integer, halves away from zero, the ends where there is none."""
    x, y = T("x", (1, 1), scales=(0.5,), zero_points=(7,)), T("y", (1, 1), scales=(0.5,))
    step = O("QUANTIZE", ("x",), ("y",), 1)
    loaded = _load(tflite([x, y], [step], ["x"], ["y"]), tmp_path)
    quantizer = loaded.recipe.activation("x")
    assert (quantizer.rounding, quantizer.overflow) == (Rounding.RND_INF, Overflow.SAT)
    assert quantize([0.25, -0.25, 1.2], quantizer).tolist() == [1, -1, 2]


def test_the_float_network_is_the_dequantized_one(tmp_path: Path) -> None:
    """Without its roundings, the Graph computes real weights times real inputs."""
    x, y = T("x", (1, 3), scales=(0.3,), zero_points=(5,)), T("y", (1, 1), scales=(0.1,))
    w = T("w", (1, 3), "INT8", np.array([[10, -20, 30]]), (0.02,), (0,))
    b = T("b", (1,), "INT32", np.array([40]), (0.006,), (0,))
    step = O("FULLY_CONNECTED", ("x", "w", "b"), ("y",), 4, {0: ("i8", 0)})
    loaded = _load(tflite([x, w, b, y], [step], ["x"], ["y"]), tmp_path)
    reals = np.array([[1.0, 2.0, 3.0]])
    (result,) = outputs(loaded.graph, [reals])
    exact = reals @ (np.array([10, -20, 30]) * 0.02) + 40 * 0.006
    assert result.reshape(-1) == pytest.approx(exact, rel=1e-5)
