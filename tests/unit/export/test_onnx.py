# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs as ONNX files: other people's code computes the same integers, and a QONNX file read
back is the same Program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgeinfer.base.errors import ModelError, UsageError
from edgeinfer.base.version import __version__
from edgeinfer.evaluate.judge import Floats, dequantize_outputs
from edgeinfer.export.onnx_files import OnnxFormat, contents, write
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Clip, Dense, Input, Reshape, Scale, Table, pack_weights
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats, draw_samples_for, plain
from edgeinfer.zoo import ENTRIES, resolve
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe
from tests.support import random_graphs
from tests.support.exported import by_qonnx, by_runtime, ports
from tests.support.random_programs import random_inputs, random_program

ZOO = [name for name, entry in ENTRIES.items() if entry.reference is not None]
# Formats that have no nodes for some ops: tables and look-ups in QONNX, loops in QDQ as well.
LACKING = {
    "jet-transformer": {OnnxFormat.QONNX},
    "track-graph": {OnnxFormat.QONNX},
    "jet-recurrent": {OnnxFormat.QONNX, OnnxFormat.QDQ},
}
MASKED = {"sparse-ssnet-small"}  # its mask is read back as another comparison of the same meaning
X = Fixed(True, 6, 3)


def same(result: Mapping[str, Ints], program: Program, raw: Mapping[str, Ints]) -> None:
    """Bit for bit what the engine says."""
    expected = Engine(program).run(raw)
    assert set(result) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(result[name], values, err_msg=name)


def real_outputs(program: Program, raw: Mapping[str, Ints]) -> dict[str, Floats]:
    """What the engine says, in real numbers."""
    return dequantize_outputs(program, Engine(program).run(raw))


def read_back(content: bytes, folder: Path) -> Program:
    """The Program of a file."""
    path = folder / "net.onnx"
    path.write_bytes(content)
    loaded = load(path)
    return lower(loaded.graph, loaded.recipe).program


def requantized(quantizer: Quantizer, x: Fixed = X) -> Program:
    """One rounding of an input."""
    builder = ProgramBuilder("rounding")
    builder.add(Input("x", x, (64,)))
    builder.requant("y", "x", quantizer)
    return builder.program((Output("y", "y"),))


# Random Programs


@pytest.mark.parametrize("seed", range(24))
def test_integers_only_are_the_engines(seed: int) -> None:
    program = random_program(seed, widths=(1, 24 if seed % 2 else 8))
    try:
        content = contents(program, OnnxFormat.INTEGER).content
    except ModelError as error:
        assert "it depends on no input" in str(error)
        return
    raw = random_inputs(program, seed, 4)
    same(by_runtime(content, raw), program, raw)
    graph = onnx.load_from_string(content).graph
    floats = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
    assert not any(tensor.data_type in floats for tensor in graph.initializer)


@pytest.mark.parametrize("seed", range(24))
def test_pairs_are_the_engines(seed: int) -> None:
    program = random_program(seed, widths=(1, 14 if seed % 2 else 8))
    try:
        content = contents(program, OnnxFormat.QDQ).content
    except ModelError as error:
        assert "it depends on no input" in str(error) or "float64 holds 53" in str(error)
        return
    raw = random_inputs(program, seed, 4)
    same(by_runtime(content, raw), program, raw)


@pytest.mark.parametrize("seed", range(24))
def test_qonnx_is_the_same_program_and_qonnx_computes_it(seed: int, tmp_path: Path) -> None:
    network = random_graphs.random_network(seed)
    program = lower(network.graph, network.recipe).program
    try:
        content = contents(program, OnnxFormat.QONNX).content
    except ModelError as error:
        assert "(Table)" in str(error) or "(PRelu)" in str(error)
        return
    assert read_back(content, tmp_path).digest == program.digest
    raw = random_graphs.random_inputs(network, seed, 3)
    same(by_qonnx(content, raw), program, raw)


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("start", range(1000, 1300, 100))
def test_many_random_programs(start: int, tmp_path: Path) -> None:
    carried = 0
    for seed in range(start, start + 100):
        network = random_graphs.random_network(seed, widest=6 if seed % 3 else 12)
        program = lower(network.graph, network.recipe).program
        raw = random_graphs.random_inputs(network, seed, 3)
        for kind in (OnnxFormat.INTEGER, OnnxFormat.QDQ):
            same(by_runtime(contents(program, kind).content, raw), program, raw)
        try:
            content = contents(program, OnnxFormat.QONNX).content
        except ModelError:
            continue
        carried += 1
        assert read_back(content, tmp_path).digest == program.digest, seed
        same(by_qonnx(content, raw), program, raw)
    assert carried > 80


