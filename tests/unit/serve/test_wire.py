# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A request cut at its fields is the request that Protocol Buffers parses, or is left to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.serve.messages import message_class
from edgeinfer.serve.wire import LARGEST_UNCUT, cut_request

SMALL = st.binary(max_size=20)
LARGE = st.integers(LARGEST_UNCUT, 3 * LARGEST_UNCUT).map(lambda size: b"tensor" * size)


def parse(content: bytes) -> Any:
    """The message, or None where there is none."""
    try:
        return message_class("ModelInferRequest").FromString(content)
    except DecodeError:
        return None


def parse_cut(content: bytes) -> Any:
    """The same by way of the cut."""
    rest, raw = cut_request(content)
    result = parse(rest)
    if result is not None and raw is not None:
        assert not result.raw_input_contents
        result.raw_input_contents.extend(map(bytes, raw))
    return result


def request(raw: Sequence[bytes], name: str) -> bytes:
    message = message_class("ModelInferRequest")(
        model_name=name, inputs=[{"name": name, "shape": [1, 2]}], raw_input_contents=raw
    )
    message.parameters[name].double_param = 0.5
    content: bytes = message.SerializeToString()
    return content


@given(st.lists(st.one_of(SMALL, LARGE), max_size=4), st.text(max_size=9))
def test_a_request_that_is_cut_is_the_same(raw: list[bytes], name: str) -> None:
    content = request(raw, name)
    assert parse_cut(content) == parse(content)
    if len(content) > LARGEST_UNCUT:
        assert cut_request(content)[1] == raw


@given(st.data(), LARGE)
def test_bytes_that_someone_has_changed_are_read_as_they_ever_were(
    data: st.DataObject, tensor: bytes
) -> None:
    content = bytearray(request([tensor, b"1"], "name"))
    near = st.one_of(st.integers(0, 60), st.integers(0, len(content) - 1))
    for at in data.draw(st.lists(near, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    changed = bytes(content[: data.draw(st.integers(len(content) - 9, len(content)))])
    assert parse_cut(changed) == parse(changed)


@given(SMALL, LARGE, SMALL)
def test_fields_in_any_order_and_of_any_kind(before: bytes, tensor: bytes, after: bytes) -> None:
    content = before + request([tensor], "a") + after
    assert parse_cut(content) == parse(content)


@pytest.mark.parametrize("more", [b"\x3b\x3c", b"\x38\x01", b"\x3d1234", b"\x3912345678", b"\x00"])
def test_field_seven_written_otherwise(more: bytes) -> None:
    content = more + request([b"tensor" * LARGEST_UNCUT], "a") + more
    assert parse_cut(content) == parse(content)
