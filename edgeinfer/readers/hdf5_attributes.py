# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A look at an HDF5 file's raw bytes, before the HDF5 library trusts them.

The library copies a string attribute out of the file's heap without comparing its length with what
the heap holds, so a damaged file can crash the process. Here the two are compared first, for the
object headers that h5py writes by default (version 1); others are left to the library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap

Raw = bytes | mmap

_ATTRIBUTE, _CONTINUATION = 0x000C, 0x0010
_STRING_SEQUENCE = 9  # HDF5's class of variable-length data
_STRINGS = (b"\x01", b"\x11", b"\x21")  # text, ended by NUL or padded; Keras writes no other
_REFERENCE = struct.Struct("<IQI")  # length, address of the heap, index in it
_MAX_MESSAGES = 100_000


class DamagedAttributeError(Exception):
    """The bytes contradict each other."""


def check_attributes(raw: Raw, address: int) -> None:
    """Damaged if a variable-length attribute of the object at `address` leaves its heap."""
    if address + 16 > len(raw) or raw[address] != 1:
        return
    size = _unpack("<I", raw, address + 8)
    for kind, start, end in _messages(raw, address + 16, size):
        if kind == _ATTRIBUTE:
            for length, heap, index in _references(raw[start:end]):
                if heap and _size_in_heap(raw, heap, index) != length:
                    raise DamagedAttributeError("a string has not the length that its heap says")


def _unpack(form: str, raw: Raw, at: int) -> int:
    try:
        return int(struct.unpack_from(form, raw, at)[0])
    except struct.error:
        raise DamagedAttributeError("an address lies beyond the end") from None


def _messages(raw: Raw, start: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of each message of a header, its continuations included."""
    blocks, count = [(start, size)], 0
    while blocks:
        at, length = blocks.pop()
        end = at + length
        if end > len(raw):
            raise DamagedAttributeError("a header lies beyond the end")
        while at + 8 <= end:
            count += 1
            if count > _MAX_MESSAGES:
                raise DamagedAttributeError("a header does not end")
            kind, length = _unpack("<H", raw, at), _unpack("<H", raw, at + 2)
            at += 8
            if at + length > end:
                raise DamagedAttributeError("a header's message is too long")
            if kind == _CONTINUATION:
                blocks.append((_unpack("<Q", raw, at), _unpack("<Q", raw, at + 8)))
            yield kind, at, at + length
            at += length


def _references(message: bytes) -> Iterator[tuple[int, int, int]]:
    """What a variable-length attribute refers to; nothing for any other attribute."""
    version = message[0] if message else 0
    if version not in (1, 2, 3) or len(message) < 9:
        return
    sizes = [_unpack("<H", message, at) for at in (2, 4, 6)]
    step = 8 if version == 1 else 1
    name, datatype, space = (-(-size // step) * step for size in sizes)
    at = (9 if version == 3 else 8) + name
    if at >= len(message) or message[at] & 0x0F != _STRING_SEQUENCE:
        return
    if (
        message[at + 1 : at + 2] not in _STRINGS
        or _unpack("<I", message, at + 4) != _REFERENCE.size
    ):
        raise DamagedAttributeError("an attribute has a type that does not exist")
    values = message[at + datatype + space :]
    for start in range(0, len(values) - _REFERENCE.size + 1, _REFERENCE.size):
        yield _REFERENCE.unpack_from(values, start)


def _size_in_heap(raw: Raw, heap: int, index: int) -> int:
    """The bytes of an object in a global heap."""
    if raw[heap : heap + 4] != b"GCOL":
        raise DamagedAttributeError("a string refers to something that is not a heap")
    end = heap + _unpack("<Q", raw, heap + 8)
    if end > len(raw):
        raise DamagedAttributeError("a heap lies beyond the end")
    at = heap + 16
    while at + 16 <= end:
        number, size = _unpack("<H", raw, at), _unpack("<Q", raw, at + 8)
        if number == 0:
            break
        if at + 16 + size > end:
            raise DamagedAttributeError("an object is larger than its heap")
        if number == index:
            return size
        at += 16 + -(-size // 8) * 8
    raise DamagedAttributeError("a string is not in its heap")