# Reference models


def reference_model(name: str, bits: int) -> Program:
    """A committed reference model at one width for everything."""
    loaded = load(resolve(name))
    loaded = add_formats(loaded, plain(bits), draw_samples_for(loaded, Recipe()))
    return lower(loaded.graph, loaded.recipe).program


@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("name", ZOO)
def test_reference_models(name: str, bits: int, tmp_path: Path) -> None:
    program = reference_model(name, bits)
    raw = random_inputs(program, bits, 2)
    written = {
        kind: contents(program, kind) for kind in OnnxFormat if kind not in LACKING.get(name, ())
    }
    for kind in {OnnxFormat.INTEGER, OnnxFormat.QDQ} & set(written):
        same(by_runtime(written[kind].content, raw), program, raw)
    if OnnxFormat.QONNX not in written:
        return
    assert not written[OnnxFormat.QONNX].findings
    again = read_back(written[OnnxFormat.QONNX].content, tmp_path)
    if name in MASKED:
        result, expected = real_outputs(again, raw), real_outputs(program, raw)
        np.testing.assert_array_equal(result["label"], expected["label"])
    else:
        assert again.digest == program.digest
    same(by_qonnx(written[OnnxFormat.QONNX].content, raw), program, raw)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bits", [4, 8])
def test_the_faithful_hit_tagger(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "hit-tagger.keras"
    ENTRIES["hit-tagger"].build().save(path)
    loaded = load(path)
    loaded = add_formats(loaded, plain(bits), draw_samples_for(loaded, Recipe()))
    program = lower(loaded.graph, loaded.recipe).program
    raw = random_inputs(program, 5, 2)
    for kind in (OnnxFormat.INTEGER, OnnxFormat.QDQ):
        same(by_runtime(contents(program, kind).content, raw), program, raw)
    content = contents(program, OnnxFormat.QONNX).content
    assert read_back(content, tmp_path).digest == program.digest
    same(by_qonnx(content, raw), program, raw)


@pytest.mark.parametrize(
    "name", ["TFC_1W2A.onnx", "unsw_nb15-mlp-w2a2.onnx", "qkeras_mnist_cnn.json"]
)
def test_other_peoples_quantized_models(name: str, cases: Path, tmp_path: Path) -> None:
    loaded = load(cases / "models" / name)
    program = lower(loaded.graph, loaded.recipe).program
    raw = random_inputs(program, 7, 2)
    for kind in (OnnxFormat.INTEGER, OnnxFormat.QDQ):
        same(by_runtime(contents(program, kind).content, raw), program, raw)
    content = contents(program, OnnxFormat.QONNX).content
    assert read_back(content, tmp_path).digest == program.digest
    same(by_qonnx(content, raw), program, raw)


# Roundings and overflows


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
def test_every_rounding_and_overflow_of_pairs_and_integers(
    rounding: Rounding, overflow: Overflow
) -> None:
    for type_ in (Fixed(True, 4, 2), Fixed(False, 3, 1), Fixed(True, 8, 2), Fixed(True, 3, 4)):
        program = requantized(Quantizer(type_, rounding, overflow), Fixed(True, 6, 3))
        raw = {"x": np.arange(-32, 32, dtype=np.int64)[None]}
        for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
            same(by_runtime(contents(program, kind).content, raw), program, raw)


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.SAT_SYM])
@pytest.mark.parametrize(
    "rounding",
    [Rounding.RND_CONV, Rounding.TRN, Rounding.TRN_ZERO, Rounding.RND_INF, Rounding.RND_ZERO],
)
def test_every_rounding_that_qonnx_knows(
    rounding: Rounding, overflow: Overflow, tmp_path: Path
) -> None:
    for type_ in (Fixed(True, 4, 2), Fixed(False, 3, 1), Fixed(True, 3, 4)):
        program = requantized(Quantizer(type_, rounding, overflow), Fixed(True, 6, 3))
        raw = {"x": np.arange(-32, 32, dtype=np.int64)[None]}
        content = contents(program, OnnxFormat.QONNX).content
        assert read_back(content, tmp_path).digest == program.digest
        same(by_qonnx(content, raw), program, raw)


