# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every limit of the rules table, and which connected part of a network is mapped."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from edgeinfer.base.tflite import model as tflite
from edgeinfer.base.tflite.model import TfliteModel
from edgeinfer.targets.edgetpu.predict.mapping import mapping_of
from edgeinfer.targets.edgetpu.predict.prediction import prediction_of
from edgeinfer.targets.edgetpu.predict.rules import RULES, Status, refusal
from edgeinfer.targets.edgetpu.tflite.versions import READABLE
from tests.support import tflite_builder as build
from tests.support.tflite_builder import O, T

Options = Mapping[int, tuple[str, int]]
IMAGE, ROW = (1, 8, 8, 4), (1, 16)
CONV = {1: ("i32", 1), 2: ("i32", 1)}


def model(
    tensors: list[T], operators: list[O], inputs: list[str], outputs: list[str]
) -> TfliteModel:
    """A file's content."""
    return tflite.parse(build.tflite(tensors, operators, inputs, outputs), "a test's file")


def one(
    name: str,
    entered: tuple[int, ...] = IMAGE,
    left: tuple[int, ...] = IMAGE,
    *constants: T,
    version: int = 1,
    options: Options | None = None,
    type_: str = "INT8",
    first: bool = True,
) -> TfliteModel:
    """One operator; constants follow its input, or come before it."""
    tensors = [T("x", entered, type_), T("y", left, type_), *constants]
    names = [t.name for t in constants]
    read = ("x", *names) if first else (*names, "x")
    return model(tensors, [O(name, read, ("y",), version, options or {})], ["x"], ["y"])


def status(result: TfliteModel, runtime: int = 14) -> Status:
    """What becomes of the first operator."""
    return mapping_of(result, runtime).operators[0].status


def ints(*values: int, name: str = "c") -> T:
    """A constant of whole numbers."""
    return T(name, (len(values),), "INT32", values)


def filled(value: int) -> T:
    """A constant image."""
    return T("c", IMAGE, "INT8", np.full(IMAGE, value))


def pads(axis: int) -> T:
    """Padding by 1 at the end of one axis."""
    return T("c", (4, 2), "INT32", [[0, int(i == axis)] for i in range(4)])


def ends(stop: int, step: int) -> tuple[T, ...]:
    """What a strided slice takes of a row."""
    bounds = ((0, 0), (1, stop), (1, step))
    return tuple(ints(*values, name=f"c{i}") for i, values in enumerate(bounds))


def weights(*shape: int, type_: str = "INT8") -> T:
    return T("w", shape, type_, np.ones(shape))


