# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sound files are read as they were written; whatever is done to one, the answer is one error."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import InputError
from edgeinfer.base.tflite import model as tflite
from edgeinfer.base.tflite.flat import Flat, FlatError
from edgeinfer.targets.edgetpu.chip import inspect
from edgeinfer.targets.edgetpu.predict.prediction import prediction_of
from edgeinfer.targets.edgetpu.tflite import compiled
from tests.support import tflite_builder as build

SOUND = build.dense(12, 5, bias=True)
COMPILED = build.compiled(
    build.package([build.E(2, b"s" * 5, (b"i" * 32,)), build.E(1, b"p" * 64, (b"j" * 16,))])
)


def test_a_file_is_read_as_it_was_written() -> None:
    model = tflite.parse(SOUND, "a.tflite")
    assert [op.name for op in model.operators] == ["QUANTIZE", "FULLY_CONNECTED", "QUANTIZE"]
    weights = model.operators[1].inputs[1]
    assert weights is not None and weights.per_channel and weights.scales.size == 5
    assert np.array_equal(weights.integers(), np.arange(60).reshape(5, 12) % 127)
    assert [t.name for t in model.inputs] == ["x"] and [t.name for t in model.outputs] == ["y"]
    assert model.inputs[0].type == "UINT8" and not model.inputs[0].constant


def test_a_compiled_file_tells_what_its_executables_hold() -> None:
    result = compiled.decode(tflite.parse(COMPILED, "a_edgetpu.tflite"))
    assert (result.cached_bytes, result.streamed_bytes, result.instruction_bytes) == (64, 5, 48)
    assert result.runtime_version == 14 and result.packages[0].compiler_version == "cl/test"
    document = inspect.document(result)
    assert [e["kind"] for e in document["executables"]] == ["EXECUTION_ONLY", "PARAMETER_CACHING"]
    assert document["inputs"][0]["shape"] == [1, 8]


def test_packages_for_single_chips_are_added_up_one_level_deep() -> None:
    inner = build.package([build.E(0, b"q" * 100)])
    both = build.package([build.E(1, b"p" * 10)], inner=[inner])
    result = compiled.decode(tflite.parse(build.compiled(both), "a"))
    assert (result.cached_bytes, result.streamed_bytes) == (10, 100)
    deeper = build.package([], inner=[both])
    with pytest.raises(InputError, match="packages are nested too deep"):
        compiled.decode(tflite.parse(build.compiled(deeper), "a"))


def test_what_is_no_compiled_file_is_told_so() -> None:
    with pytest.raises(InputError, match=r"plain.tflite holds no edgetpu-custom-op"):
        compiled.decode(tflite.parse(SOUND, "plain.tflite"))
    other = build.compiled(build.package([]), key="5")
    with pytest.raises(InputError, match="no package under '4'"):
        compiled.decode(tflite.parse(other, "a"))


def everything(data: bytes) -> None:
    """All that is ever done with a file; it succeeds, or it is one InputError."""
    try:
        model = tflite.parse(data, "f")
        json.dumps(prediction_of(model).document(), allow_nan=False)
        json.dumps(inspect.document(compiled.decode(model)), allow_nan=False)
    except InputError as error:
        assert str(error).startswith("f ")


@pytest.mark.parametrize("data", [SOUND, COMPILED], ids=["sound", "compiled"])
def test_a_file_cut_short_anywhere_is_an_error(data: bytes) -> None:
    for length in range(0, len(data), 3):
        everything(data[:length])
    for length in range(8):
        with pytest.raises(InputError):
            tflite.parse(data[:length], "f")


def test_files_of_other_kinds() -> None:
    for data in (b"", b"TFL3" * 100, b"\0" * 5000, b"PK\x03\x04" + bytes(range(256)) * 8):
        with pytest.raises(InputError, match=r"f is not a valid TensorFlow Lite file"):
            tflite.parse(data, "f")


