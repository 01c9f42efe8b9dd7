# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""QONNX files: values and formats are those of qonnx, and the integer Program says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir.lower import lower
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.program import Program
from edgeinfer.readers.loaded import LoadedModel
from edgeinfer.readers.onnx.reader import read
from quantization.fixed import Quantizer
from tests.support import onnx_models as m
from tests.support import other_exporters
from tests.support.onnx_models import BREVITAS, floats, node

F = np.float32


def quant(x: str, y: str, scale: str, zero: str, bits: str, **attributes: Any) -> NodeProto:
    given_ = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    return node("Quant", [x, scale, zero, bits], [y], f"{y}_quant", domain=BREVITAS, **given_)


def qonnx(
    nodes: Sequence[NodeProto],
    weights: Mapping[str, Any],
    *,
    x: Sequence[int] = (1, 6),
    version: int = 1,
) -> ModelProto:
    return m.model(nodes, {"x": x}, ["y"], weights, domains={BREVITAS: version})


def same(
    path: Path, feeds: Mapping[str, NDArray[Any]], *, atol: float = 0.0
) -> tuple[LoadedModel, NDArray[Any]]:
    """Ours is qonnx's."""
    theirs = m.reference(path, feeds)
    loaded = read(path)
    ours = m.computed(loaded, feeds, [y.shape for y in theirs], recipe=loaded.recipe)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=atol)
    assert m.on_its_grid(loaded)
    return loaded, theirs[0]


@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL", "HALF_UP", "HALF_DOWN", "DOWN"])
@pytest.mark.parametrize("zero", [0.0, 2.0, 3.0])
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0), (0, 1)])
def test_every_mode_on_exact_ties(
    mode: str, zero: float, signed: int, narrow: int, tmp_path: Path
) -> None:
    """Steps of 1/4, halves of them among the inputs, ends of the range crossed."""
    result = qonnx(
        [quant("x", "y", "s", "z", "b", signed=signed, narrow=narrow, rounding_mode=mode)],
        {"s": F(0.25), "z": F(zero), "b": F(4)},
        x=(1, 97),
    )
    feeds = {"x": np.arange(-48, 49, dtype=F).reshape(1, -1) / 8}
    same(m.saved(result, tmp_path), feeds)


