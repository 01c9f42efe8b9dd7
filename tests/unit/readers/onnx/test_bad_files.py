# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files that cannot be read: one paragraph naming file, node, operator, output; exit code 2."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper

from edgeinfer.base.errors import InputError, UnsupportedModelError
from edgeinfer.cli.app import main
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support.onnx_models import BREVITAS, node

F, I64 = np.float32, np.int64
Made = Callable[[Path], Path]


def net(*nodes, x=(1, 4), outputs=("y",), weights=None, domains=None, opset=17):
    """A builder of a file with one input."""

    def build(folder: Path) -> Path:
        result = m.model(nodes, {"x": x}, outputs, weights, domains=domains, opset=opset)
        return m.saved(result, folder)

    return build


def changed(change: Callable[[ModelProto], None]) -> Made:
    """A sound file after a change."""

    def build(folder: Path) -> Path:
        result = m.model(
            [node("MatMul", ["x", "w"], ["t"], "fc"), node("Relu", ["t"], ["y"], "act")],
            {"x": (1, 4)},
            ["y"],
            {"w": np.ones((4, 3), F)},
        )
        change(result)
        return m.saved(result, folder)

    return build


def raw(content: bytes) -> Made:
    """A file of these bytes."""

    def build(folder: Path) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(content)
        return path

    return build


def external(location: str, *, length: int | None = None, offset: int = 0) -> Made:
    """Weights kept elsewhere."""

    def change(result: ModelProto) -> None:
        tensor = result.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": str(offset)}
        if length is not None:
            entries["length"] = str(length)
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    def build(folder: Path) -> Path:
        inside = folder / "model"
        inside.mkdir()
        (folder / "secret.bin").write_bytes(bytes(48))
        (inside / "short.bin").write_bytes(bytes(40))
        (inside / "link.bin").symlink_to(folder / "secret.bin")
        os.mkfifo(inside / "pipe.bin")
        return changed(change)(inside)

    return build


def truncated(folder: Path) -> Path:
    path = changed(lambda result: None)(folder)
    path.write_bytes(path.read_bytes()[:-40])
    return path


def huge_tensor(result: ModelProto) -> None:
    result.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]


def nan_weights(result: ModelProto) -> None:
    tensor = result.graph.initializer[0]
    tensor.raw_data = np.full((4, 3), np.nan, F).tobytes()


def short_field(result: ModelProto) -> None:
    tensor = result.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0, 2.0])


def no_outputs(result: ModelProto) -> None:
    del result.graph.output[:]


def unmade_output(result: ModelProto) -> None:
    result.graph.output[0].name = "z"


def made_twice(result: ModelProto) -> None:
    result.graph.node.append(node("Relu", ["x"], ["t"], "again"))


def future(result: ModelProto) -> None:
    result.opset_import[0].version = 99