def refused(quantizer: Quantizer, x: Fixed = X) -> str:
    with pytest.raises(ModelError) as caught:
        contents(requantized(quantizer, x), OnnxFormat.QONNX)
    assert caught.value.exit_code == 2
    assert "integer-onnx" in caught.value.hint
    assert "%y (Requant)" in str(caught.value)
    return str(caught.value)


def test_what_quant_nodes_cannot_say_is_refused_by_name() -> None:
    narrow = Fixed(True, 4, 2)
    assert "no rounding mode for RND" in refused(Quantizer(narrow, Rounding.RND, Overflow.SAT))
    assert "this is WRAP" in refused(Quantizer(narrow, Rounding.TRN, Overflow.WRAP))
    assert "-1 or 0" in refused(Quantizer(Fixed(True, 1, 1)))
    assert "30 bits" in refused(Quantizer(Fixed(True, 30, 20)), Fixed(True, 20, 20))


def test_every_op_that_is_not_carried_is_listed_and_nothing_written(tmp_path: Path) -> None:
    builder = ProgramBuilder("two")
    builder.add(Input("x", X, (4,)))
    builder.requant("a", "x", Quantizer(Fixed(True, 3, 2), Rounding.RND, Overflow.SAT))
    entries = pack_weights(np.array([3, 1, 4, 1, 5, 2, 6, 5], np.int64))
    builder.add(Table("b", Fixed(False, 4, 4), "a", -4, entries))
    program = builder.program((Output("b", "b"),))
    path = tmp_path / "net.onnx"
    path.write_bytes(b"as before")
    with pytest.raises(ModelError, match=r"%a \(Requant\).*%b \(Table\): its table holds no"):
        write(program, OnnxFormat.QONNX, path)
    assert path.read_bytes() == b"as before"
    raw = {"x": np.arange(-32, 32, dtype=np.int64).reshape(-1, 4)}
    for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
        same(by_runtime(contents(program, kind).content, raw), program, raw)


def test_a_float64_carries_what_a_float32_does_not() -> None:
    builder = ProgramBuilder("wide")
    builder.add(Input("x", Fixed(True, 16, 3), (3,)))
    weight = np.array([[32767, -32768], [32767, 1], [-32768, 77]], np.int64)
    type_ = Fixed(True, 16, 1)
    dense = Dense(
        "y", provisional(28), "x", pack_weights(weight), type_, pack_weights(np.array([1, -1]))
    )
    builder.exact(dense)
    program = builder.program((Output("y", "y"),))
    raw = random_inputs(program, 3, 20)
    for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
        same(by_runtime(contents(program, kind).content, raw), program, raw)
    content = contents(program, OnnxFormat.QONNX).content
    assert ports(content, "output")["y"]["fractional_bits"] == 28
    same(by_qonnx(content, raw), program, raw)


def test_beyond_a_float64_only_integers_go() -> None:
    builder = ProgramBuilder("huge")
    builder.add(Input("x", Fixed(True, 24, 24), (3,)))
    factor = np.array([(1 << 31) - 1, 1, 3], np.int64)
    scale = Scale(
        "y", provisional(0), "x", pack_weights(factor), Fixed(True, 32, 32), pack_weights(factor)
    )
    builder.exact(scale)
    program = builder.program((Output("y", "y"),))
    raw = random_inputs(program, 3, 20)
    same(by_runtime(contents(program, OnnxFormat.INTEGER).content, raw), program, raw)
    with pytest.raises(ModelError, match=r"%y \(Scale\): its integers may need 55 bits"):
        contents(program, OnnxFormat.QDQ)