CASES = [
    (one("ADD"), Status.MAPPED),
    (one("GELU"), Status.VERSION),  # newer than the compiler
    (one("FLOOR_DIV"), Status.UNSUPPORTED),
    (one("LEAKY_RELU"), Status.UNSUPPORTED),
    (one("LOGISTIC", type_="FLOAT32"), Status.DATA_TYPE),
    (one("TANH", type_="INT32"), Status.DATA_TYPE),
    (one("QUANTIZE", type_="FLOAT32"), Status.LIMITED),
    (one("RELU", (2, 8, 8, 4), (2, 8, 8, 4)), Status.RANK),  # a batch of images
    (one("RELU", (1, -1, 8, 4), IMAGE), Status.LIMITED),
    (one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 3, 4), options=CONV), Status.MAPPED),
    (one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 3, 4), version=6), Status.VERSION),
    (
        one(
            "CONV_2D",
            IMAGE,
            IMAGE,
            weights(4, 3, 3, 4),
            options={**CONV, 4: ("i32", 2), 5: ("i32", 1)},
        ),
        Status.LIMITED,
    ),
    (one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 3, 2), options=CONV), Status.LIMITED),  # groups
    (one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 3, 4, type_="FLOAT32")), Status.DATA_TYPE),
    (one("FULLY_CONNECTED", ROW, (1, 4), weights(4, 16), version=4), Status.MAPPED),
    (one("FULLY_CONNECTED", (3, 16), (3, 4), weights(4, 16), version=4), Status.LIMITED),
    (one("FULLY_CONNECTED", ROW, (1, 4), weights(4, 16), version=9), Status.VERSION),
    (
        one("FULLY_CONNECTED", ROW, (1, 4), weights(4, 16), options={1: ("i8", 1)}),
        Status.LIMITED,
    ),
    (one("SOFTMAX", ROW, ROW), Status.MAPPED),
    (one("SOFTMAX", (1, 16_384), (1, 16_384)), Status.MAPPED),
    (one("SOFTMAX", (1, 16_385), (1, 16_385)), Status.LIMITED),
    (one("SOFTMAX", (1, 5, 16), (1, 5, 16)), Status.LIMITED),
    (one("AVERAGE_POOL_2D", IMAGE, (1, 4, 4, 4)), Status.MAPPED),
    (one("MAX_POOL_2D", IMAGE, (1, 4, 4, 4), options={5: ("i8", 1)}), Status.LIMITED),
    (one("CONCATENATION", IMAGE, (1, 8, 8, 8), filled(0)), Status.MAPPED),
    (one("CONCATENATION", IMAGE, (1, 8, 8, 8), filled(1)), Status.LIMITED),
    (one("MEAN", IMAGE, (1, 4), ints(1, 2)), Status.MAPPED),
    (one("MEAN", IMAGE, (8, 8, 4), ints(0)), Status.LIMITED),
    (one("MEAN", IMAGE, (1, 8, 8), ints(3)), Status.MAPPED),
    (one("MEAN", (1, 8, 8, 6), (1, 8, 8), ints(-1)), Status.LIMITED),
    (one("MEAN", (1, 256, 128, 3), (1, 3), ints(1, 2)), Status.LIMITED),
    (one("REDUCE_MAX", IMAGE, (1, 4), ints(1, 2)), Status.MAPPED),
    (one("REDUCE_MAX", IMAGE, (8, 8, 4), ints(0)), Status.LIMITED),
    (one("SUM", IMAGE, (8, 8, 4), ints(0)), Status.LIMITED),
    (one("PAD", IMAGE, (1, 10, 8, 4), pads(1)), Status.MAPPED),
    (one("PAD", IMAGE, (2, 8, 8, 4), pads(0)), Status.RANK),
    (one("PADV2", IMAGE, (1, 10, 8, 4)), Status.UNSUPPORTED),
    (one("RESIZE_BILINEAR", (1, 2, 2, 4), (1, 32, 32, 4), ints(32, 32)), Status.MAPPED),
    (one("RESIZE_BILINEAR", (1, 1, 1, 4), (1, 33, 33, 4), ints(33, 33)), Status.LIMITED),
    (one("RESIZE_NEAREST_NEIGHBOR", IMAGE, (1, 16, 16, 4), ints(16, 16), version=3), Status.MAPPED),
    (one("STRIDED_SLICE", ROW, (1, 8), *ends(8, 1)), Status.MAPPED),
    (one("STRIDED_SLICE", ROW, (1, 8), *ends(16, 2)), Status.LIMITED),
    (one("SPLIT", IMAGE, (1, 8, 8, 2), T("c", (), "INT32", 3), first=False), Status.MAPPED),
    (one("SPLIT", IMAGE, (1, 8, 8, 4), T("c", (), "INT32", 0), first=False), Status.MAPPED),
    (one("TILE", (1, 1, 1, 4), (1, 2, 2, 4), ints(1, 2, 2, 1)), Status.MAPPED),
    (one("PACK", ROW, (1, 16, 1), options={1: ("i32", 2)}), Status.MAPPED),
    (one("PACK", ROW, (1, 1, 16), options={1: ("i32", 0)}), Status.LIMITED),
    (one("PRELU", IMAGE, IMAGE, T("c", (1, 1, 4), "INT8", np.ones((1, 1, 4)))), Status.MAPPED),
    (one("PRELU", IMAGE, IMAGE, T("c", (8, 8, 4), "INT8", np.ones((8, 8, 4)))), Status.LIMITED),
    (one("TRANSPOSE", IMAGE, IMAGE, ints(0, 2, 1, 3)), Status.MAPPED),
    (one("TRANSPOSE", (1, 1, 8, 4), (1, 1, 8, 4), ints(1, 0, 2, 3)), Status.LIMITED),
    (one("TRANSPOSE_CONV", IMAGE, IMAGE, version=4), Status.VERSION),
]  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), CASES, ids=lambda v: getattr(v, "source", str(v)))
def test_limits(made: TfliteModel, expected: Status) -> None:
    assert status(made) is expected
    result = mapping_of(made).operators[0]
    assert bool(result.reason) == (expected is not Status.MAPPED) == bool(result.remedy)


