# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One value out of a FlexBuffer map: what custom ops keep their options in.

A FlexBuffer is read from its end: the root's type and width are its last two bytes. A map is a
vector of values with, before it, an offset to the sorted vector of its keys.
"""

from __future__ import annotations

from typing import Final

from edgeinfer.base.tflite.flat import U8, U16, U32, U64, Flat, FlatError

WIDTHS: Final = {1: U8, 2: U16, 4: U32, 8: U64}
STRING, MAP, BLOB = 5, 9, 25


def bytes_of(flat: Flat, key: str) -> memoryview | None:
    """The string or blob that a map holds under a key; None where there is no such key."""
    size = len(flat.data)
    if size < 3:
        raise FlatError("the custom options are not a FlexBuffer")
    width = flat.number(U8, size - 1)
    if flat.number(U8, size - 2) >> 2 != MAP or width not in WIDTHS:
        raise FlatError("the custom options are not a FlexBuffer map")
    parent = 1 << (flat.number(U8, size - 2) & 3)
    values = _follow_offset(flat, size - 2 - width, width)
    count = flat.number(WIDTHS[parent], values - parent)
    keys = _follow_offset(flat, values - 3 * parent, parent)
    keys_width = flat.number(WIDTHS[parent], values - 2 * parent)
    if keys_width not in WIDTHS:
        raise FlatError(f"a FlexBuffer cannot have keys of {keys_width} bytes")
    flat.span(values, count * (parent + 1))
    flat.span(keys, count * keys_width)
    key_bytes = key.encode() + b"\0"
    for i in range(count):
        flat.budget.spend(1)
        name = _follow_offset(flat, keys + i * keys_width, keys_width)
        if name + len(key_bytes) <= size and bytes(flat.span(name, len(key_bytes))) == key_bytes:
            packed = flat.number(U8, values + count * parent + i)
            return _bytes(flat, values + i * parent, parent, packed)
    return None


def _bytes(flat: Flat, at: int, parent: int, packed: int) -> memoryview:
    if packed >> 2 not in (STRING, BLOB):
        raise FlatError("the custom options hold no bytes where bytes are expected")
    width = 1 << (packed & 3)
    start = _follow_offset(flat, at, parent)
    return flat.span(start, flat.number(WIDTHS[width], start - width))


def _follow_offset(flat: Flat, at: int, width: int) -> int:
    """Where an offset leads: FlexBuffers point backwards."""
    return at - flat.number(WIDTHS[width], at)