@settings(max_examples=60)
@given(
    bits=st.integers(1, 12),
    exponent=st.integers(-6, 3),
    mantissa=st.sampled_from([1.0, 1.3, 0.7001, 1.9]),
    zero=st.integers(-3, 5),
    signed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_quantizers_of_all_widths(
    bits: int,
    exponent: int,
    mantissa: float,
    zero: int,
    signed: bool,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    step = F(mantissa * 2.0**exponent)
    result = qonnx(
        [quant("x", "y", "s", "z", "b", signed=int(signed))],
        {"s": step, "z": F(zero), "b": F(bits)},
        x=(1, 50),
    )
    rng = np.random.default_rng(seed)
    whole = rng.integers(-(2**bits) - 4, 2**bits + 4, (1, 50))
    inside = rng.uniform(-0.49, 0.49, (1, 50))  # away from ties, where float32 decides
    x = ((whole + inside) * float(step)).astype(F)
    x = np.where(np.abs(np.abs(x / step % 1) - 0.5) < 1e-3, F(0.1) * step, x)
    if bits == 1 and signed:
        x = np.where(np.abs(x / step + zero) < 1e-3, F(0.1) * step, x)
    path = m.saved(result, tmp_path_factory.mktemp("q"))
    same(path, {"x": x.astype(F)}, atol=2e-6 * float(step) * 2**bits)


def test_powers_of_two_become_plain_formats(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    nodes = [
        quant("x", "xq", "sx", "z", "b8"),
        quant("w", "wq", "sw", "z", "b4", narrow=1),
        quant("c", "cq", "sc", "z", "b8"),
        node("Gemm", ["xq", "wq", "cq"], ["g"], "fc", transB=1),
        node("Relu", ["g"], ["r"], "act"),
        quant("r", "y", "sx", "z", "b4", signed=0),
    ]
    weights = {
        "w": floats(rng, 5, 6), "c": floats(rng, 5), "sx": F(0.125),
        "sw": F([[0.25]] * 4 + [[0.5]]), "sc": F(0.03125), "z": F(0), "b4": F(4), "b8": F(8),
    }  # fmt: skip
    path = m.saved(qonnx(nodes, weights), tmp_path)
    loaded, _ = same(path, {"x": floats(rng, 1, 6)})
    assert m.kinds(loaded.graph) == ["Input", "Dense", "Activation"]
    assert loaded.recipe.activation("x") == Quantizer.parse("fixed<8,5>")
    assert loaded.recipe.activation("y") == Quantizer.parse("ufixed<4,1>")
    kernel = loaded.recipe.weight("fc/kernel")
    assert kernel is not None
    assert [str(q.type) for q in kernel.quantizers] == ["fixed<4,2>"] * 4 + ["fixed<4,3>"]
    assert str(loaded.recipe.weight("fc/bias")) == "fixed<8,3,RND_CONV,SAT>"
    assert not loaded.findings


def brevitas_cnn(rng: np.random.Generator) -> ModelProto:
    """What Brevitas exports: free scales, by channel for weights; zero points for activations."""
    nodes = [
        quant("x", "xq", "sx", "zx", "b8", signed=0),
        quant("w1", "w1q", "s1", "z", "b4", narrow=1),
        node("Conv", ["xq", "w1q", "c1"], ["a"], "conv1", pads=[1] * 4),
        node("BatchNormalization", ["a", "g", "be", "me", "va"], ["n"], "bn1"),
        node("Relu", ["n"], ["r"], "relu1"),
        quant("r", "rq", "sr", "z", "b4", signed=0),
        node("MaxPool", ["rq"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        quant("w2", "w2q", "s2", "z", "b4", narrow=1),
        node("Transpose", ["w2q"], ["w2t"], perm=[1, 0]),
        node("MatMul", ["f", "w2t"], ["m"], "fc"),
        node("Add", ["m", "c2"], ["y"], "bias"),
    ]
    weights = {
        "w1": floats(rng, 4, 3, 3, 3), "c1": floats(rng, 4), "w2": floats(rng, 5, 48),
        "c2": floats(rng, 5), "g": floats(rng, 4), "be": floats(rng, 4), "me": floats(rng, 4),
        "va": np.abs(floats(rng, 4)) + F(0.5), "sx": F(0.0137), "zx": F(3), "z": F(0),
        "s1": np.abs(floats(rng, 4, 1, 1, 1)) + F(0.1), "s2": F(0.21), "sr": F(0.33),
        "b8": F(8), "b4": F(4),
    }  # fmt: skip
    return qonnx(nodes, weights, x=(1, 3, 8, 6))


def test_brevitas_network_is_qonnx_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    path = m.saved(brevitas_cnn(rng), tmp_path)
    for _ in range(5):
        feeds = {"x": rng.uniform(0, 3, (1, 3, 8, 6)).astype(F)}
        loaded, _ = same(path, feeds, atol=1e-5)
    names = ["Input", "Affine", "Affine", "Conv", "Affine", "Activation", "Pool", "Reshape"]
    assert m.kinds(loaded.graph) == [*names, "Dense", "Affine"]
    kernel = next(n for n in loaded.graph.nodes if n.name == "conv1").kernel
    assert np.array_equal(kernel, np.round(kernel))
    assert np.abs(kernel).max() == 7
    assert str(loaded.recipe.weight("conv1/kernel")) == "fixed<4,4,RND_CONV,SAT>"


def test_bipolar_weights_and_signs(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    nodes = [
        node("BipolarQuant", ["x", "sx"], ["xq"], domain=BREVITAS),
        node("BipolarQuant", ["w", "sw"], ["wq"], domain=BREVITAS),
        node("MatMul", ["xq", "wq"], ["t"]),
        node("BipolarQuant", ["t", "one"], ["y"], domain=BREVITAS),
    ]
    weights = {"w": floats(rng, 6, 5), "sx": F(0.3), "sw": F(0.7), "one": F(1)}
    path = m.saved(qonnx(nodes, weights), tmp_path)
    loaded, y = same(path, {"x": floats(rng, 1, 6)})
    assert set(y.ravel()) <= {-1.0, 1.0}
    assert m.kinds(loaded.graph) == ["Input", "Activation", "Dense", "Activation"]


@pytest.mark.parametrize("scale", [0.5, 0.3])
def test_trunc_drops_lower_bits(scale: float, tmp_path: Path) -> None:
    nodes = [
        quant("x", "q", "s", "z", "b8"),
        node("Trunc", ["q", "s", "z", "b8", "b5"], ["y"], domain=BREVITAS, rounding_mode="FLOOR"),
    ]
    weights = {"s": F(scale), "z": F(0), "b8": F(8), "b5": F(5)}
    result = qonnx(nodes, weights, x=(1, 99))
    x = (np.arange(-49, 50, dtype=F) * 3 * F(scale)).reshape(1, -1)
    same(m.saved(result, tmp_path), {"x": x}, atol=1e-5)


def test_scale_by_input_channel_is_held_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    nodes = [quant("w", "wq", "s", "z", "b"), node("MatMul", ["x", "wq"], ["y"], "fc")]
    weights = {
        "w": floats(rng, 6, 5), "s": np.abs(floats(rng, 6, 1)) + F(0.1), "z": F(0), "b": F(4)
    }  # fmt: skip
    loaded, _ = same(m.saved(qonnx(nodes, weights), tmp_path), {"x": floats(rng, 1, 6)}, atol=1e-5)
    assert any("varies along their inputs" in finding for finding in loaded.findings)


def test_a_quantizer_shared_by_two_readers(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    nodes = [
        node("MatMul", ["x", "w"], ["t"], "fc"),
        quant("t", "a", "s", "z", "b4"),
        quant("t", "b", "s2", "z", "b4"),
        node("Add", ["a", "b"], ["y"]),
    ]
    weights = {"w": floats(rng, 6, 5), "s": F(0.25), "s2": F(0.5), "z": F(0), "b4": F(4)}
    loaded, _ = same(m.saved(qonnx(nodes, weights), tmp_path), {"x": floats(rng, 1, 6)})
    assert loaded.recipe.activation("fc") is None
    assert len(loaded.recipe.activations) == 2


def test_rounding_up_has_no_counterpart(tmp_path: Path) -> None:
    result = qonnx(
        [quant("x", "y", "s", "z", "b", rounding_mode="UP")],
        {"s": F(0.25), "z": F(0), "b": F(4)},
    )
    with pytest.raises(UnsupportedModelError, match="rounding mode UP has no counterpart"):
        read(m.saved(result, tmp_path))


def test_finn_domains_and_channels_last_pools(tmp_path: Path) -> None:
    """The names that older tools gave to QONNX's operators."""
    rng = np.random.default_rng(6)
    general, last = "finn.custom_op.general", "qonnx.custom_op.channels_last"
    nodes = [
        node("Quant", ["x", "s", "z", "b"], ["q"], domain=general, signed=1, narrow=0),
        node("MaxPoolNHWC", ["q"], ["p"], domain=general, kernel_shape=[2, 2], strides=[2, 2],
             pads=[0] * 4),
        node("Conv", ["p", "w"], ["c"], domain=last, kernel_shape=[2, 2], strides=[1, 1],
             dilations=[1, 1], pads=[0] * 4, group=1),
        node("BatchNormalization", ["c", "g", "g", "g", "v"], ["y"], domain=last, epsilon=1e-5,
             momentum=0.9),
    ]  # fmt: skip
    weights = {
        "s": F(0.25), "z": F(0), "b": F(4), "w": floats(rng, 5, 2, 2, 3), "g": floats(rng, 5),
        "v": np.abs(floats(rng, 5)) + F(0.1),
    }  # fmt: skip
    result = m.model(nodes, {"x": (1, 6, 4, 3)}, ["y"], weights, domains={general: 1, last: 1})
    x = floats(rng, 1, 6, 4, 3)
    loaded = read(m.saved(result, tmp_path))
    ours = m.computed(loaded, {"x": x}, [(1, 2, 1, 5)], recipe=loaded.recipe)[0]
    pooled = np.clip(np.round(x / 0.25), -8, 7).reshape(1, 3, 2, 2, 2, 3).max((2, 4)) * 0.25
    windows = np.lib.stride_tricks.sliding_window_view(pooled, (2, 2), (1, 2))
    summed = np.einsum("bhwcij,oijc->bhwo", windows, weights["w"])
    gamma, variance = weights["g"], weights["v"]
    expected = gamma * (summed - gamma) / np.sqrt(variance + 1e-5) + gamma
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert m.kinds(loaded.graph) == ["Input", "Pool", "Conv", "Affine"]


@pytest.mark.parametrize("mode", ["FLOOR", "ROUND", "CEIL", "DOWN"])
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (0, 0), (1, 1)])
def test_second_version_of_trunc_states_its_scale(
    mode: str, signed: int, narrow: int, tmp_path: Path
) -> None:
    said = {"rounding_mode": mode, "signed": signed, "narrow": narrow}
    nodes = [
        quant("x", "q", "s", "z", "b8", signed=signed),
        node("Trunc", ["q", "s", "z", "b8", "so", "b5"], ["y"], domain=BREVITAS, **said),
    ]
    weights = {"s": F(0.5), "so": F(4.0), "z": F(0), "b8": F(8), "b5": F(5)}
    result = qonnx(nodes, weights, x=(1, 99), version=2)
    x = (np.arange(-49, 50, dtype=F) * F(1.5)).reshape(1, -1)
    same(m.saved(result, tmp_path), {"x": x}, atol=1e-5)


def test_trunc_of_a_sum_is_an_average(tmp_path: Path) -> None:
    """How Brevitas exports its average pool: a mean, back to a sum, the lower bits dropped."""
    nodes = [
        quant("x", "q", "s", "z", "b4", signed=0),
        node("AveragePool", ["q"], ["a"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Mul", ["a", "four"], ["m"], "sum"),
        node("Trunc", ["m", "s", "z", "b6", "b4"], ["y"], domain=BREVITAS, rounding_mode="FLOOR"),
    ]
    weights = {"s": F(0.25), "z": F(0), "b4": F(4), "b6": F(6), "four": F(4)}
    result = qonnx(nodes, weights, x=(1, 3, 6, 4))
    x = np.random.default_rng(7).uniform(0, 4, (1, 3, 6, 4)).astype(F)
    same(m.saved(result, tmp_path), {"x": x})


@pytest.mark.parametrize("powers_of_two", [False, True])
def test_raw_and_cleaned_files_are_one_program(powers_of_two: bool, tmp_path: Path) -> None:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    result = other_exporters.brevitas(3, powers_of_two=powers_of_two)
    raw = read(m.saved(result, tmp_path))
    (tmp_path / "clean").mkdir()
    cleaned_model = cleanup_model(ModelWrapper(result)).model
    assert "Constant" not in {entry.op_type for entry in cleaned_model.graph.node}
    cleaned = read(m.saved(cleaned_model, tmp_path / "clean"))
    (entry,) = cleaned.graph.inputs
    digests = []
    for loaded in (raw, cleaned):
        program = lower(loaded.graph, loaded.recipe).program
        (input_,), (output,) = program.inputs, program.outputs
        ops = tuple(replace(op, name="x") if op is input_ else op for op in program.ops)
        renamed = {input_.name: "x"}
        ops = tuple(rewire_op(op, renamed) for op in ops)
        digests.append(Program("net", ops, (replace(output, name="y"),)).digest)
    assert entry.shape == (6, 4, 2)
    assert digests[0] == digests[1]