# What the file says


@pytest.mark.parametrize("kind", OnnxFormat)
def test_the_file_explains_itself_and_is_always_the_same(kind: OnnxFormat) -> None:
    program = random_program(5, widths=(2, 6)) if kind is OnnxFormat.INTEGER else requantized(
        Quantizer(Fixed(True, 4, 2))
    )  # fmt: skip
    content = contents(program, kind).content
    assert contents(program, kind).content == content
    model = onnx.load_from_string(content)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props["edgeinfer.version"] == model.producer_version == __version__
    assert props["edgeinfer.format"] == kind
    assert props["edgeinfer.program"] == program.digest
    assert program.digest in model.doc_string
    assert set(ports(content, "input")) == {op.name for op in program.inputs}
    for op, value in zip(program.inputs, model.graph.input, strict=True):
        said = ports(content, "input")[op.name]
        assert (said["type"], said["fractional_bits"]) == (str(op.type), op.type.frac)
        assert (said["raw_min"], said["raw_max"]) == (op.type.raw_min, op.type.raw_max)
        power = f"2^{-op.type.frac}" if kind is OnnxFormat.INTEGER else f"2^{op.type.frac}"
        assert power in value.doc_string
    assert [value.name for value in model.graph.output] == [o.name for o in program.outputs]


@pytest.mark.parametrize("host", [HostFunction.SOFTMAX, HostFunction.SIGMOID])
def test_what_the_host_does_follows_in_qonnx_and_is_said_elsewhere(
    host: HostFunction, tmp_path: Path
) -> None:
    builder = ProgramBuilder("head")
    builder.add(Input("x", X, (3,)))
    weight = np.array([[3, -2], [1, 5], [-7, 1]], np.int64)
    builder.exact(
        Dense(
            "z",
            provisional(5),
            "x",
            pack_weights(weight),
            Fixed(True, 4, 2),
            pack_weights(np.zeros(2, int)),
        )
    )
    program = builder.program((Output("class", "z", host),))
    content = contents(program, OnnxFormat.QONNX).content
    assert read_back(content, tmp_path).digest == program.digest
    assert onnx.load_from_string(content).graph.node[-1].op_type.lower() == str(host)
    raw = random_inputs(program, 1, 4)
    same(by_qonnx(content, raw), program, raw)  # the tensor before it holds the integers
    for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
        file = contents(program, kind).content
        assert ports(file, "output")["class"]["host_function"] == str(host)
        same(by_runtime(file, raw), program, raw)


def test_one_value_may_be_two_outputs_and_an_input_one(tmp_path: Path) -> None:
    builder = ProgramBuilder("same")
    builder.add(Input("x", X, (6,)))
    builder.exact(Reshape("r", X, "x", (2, 3)))
    builder.exact(Clip("c", provisional(3), "r", 0, None))
    program = builder.program((Output("a", "c"), Output("b", "c"), Output("r", "r")))
    raw = random_inputs(program, 1, 4)
    for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
        same(by_runtime(contents(program, kind).content, raw), program, raw)
    content = contents(program, OnnxFormat.QONNX).content
    same(by_qonnx(content, raw), program, raw)
    assert read_back(content, tmp_path).digest == program.digest
    passed = Program("passed", program.ops, (Output("a", "c"), Output("p", "x")))
    bare = Program("bare", program.ops[:1], (Output("p", "x"), Output("q", "x")))
    for each in (passed, bare):
        for kind in (OnnxFormat.QDQ, OnnxFormat.INTEGER):
            same(by_runtime(contents(each, kind).content, raw), each, raw)
        content = contents(each, OnnxFormat.QONNX).content
        same(by_qonnx(content, raw), each, raw)
        assert read_back(content, tmp_path).digest == each.digest
    with pytest.raises(ModelError, match=r"x \(output\): an input has the same name"):
        contents(Program("p", program.ops, (Output("x", "x"),)), OnnxFormat.INTEGER)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.onnx"):
        write(requantized(Quantizer(X)), OnnxFormat.QDQ, tmp_path / "net.tflite")
    assert not list(tmp_path.iterdir())
