# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Headers as HTTP/2 packs them (HPACK, RFC 7541): read in full, written in the plainest form.

A client of gRPC packs the headers of its second call, and of all that follow, as a few indices into
a table that both sides keep. Such a block changes nothing in the table, so what it means is
remembered by its bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Headers = tuple[tuple[bytes, bytes], ...]
TABLE_BYTES = 4096  # of the table at most, as every client may expect it
ENTRY_BYTES = 32  # that an entry counts besides its letters
MOST_HEADER_BYTES = 1 << 16  # of one call's headers, unpacked
MOST_REMEMBERED = 64  # blocks of a connection
LONGEST_INTEGER = 5  # bytes behind the first

# What every side knows from the start, with _ for a space.
_STATIC_TEXT = """
:authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https
:status=200 :status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset
accept-encoding=gzip,_deflate accept-language accept-ranges accept access-control-allow-origin age
allow authorization cache-control content-disposition content-encoding content-language
content-length content-location content-range content-type cookie date etag expect expires from
host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link
location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after
server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate
"""
STATIC: Headers = tuple(
    (name.encode(), value.replace("_", " ").encode())
    for name, _, value in (word.partition("=") for word in _STATIC_TEXT.split())
)
# How many bits each byte's Huffman code has, from A for 5 to Z for 30; the codes follow from that.
# Behind the 256 bytes stands the end of a text.
_CODE_BITS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCC"
    "CCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRT"
    "QRSSQQRQSRSSPRRRSRRSVVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
END_OF_TEXT = 256


class PackingError(Exception):
    """Bytes that are no packed headers, after which the table is unknown."""


def _codes() -> dict[tuple[int, int], int]:
    """Each byte by the number of its code's bits and the code."""
    codes, code, before = {}, 0, 0
    bits = [ord(letter) - ord("A") + 5 for letter in _CODE_BITS]
    for symbol in sorted(range(len(bits)), key=lambda symbol: (bits[symbol], symbol)):
        code <<= bits[symbol] - before
        before = bits[symbol]
        codes[before, code] = symbol
        code += 1
    return codes


_CODES = _codes()


def _unpack_text(packed: bytes) -> bytes:
    """A text from its Huffman codes."""
    text, code, bits = bytearray(), 0, 0
    for byte in packed:
        for shift in range(7, -1, -1):
            code, bits = code << 1 | byte >> shift & 1, bits + 1
            symbol = _CODES.get((bits, code))
            if symbol is not None:
                if symbol == END_OF_TEXT:
                    raise PackingError("the end of a text within it")
                text.append(symbol)
                code = bits = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise PackingError("a text that ends within a letter")
    return bytes(text)


class HeaderReader:
    """What one side of a connection has sent as headers so far, as far as the next ones need it."""

    def __init__(self) -> None:
        self._table: deque[tuple[bytes, bytes]] = deque()  # the newest first
        self._table_bytes, self._most_table_bytes = 0, TABLE_BYTES
        self._remembered: dict[bytes, Headers] = {}
        self._block, self._at = b"", 0

    def read(self, block: bytes) -> Headers:
        """The headers of a block."""
        remembered = self._remembered.get(block)
        if remembered is not None:
            return remembered
        self._block, self._at = block, 0
        headers: list[tuple[bytes, bytes]] = []
        size, changes = 0, False
        while self._at < len(block):
            first = block[self._at]
            if first & 0x80:
                header = self._entry(self._integer(7))
            elif first & 0xE0 == 0x20:
                if headers:
                    raise PackingError("a change of the table behind a header")
                self._resize(self._integer(5))
                changes = True
                continue
            else:
                is_kept = bool(first & 0x40)
                number = self._integer(6 if is_kept else 4)
                name = self._entry(number)[0] if number else self._text()
                header = (name, self._text())
                if is_kept:
                    self._keep(header)
                    changes = True
            headers.append(header)
            size += len(header[0]) + len(header[1]) + ENTRY_BYTES
            if size > MOST_HEADER_BYTES:
                raise PackingError("more headers than a call may have")
        if changes or len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        if not changes:
            self._remembered[block] = tuple(headers)
        return tuple(headers)

    def _integer(self, bits: int) -> int:
        """A number that begins in the lowest bits of the next byte."""
        most = (1 << bits) - 1
        number = self._byte() & most
        if number < most:
            return number
        for shift in range(0, 7 * LONGEST_INTEGER, 7):
            byte = self._byte()
            number += (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise PackingError("a number that is too long")

    def _byte(self) -> int:
        if self._at >= len(self._block):
            raise PackingError("an end within a header")
        self._at += 1
        return self._block[self._at - 1]

    def _text(self) -> bytes:
        is_packed = self._at < len(self._block) and self._block[self._at] & 0x80
        length = self._integer(7)
        text = self._block[self._at : self._at + length]
        if len(text) < length:
            raise PackingError("an end within a header")
        self._at += length
        return _unpack_text(text) if is_packed else text

    def _entry(self, number: int) -> tuple[bytes, bytes]:
        """The header of this number: those that all know come first."""
        if 1 <= number <= len(STATIC):
            return STATIC[number - 1]
        if not 0 <= number - len(STATIC) - 1 < len(self._table):
            raise PackingError("a number that no header has")
        return self._table[number - len(STATIC) - 1]

    def _keep(self, header: tuple[bytes, bytes]) -> None:
        self._table.appendleft(header)
        self._table_bytes += _size_of(header)
        self._shrink()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise PackingError("a table that is larger than was agreed")
        self._most_table_bytes = size
        self._shrink()

    def _shrink(self) -> None:
        while self._table_bytes > self._most_table_bytes:
            self._table_bytes -= _size_of(self._table.pop())


def _size_of(header: tuple[bytes, bytes]) -> int:
    return len(header[0]) + len(header[1]) + ENTRY_BYTES


def pack_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as a block that changes no table."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            _pack_integer(block, len(text))
            block += text
    return bytes(block)


def _pack_integer(block: bytearray, number: int) -> None:
    """A number of which the first byte has seven bits."""
    if number < 0x7F:
        block.append(number)
        return
    block.append(0x7F)
    number -= 0x7F
    while number > 0x7F:
        block.append(number & 0x7F | 0x80)
        number >>= 7
    block.append(number)
