# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Headers as HTTP/2 packs them (RFC 7541): read by the library `hpack`, written in the plainest
form.

A client of gRPC packs the headers of its second call, and of all that follow, as a few indices into
a table that both sides keep. Such a block changes nothing in the table, so what it means is
remembered by its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from hpack import Decoder, HPACKError, OversizedHeaderListError

Headers = tuple[tuple[bytes, bytes], ...]
MOST_HEADER_BYTES = 1 << 16  # of one call's headers, unpacked
REMEMBERED_BYTES = 1 << 16  # of a connection's blocks and what they mean
ENTRY_BYTES = 32  # that a header counts besides its letters


class PackingError(Exception):
    """Bytes that are no packed headers, after which the table is unknown."""


class HeaderReader:
    """What one side of a connection has sent as headers so far, as far as the next ones need it."""

    def __init__(self) -> None:
        self._decoder = Decoder(MOST_HEADER_BYTES)
        self._remembered: dict[bytes, Headers] = {}
        self._remembered_bytes = 0

    def read(self, block: bytes) -> Headers:
        """The headers of a block."""
        remembered = self._remembered.get(block)
        if remembered is not None:
            return remembered
        before = self._table_state()
        try:
            unpacked = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError:
            raise PackingError("There are more headers than a call may have.") from None
        except HPACKError:  # its text names addresses in memory, which are no client's business
            raise PackingError("The headers are not packed as they should be.") from None
        headers = tuple((bytes(name), bytes(value)) for name, value in unpacked)
        newest, *sizes = self._table_state()
        is_changed = newest is not before[0] or sizes != before[1:]
        if is_changed:
            self._forget()
        else:
            self._remember(block, headers)
        return headers

    def _table_state(self) -> list[object]:
        """What differs whenever the table has changed. Each entry that is added is a new object,
        the first until the next one; a table that only lost entries has fewer."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return [entries[0] if entries else None, len(entries), table.maxsize]

    def _remember(self, block: bytes, headers: Headers) -> None:
        size = len(block) + sum(len(name) + len(value) + ENTRY_BYTES for name, value in headers)
        if size > REMEMBERED_BYTES:
            return
        if self._remembered_bytes + size > REMEMBERED_BYTES:
            self._forget()
        self._remembered[block] = headers
        self._remembered_bytes += size

    def _forget(self) -> None:
        self._remembered.clear()
        self._remembered_bytes = 0


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