@pytest.mark.parametrize("name", sorted(RULES))
def test_the_table_is_keyed_by_runtime(name: str) -> None:
    result = one(name)
    found = refusal(result.operators[0], RULES[name].since - 1)
    assert found is not None
    assert found.status is Status.UNSUPPORTED and "runtime" in found.reason
    assert name in READABLE


def test_computed_weights() -> None:
    tensors = [T("x", ROW), T("w", (4, 16)), T("y", (1, 4))]
    result = model(tensors, [O("FULLY_CONNECTED", ("x", "w", None), ("y",), 4)], ["x", "w"], ["y"])
    assert status(result) is Status.NOT_CONSTANT


def chain(*names: str) -> TfliteModel:
    """Element-wise operators in a row."""
    tensors = [T(f"t{i}", ROW) for i in range(len(names) + 1)]
    steps = [O(name, (f"t{i}",), (f"t{i + 1}",)) for i, name in enumerate(names)]
    return model(tensors, steps, ["t0"], [f"t{len(names)}"])


def statuses(result: TfliteModel) -> list[Status]:
    return [m.status for m in mapping_of(result).operators]


def test_only_the_part_before_the_first_unsupported_operator_is_mapped() -> None:
    assert statuses(chain("RELU", "TANH", "FLOOR", "RELU", "TANH")) == [
        Status.MAPPED,
        Status.MAPPED,
        Status.UNSUPPORTED,
        Status.LATER,
        Status.LATER,
    ]


def test_unsupported_operators_in_front_do_not_keep_the_rest_off_the_chip() -> None:
    assert statuses(chain("CAST", "FLOOR", "RELU", "TANH", "FLOOR", "RELU")) == [
        Status.UNSUPPORTED,
        Status.UNSUPPORTED,
        Status.MAPPED,
        Status.MAPPED,
        Status.UNSUPPORTED,
        Status.LATER,
    ]


def test_a_branch_without_the_unsupported_operator_is_mapped_whole() -> None:
    tensors = [T(name, ROW) for name in "xabcde"]
    steps = [
        O("RELU", ("x",), ("a",)),
        O("FLOOR", ("a",), ("b",)),
        O("TANH", ("a",), ("c",)),  # behind it in the file, but not dependent on it
        O("ADD", ("b", "c"), ("d",)),
        O("LOGISTIC", ("c",), ("e",)),
    ]
    result = statuses(model(tensors, steps, ["x"], ["d", "e"]))
    mapped, later = Status.MAPPED, Status.LATER
    assert result == [mapped, Status.UNSUPPORTED, mapped, later, mapped]


def test_enlarging_by_repetition_is_known_since_runtime_14() -> None:
    """How feature pyramids enlarge an image: packed with itself along y and x, then reshaped."""
    tensors = [
        T("x", (1, 4, 4, 8)),
        T("wide", (1, 4, 4, 2, 8)),
        T("high", (1, 4, 2, 4, 2, 8)),
        T("y", (1, 8, 8, 8)),
    ]
    steps = [
        O("PACK", ("x", "x"), ("wide",), 1, {1: ("i32", 3)}),
        O("PACK", ("wide", "wide"), ("high",), 1, {1: ("i32", 2)}),
        O("RESHAPE", ("high",), ("y",)),
    ]
    result = model(tensors, steps, ["x"], ["y"])
    assert statuses(result) == [Status.MAPPED] * 3
    old = [m.status for m in mapping_of(result, 13).operators]
    assert old[0] is Status.RANK and Status.MAPPED not in old