def sparse(result: ModelProto) -> None:
    values = helper.make_tensor("w2", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    result.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def looping_function(result: ModelProto) -> None:
    opsets = [helper.make_opsetid("mine", 1)]
    call = [node("Again", ["a"], ["b"], domain="mine")]
    result.functions.append(helper.make_function("mine", "Again", ["a"], ["b"], call, opsets))


def branch() -> object:
    inner = helper.make_graph([node("Identity", ["x"], ["o"])], "inner", [], [
        helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    ])  # fmt: skip
    return node("If", ["c"], ["y"], "choice", then_branch=inner, else_branch=inner)


QUANT = {"s": F(0.5), "z": F(0), "b": F(8)}


def quant(**weights: object) -> Made:
    return net(
        node("Quant", ["x", "s", "z", "b"], ["y"], "q", domain=BREVITAS),
        weights=QUANT | weights,
        domains={BREVITAS: 1},
    )


CONV = node("Conv", ["x", "w"], ["y"], "conv")
CASES: dict[str, tuple[Made, tuple[str, ...]]] = {
    "no such file": (lambda folder: folder / "net.onnx", ("no file",)),
    "empty": (raw(b""), ("not an ONNX model",)),
    "text": (raw(b"hello world, I am no model"), ("not an ONNX file",)),
    "a zip": (raw(b"PK\x03\x04" + bytes(60)), ("not an ONNX",)),
    "truncated": (truncated, ("cut short",)),
    "a length of 2 GB claimed": (raw(b"\x3a\xff\xff\xff\xff\x07abc"), ("cut short",)),
    "a tensor of 4 TB claimed": (changed(huge_tensor), ("'w'", "48 are there")),
    "too few numbers": (changed(short_field), ("'w'", "12 numbers but 2")),
    "external data missing": (external("gone.bin"), ("'w'", "'gone.bin'", "missing")),
    "external data above": (external("../secret.bin"), ("'../secret.bin'", "not in the model's")),
    "external data absolute": (external("/etc/hostname"), ("not in the model's folder",)),
    "external data on a drive": (external("C:\\secret.bin"), ("not in the model's folder",)),
    "external data through a link": (external("link.bin"), ("link out of the model's folder",)),
    "external data in a pipe": (external("pipe.bin"), ("no regular file",)),
    "external data unnamed": (external(""), ("not in the model's folder",)),
    "external data too short": (external("short.bin"), ("which has 40",)),
    "external data beyond": (external("short.bin", offset=1 << 40), ("1,099,511,627,776",)),
    "external data negative": (external("short.bin", offset=-8), ("at -8",)),
    "external data oversized": (external("short.bin", length=1 << 40), ("do not belong",)),
    "no outputs": (changed(no_outputs), ("no outputs",)),
    "an output that nothing makes": (changed(unmade_output), ("output 'z'",)),
    "a tensor made twice": (changed(made_twice), ("'again'", "Relu", "'t'", "second time")),
    "a future operator set": (changed(future), ("operator set 99",)),
    "sparse weights": (changed(sparse), ("sparse",)),
    "a function that calls itself": (changed(looping_function), ("'Again' calls itself",)),
    "NaN weights": (changed(nan_weights), ("'fc'", "MatMul", "'t'", "NaN")),
    "a cycle": (
        net(node("Add", ["x", "b"], ["a"], "one"), node("Relu", ["a"], ["b"], "two"),
            outputs=("b",)),
        ("cycle", "'one'", "'two'", "Relu", "'b'"),
    ),
    "an input that nothing makes": (
        net(node("Relu", ["t"], ["y"], "act")), ("'act'", "Relu", "'y'", "'t'"),
    ),
    "a scale that vanishes": (
        net(
            node("QuantizeLinear", ["c", "s", "z"], ["q"], "quant"),
            node("DequantizeLinear", ["q", "s", "z"], ["d"], "back"),
            node("Add", ["x", "d"], ["y"], "add"),
            weights={
                "c": np.array([1, 2], np.float16), "s": np.array(1e-30, np.float32),
                "z": np.array(0, np.int8),
            },
        ),
        ("'quant'", "QuantizeLinear", "its scale is zero in the float16"),
    ),
    "an unknown domain": (
        net(node("Magic", ["x"], ["y"], "spell", domain="com.acme"), domains={"com.acme": 1}),
        ("'spell'", "com.acme.Magic", "'y'", "domain 'com.acme' is unknown"),
    ),
    "an unknown operator": (net(node("Det", ["x"], ["y"], "d")), ("'d'", "Det", "'y'")),
    "control flow": (
        net(
            node("ReduceMax", ["x"], ["m"], keepdims=0),
            node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
            branch(),
        ),
        ("'choice'", "If", "depends on the network's input"),
    ),
    "weights of a recurrence": (
        net(node("LSTM", ["x", "w", "r"], ["y"], "rnn", hidden_size=2, layout=1),
            weights={"w": np.zeros((1, 8, 3), F), "r": np.zeros((1, 8, 2), F)}, x=(1, 3, 4)),
        ("'rnn'", "LSTM", "do not fit 4 features"),
    ),
    "a dynamic axis": (net(node("Relu", ["x"], ["y"]), x=("n", "w")), ("'x'", "axis 1", "'w'")),
    "no batch": (net(node("Relu", ["x"], ["y"]), x=(4,)), ("'x'", "rank 1")),
    "a size of 0": (net(node("Relu", ["x"], ["y"]), x=(1, 0)), ("'x'", "[1, 0]")),
    "wrong rank": (
        net(CONV, x=(1, 3, 8), weights={"w": np.ones((2, 3, 3, 3), F)}),
        ("'conv'", "Conv", "'y'", "rank 3; 4 is needed"),
    ),
    "four spatial axes": (
        net(CONV, x=(1, 3, 4, 4, 4, 4), weights={"w": np.ones((2, 3, 2, 2, 2, 2), F)}),
        ("'conv'", "4 spatial axes"),
    ),
    "a window of nothing": (
        net(
            node("AveragePool", ["x"], ["y"], "pool", kernel_shape=[2, 0], dilations=[3, 2]),
            x=(2, 3, 8, 6),
        ),
        ("'pool'", "AveragePool", "window [2, 0]", "at least 1"),
    ),
    "channels that do not fit": (
        net(CONV, x=(1, 3, 8, 8), weights={"w": np.ones((2, 4, 3, 3), F)}),
        ("'conv'", "does not fit 3 channels"),
    ),
    "a kernel larger than the image": (
        net(CONV, x=(1, 3, 2, 2), weights={"w": np.ones((2, 3, 3, 3), F)}), ("'conv'", "not fit")
    ),
    "weights that depend on the input": (
        net(node("Gemm", ["x", "x"], ["y"], "fc", transB=1)), ("'fc'", "depend on the")
    ),
    "two tensors multiplied": (net(node("MatMul", ["x", "x"], ["y"], "mm")), ("'mm'", "MatMul")),
    "sizes that do not fit": (
        net(node("MatMul", ["x", "w"], ["y"], "fc"), weights={"w": np.ones((5, 3), F)}),
        ("'fc'", "does not fit"),
    ),
    "an impossible reshape": (
        net(node("Reshape", ["x", "s"], ["y"], "rs"), weights={"s": I64([1, 5])}),
        ("'rs'", "cannot be reshaped"),
    ),
    "the batch is mixed in": (
        net(node("Transpose", ["x"], ["y"], "tp", perm=[1, 0]), x=("n", 4)), ("'tp'", "batch axis")
    ),
    "resizing of samples": (
        net(node("Resize", ["x", "", "s"], ["y"], "up", mode="linear"), x=(2, 2, 4, 4),
            weights={"s": F([2, 1, 2, 2])}),
        ("'up'", "batch"),
    ),
    "reflected padding": (
        net(node("Pad", ["x", "p"], ["y"], "pad", mode="reflect"),
            weights={"p": I64([0, 9, 0, 1])}),
        ("'pad'", "mirrors 9 of"),
    ),
    "a power of the input": (net(node("Pow", ["x", "x"], ["y"], "q")), ("'q'", "exponent")),
    "training": (
        net(node("BatchNormalization", ["x", "v", "v", "v", "v"], ["y"], "bn", training_mode=1),
            weights={"v": np.ones(4, F)}),
        ("'bn'", "training mode"),
    ),
    "a variance below zero": (
        net(node("BatchNormalization", ["x", "v", "v", "v", "n"], ["y"], "bn"),
            weights={"v": np.ones(4, F), "n": -np.ones(4, F)}),
        ("'bn'", "variance"),
    ),
    "statistics of different channels": (
        net(node("BatchNormalization", ["x", "v", "v", "m", "v"], ["y"], "bn"),
            weights={"v": np.ones(4, F), "m": np.zeros(0, F)}),
        ("'bn'", "BatchNormalization", "'y'", "[0, 4] channels"),
    ),
    "more parts than outputs": (
        net(node("Split", ["x"], ["y", "z"], "parts", axis=1, num_outputs=1 << 40), opset=18),
        ("'parts'", "Split", "'y', 'z'", "num_outputs is 1099511627776"),
    ),
    "a cycle of one": (
        net(node("Add", ["x", "y"], ["y"], "self")), ("cycle", "'self'", "Add", "'y'")
    ),
    "an axis that is not there": (
        net(node("Softmax", ["x"], ["y"], "sm", axis=5)), ("'sm'", "Softmax", "'y'", "axis 5")
    ),
    "an order of other axes": (
        net(node("Transpose", ["x"], ["y"], "tp", perm=[0, 2, 1])), ("'tp'", "Transpose", "'y'")
    ),
    "ranks that cannot be joined": (
        net(node("Relu", ["x"], ["r"]), node("Concat", ["r", "c"], ["y"], "cat", axis=1),
            weights={"c": np.ones((1, 2, 2), F)}),
        ("'cat'", "Concat", "'y'"),
    ),
    "a constant bomb": (
        net(node("ConstantOfShape", ["s"], ["c"], "bomb"), node("Add", ["x", "c"], ["y"]),
            weights={"s": I64([1 << 20, 1 << 20])}),
        ("'bomb'", "1.1e+12 elements"),
    ),
    "a constant bomb of two vectors": (
        net(node("Mul", ["a", "b"], ["c"], "bomb"), node("Add", ["x", "c"], ["y"]),
            weights={"a": np.ones((1 << 17, 1), F), "b": np.ones((1, 1 << 17), F)}),
        ("'bomb'", "elements"),
    ),
    "an output without an input": (
        net(node("Identity", ["w"], ["y"]), weights={"w": F([1])}), ("'y'", "not depend")
    ),
    "a scale of 0": (quant(s=F(0)), ("'q'", "Quant", "scale is not positive")),
    "a scale of NaN": (quant(s=F(np.nan)), ("'q'", "NaN")),
    "half a bit": (quant(b=F(2.5)), ("'q'", "bit width is not a whole number")),
    "no bits": (quant(b=F(0)), ("'q'", "0 bits")),
    "scales for other channels": (quant(s=F([1, 2, 3])), ("'q'", "does not fit")),
    "scales by blocks": (
        net(node("DequantizeLinear", ["w", "s"], ["y"], "dq", block_size=2, axis=1), opset=21,
            weights={"w": np.ones((4, 4), np.int8), "s": np.ones((4, 2), F)}),
        ("'dq'", "blocks"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_paragraph_and_exit_code_2(name: str, tmp_path: Path) -> None:
    build, expected = CASES[name]
    path = build(tmp_path)
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    for part in expected:
        assert part in message
    assert "\n" not in message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_every_offence_is_listed_once(tmp_path: Path) -> None:
    path = net(
        node("Det", ["x"], ["a"], "one"),
        node("Relu", ["a"], ["b"], "fine"),
        node("NonZero", ["b"], ["c"], "two"),
        node("Unique", ["c"], ["y"], "three"),
    )(tmp_path)
    with pytest.raises(UnsupportedModelError) as caught:
        read(path)
    assert [offence.kind for offence in caught.value.offences] == ["Det", "NonZero", "Unique"]
    assert "3 layers cannot be read" in str(caught.value)


def test_unread_operators_do_no_harm(tmp_path: Path) -> None:
    path = net(node("Det", ["x"], ["a"]), node("Relu", ["x"], ["y"]))(tmp_path)
    assert m.kinds(read(path).graph) == ["Input", "Activation"]


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in CASES:
        if "claimed" in name or "bomb" in name or "external" in name:
            folder = tmp_path / name.replace(" ", "_")
            folder.mkdir()
            with pytest.raises(InputError):
                read(CASES[name][0](folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@settings(max_examples=150)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 200))
def test_damaged_bytes_are_an_error_or_a_model(
    place: int, value: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = changed(lambda made: None)(folder)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(bytes(content[: len(content) - cut % len(content)]))
    try:
        read(path)
    except InputError as error:
        assert str(path) in str(error)


def doubled(times: int) -> list:
    """A tensor joined with itself, again and again."""
    names = ["x", *(f"c{i}" for i in range(times))]
    pairs = itertools.pairwise(names)
    joined = [node("Concat", [a, a], [b], axis=1) for a, b in pairs]
    return [*joined, node("Relu", [names[-1]], ["y"])]


def test_sizes_are_added_up_before_memory_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"67,108,864 elements"):
        read(net(*doubled(24))(tmp_path))
    assert read(net(*doubled(12))(tmp_path)).graph.shapes["y"] == (16384,)


@pytest.mark.parametrize(
    "attributes", [{"auto_pad": "SAME_UPPER"}, {"pads": [2**60, 2**60]}, {"pads": [0, 2**60]}]
)
def test_a_dilation_beyond_all_memory_is_refused(tmp_path: Path, attributes: dict) -> None:
    conv = node("Conv", ["x", "w"], ["y"], dilations=[2**60], **attributes)
    weights = {"w": np.ones((2, 2, 3), F)}
    with pytest.raises(InputError, match=r"padding of .* elements of|does not fit"):
        read(net(conv, x=(1, 2, 8), weights=weights)(tmp_path))


def test_a_cast_to_bfloat16_rounds_and_is_refused(tmp_path: Path) -> None:
    to = TensorProto.BFLOAT16
    casts = node("Cast", ["x"], ["h"], to=to), node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)
    with pytest.raises(UnsupportedModelError, match=r"rounds to BFLOAT16.*Cast to float32"):
        read(net(*casts)(tmp_path))


def test_weights_that_leave_float32_are_a_mistake_of_the_model(tmp_path: Path, capsys) -> None:
    layers = [node("MatMul", [a, "w"], [b]) for a, b in (("x", "a"), ("a", "y"))]
    path = net(*layers, x=(1, 2), weights={"w": np.full((2, 2), 3e38, F)})(tmp_path)
    assert main(["compile", str(path), "--target", "none", "-o", str(tmp_path / "run")]) == 2
    assert "'a' leave float32" in capsys.readouterr().err