@settings(max_examples=300)
@given(st.sampled_from([SOUND, COMPILED]), st.data())
def test_changed_words_are_survived(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data) // 4 - 1)) * 4
        word = draw.draw(
            st.one_of(
                st.integers(0, 64),
                st.integers(0, 0xFFFFFFFF),
                st.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000]),
            )
        )
        struct.pack_into("<I", changed, at, word)
    everything(bytes(changed))


@settings(max_examples=300)
@given(st.sampled_from([SOUND, COMPILED]), st.data())
def test_changed_bytes_are_survived(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=12)):
        changed[at] = draw.draw(st.integers(0, 255))
    everything(bytes(changed))


@pytest.mark.fuzz
@settings(max_examples=60_000)
@given(st.sampled_from([SOUND, COMPILED]), st.data())
def test_many_changed_words_are_survived(data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for at in draw.draw(st.lists(st.integers(0, len(data) - 4), min_size=1, max_size=8)):
        struct.pack_into("<I", changed, at, draw.draw(st.integers(0, 0xFFFFFFFF)))
    everything(bytes(changed))


def test_a_claim_of_two_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.tflite"
    with path.open("wb") as file:
        file.write(SOUND)
        os.truncate(file.fileno(), 2 << 30)  # sparse: it takes no room
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="2,147,483,648 bytes"):
            tflite.read(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_vector_that_claims_more_than_there_is() -> None:
    vtable, table = struct.pack("<HHH2x", 6, 8, 4), struct.pack("<iI", 8, 4)
    data = struct.pack("<I4s", 16, b"TFL3") + vtable + table + struct.pack("<I", 0x7FFFFFFF)
    root = Flat.over(data).root(b"TFL3")
    for read in (root.tables, root.blob, root.text, root.blobs):
        with pytest.raises(FlatError, match="are outside"):
            read(0)
    with pytest.raises(FlatError, match="are outside"):
        root.numbers(0, "<i8")


def test_thousands_of_tables_that_are_one_are_refused() -> None:
    """A vector of a million offsets, all to one table: four megabytes that would be gigabytes."""
    count = 1_000_000
    vtable = struct.pack("<HHH2x", 6, 8, 4)
    root = struct.pack("<iI", 8, 4)  # its one field leads to the vector behind it
    place = 8 + len(vtable)
    vector_at = place + len(root)
    head = struct.pack("<I4s", place, b"TFL3") + vtable + root
    entries = np.full(count, 0, np.int64)
    entries = place - (vector_at + 4 + 4 * np.arange(count))  # back to the root itself
    body = struct.pack("<I", count) + (entries & 0xFFFFFFFF).astype("<u4").tobytes()
    forward = Flat.over(head + body).root(b"TFL3")
    with pytest.raises(FlatError):
        forward.tables(0)
    ahead = vector_at + 4 + 4 * count
    entries = ahead - (vector_at + 4 + 4 * np.arange(count))
    body = struct.pack("<I", count) + entries.astype("<u4").tobytes()
    tail = struct.pack("<i", ahead - 8)
    with pytest.raises(FlatError, match="again and again"):
        Flat.over(head + body + tail).root(b"TFL3").tables(0)


def test_a_folder_or_nothing_is_told(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "none.tflite", "There is no file")):
        with pytest.raises(InputError, match=words):
            tflite.read(path)


def test_a_compiled_file_with_nothing_mapped_is_one(tmp_path: Path) -> None:
    """The compiler names its files so, whatever they hold."""
    path = tmp_path / "net_edgetpu.tflite"
    path.write_bytes(build.dense(16, 8))
    result = inspect.document(compiled.read_compiled(path))
    assert result["cached_bytes"] == result["instruction_bytes"] == result["runtime_version"] == 0
    assert len(result["cpu_ops"]) == 3 and not result["executables"]
    plain = path.rename(tmp_path / "net.tflite")
    with pytest.raises(InputError, match="holds no edgetpu-custom-op"):
        compiled.read_compiled(plain)
