# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Packed headers, by the examples of RFC 7541 and by what must not be."""

from __future__ import annotations

import tracemalloc

import pytest

from edgeinfer.serve.headers import MOST_HEADER_BYTES, HeaderReader, PackingError, pack_headers

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


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (b"\x20", None),  # the table may have no bytes: it loses its entry
        (b"\x20\x3f\xe1\x1f", None),  # and as many as before at once
        (b"\x40\x01k\x01a", (b"k", b"a")),  # the entry that is there already, once more
        (b"\x40\x01k\x7f\x81\x1f" + bytes(4096), None),  # larger than the table: none is left
    ],
    ids=["no table", "emptied", "the same", "too large"],
)
def test_whatever_changes_the_table_is_not_remembered(
    change: bytes, left: tuple[bytes, bytes] | None
) -> None:
    reader = HeaderReader()
    reader.read(b"\x40\x01k\x01a")
    for _ in range(2):
        assert reader.read(b"\xbe") == ((b"k", b"a"),)
    changed = reader.read(change)
    assert not changed or reader.read(change) == changed
    if left is None:
        with pytest.raises(PackingError):
            reader.read(b"\xbe")
    else:
        assert reader.read(b"\xbf") == reader.read(b"\xbe") == (left,)


def test_little_is_remembered() -> None:
    """A client that sends ever other blocks does not fill the server's memory."""
    reader = HeaderReader()
    tracemalloc.start()
    try:
        for number in range(300):
            name = b"\x00\x04%04d" % number
            reader.read((name + b"\x02ab") * 1000)
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used_bytes < 1 << 20


def test_the_table_forgets_the_oldest() -> None:
    reader = HeaderReader()
    for value in range(3):
        reader.read(b"\x40\x01k\x7f\xd1\x0e" + bytes([value]) * 2000)  # two of them have room
    assert [reader.read(bytes([0xBE + i]))[0][1][0] for i in range(2)] == [2, 1]
    with pytest.raises(PackingError):
        reader.read(b"\xc0")


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xff" * 7,
        b"\xff" * 16_000,
        b"\xbe",
        b"\x40\x05abc",
        b"\x40",
        b"\x3f\xe2\x1f",  # a table that is larger than was agreed
        b"\x82\x20",  # a change of the table behind a header
        text_block("ffffffff"),
        text_block("53f8fe"),
        text_block("00"),
    ],
)
def test_what_is_no_block_is_refused(block: bytes) -> None:
    with pytest.raises(PackingError, match="not packed as they should be"):
        HeaderReader().read(block)


def test_few_bytes_do_not_unpack_to_many() -> None:
    reader = HeaderReader()
    reader.read(b"\x40\x01k\x7f\x81\x1e" + b"v" * 3968)
    with pytest.raises(PackingError, match="more headers than a call may have"):
        reader.read(b"\xbe" * (MOST_HEADER_BYTES // 3900 + 1))