def test_a_file_that_the_compiler_cannot_read_is_said_to_be_refused() -> None:
    result = mapping_of(one("TRANSPOSE_CONV", version=4))
    assert result.refused == ("compiler 16.0 does not know TRANSPOSE_CONV version 4",)
    assert not mapping_of(chain("RELU")).refused


def test_what_of_a_file_is_not_judged_is_said() -> None:
    """Sizes that a signature leaves open, and further subgraphs, whose time nobody knows."""
    tensors = [T("x", IMAGE, signature=(-1, -1, -1, 4)), T("y", IMAGE), T("z", IMAGE)]
    steps = [O("RELU", ("x",), ("y",)), O("WHILE", ("y",), ("z",))]
    data = build.tflite(tensors, steps, ["x"], ["z"], subgraphs=3)
    found = prediction_of(tflite.parse(data, "a test's file")).document()
    assert [op["status"] for op in found["ops"]] == [Status.MAPPED, Status.UNSUPPORTED]
    assert found["ops"][1]["time_us"] is None
    said = " ".join(found["findings"])
    assert "The input x leaves sizes open (1 x ? x ? x 4)" in said
    assert "has 3 subgraphs" in said and "How long WHILE 1 takes" in said


@pytest.mark.parametrize(("side", "doubted"), [(32, False), (48, True)])
def test_a_large_reshape_is_mapped_with_a_doubt(side: int, doubted: bool) -> None:
    """As a detector's outputs are reshaped, which the documentation leaves open."""
    made = one("RESHAPE", (1, side, side, 255), (1, side * side, 255))
    found = prediction_of(made)
    assert len(found.mapping.on_chip) == 1
    assert any("some large ones stay on the host" in each for each in found.findings) is doubted


def test_an_operator_that_reads_its_own_result_ends_nothing() -> None:
    tensors = [T("x", ROW), T("y", ROW), T("z", ROW)]
    steps = [O("ADD", ("x", "z"), ("y",)), O("ADD", ("x", "y"), ("z",))]
    result = mapping_of(model(tensors, steps, ["x"], ["z"]))
    assert not result.on_chip  # neither can ever be computed


def test_dilation_does_not_count_along_one_position() -> None:
    """A dilated layer over one axis: three positions in y, one in x."""
    holes = {**CONV, 5: ("i32", 2)}
    assert status(one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 1, 4), options=holes)) is Status.MAPPED
    assert (
        status(one("CONV_2D", IMAGE, IMAGE, weights(4, 3, 3, 4), options=holes)) is Status.LIMITED
    )


def test_a_split_of_the_batch_into_parts_is_not_mapped() -> None:
    tensors = [
        T("c", (), "INT32", 0), T("x", (1, 1, 2, 4)), T("y", (1, 1, 1, 4)), T("z", (1, 1, 1, 4)),
    ]  # fmt: skip
    result = model(tensors, [O("SPLIT", ("c", "x"), ("y", "z"))], ["x"], ["y", "z"])
    assert status(result) is Status.LIMITED


def test_runtime_12_has_recurrence_and_new_resizing() -> None:
    size = ints(16, 16)
    assert status(one("RESIZE_BILINEAR", IMAGE, (1, 16, 16, 4), size, version=3), 12) is (
        Status.MAPPED
    )
    assert status(one("RESIZE_BILINEAR", IMAGE, (1, 16, 16, 4), size, version=3), 11) is (
        Status.VERSION
    )
    assert RULES["UNIDIRECTIONAL_SEQUENCE_LSTM"].since == 12
