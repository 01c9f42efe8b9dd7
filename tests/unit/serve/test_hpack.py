# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Packed headers, by the examples of RFC 7541 and by what must not be."""

from __future__ import annotations

import pytest

from edgeinfer.serve import hpack
from edgeinfer.serve.hpack import HeaderReader, PackingError, pack_headers

AUTHORITY = (b":authority", b"www.example.com")
# Appendix C.4: three blocks of one connection, and what they hold.
EXAMPLES = (
    (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), AUTHORITY),
    ),
    (
        "828684be5886a8eb10649cbf",
        (
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/"),
            AUTHORITY,
            (b"cache-control", b"no-cache"),
        ),
    ),
    (
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        (
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":path", b"/index.html"),
            AUTHORITY,
            (b"custom-key", b"custom-value"),
        ),
    ),
)
PRINTABLE = (  # all letters from the blank to the tilde, packed by another program
    "53f8fe7febff2afc7fafebfbf9ff7f4b2ec002265a6dc75e7ee7dfffc83feffcffd4376f5fc187163c997367d1a756"
    "bd9b776fe1c797e73fdffdffff0ffe7ff917ffd1c6490b2cd39ba75a29a8f5f6b109b7bf8f3ebdfffeff9ffefff7"
)
OTHERS = "ffc7ffffff9ffffff9fffcdfffff17ffffdd"


def text_block(packed: str) -> bytes:
    """A header without a name that has this Huffman-coded value."""
    return bytes([0, 0, 0x80 | len(packed) // 2]) + bytes.fromhex(packed)


def test_the_examples_of_the_standard_are_read() -> None:
    reader = HeaderReader()
    for block, headers in EXAMPLES:
        assert reader.read(bytes.fromhex(block)) == headers


def test_every_letter_is_read() -> None:
    assert HeaderReader().read(text_block(PRINTABLE)) == ((b"", bytes(range(32, 127))),)
    assert HeaderReader().read(text_block(OTHERS)) == ((b"", bytes([0, 10, 127, 128, 200, 255])),)


def test_what_is_written_is_read_again() -> None:
    headers = ((b"grpc-status", b"3"), (b"grpc-message", b"\xff" * 5000), (b"", b""))
    assert HeaderReader().read(pack_headers(headers)) == headers


def test_a_block_is_read_anew_when_the_table_has_changed() -> None:
    """The same bytes mean the newest entry, whichever that is."""
    reader, newest = HeaderReader(), b"\xbe"
    for value in (b"a", b"b"):
        reader.read(b"\x40\x01k\x01" + value)
        assert reader.read(newest) == reader.read(newest) == ((b"k", value),)


def test_the_table_forgets_the_oldest() -> None:
    reader = HeaderReader()
    for value in range(3):
        reader.read(b"\x40\x01k\x7f\xd1\x0e" + bytes([value]) * 2000)  # two of them have room
    assert [reader.read(bytes([0xBE + i]))[0][1][0] for i in range(2)] == [2, 1]
    with pytest.raises(PackingError):
        reader.read(b"\xc0")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (b"\x80", "no header has"),
        (b"\xff\xff\xff\xff\xff\xff\xff", "too long"),
        (b"\xbe", "no header has"),
        (b"\x40\x05abc", "end within a header"),
        (b"\x40", "end within a header"),
        (b"\x3f\xe2\x1f", "larger than was agreed"),
        (b"\x82\x20", "behind a header"),
        (text_block("ffffffff"), "end of a text"),
        (text_block("53f8fe"), "ends within a letter"),
        (text_block("00"), "ends within a letter"),
    ],
)
def test_what_is_no_block_is_refused(block: bytes, said: str) -> None:
    with pytest.raises(PackingError, match=said):
        HeaderReader().read(block)


def test_few_bytes_do_not_unpack_to_many() -> None:
    reader = HeaderReader()
    reader.read(b"\x40\x01k\x7f\x81\x1e" + b"v" * 3968)
    with pytest.raises(PackingError, match="more headers than a call may have"):
        reader.read(b"\xbe" * (hpack.MOST_HEADER_BYTES // 3900 + 1))
