# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""FlatBuffers that may be malformed or hostile: every access stays inside the bytes that are there.

The generated readers of the `flatbuffers` package follow any offset that a file states. Here each
offset and each length is checked first, and what is read is paid for from a budget that is
proportional to the file, so that a vector which thousands of tables share cannot blow up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from flatbuffers import encode
from flatbuffers import number_types as kinds
from numpy.typing import DTypeLike, NDArray

U8, I8, U16 = kinds.Uint8Flags, kinds.Int8Flags, kinds.Uint16Flags
I16, I32, U32 = kinds.Int16Flags, kinds.Int32Flags, kinds.Uint32Flags
I64, U64, BOOL = kinds.Int64Flags, kinds.Uint64Flags, kinds.BoolFlags

READ_PER_BYTE: Final = 16  # elements that may be read for each byte of the file
READ_AT_LEAST, READ_AT_MOST = 1 << 20, 1 << 24
TABLE_COST: Final = 64  # a table becomes objects, a number stays one


class FlatError(ValueError):
    """Bytes that do not hold what their layout says."""


@dataclass(slots=True)
class ReadBudget:
    """How many elements may still be read from a file and from what is nested in it."""

    left: int

    def spend(self, count: int) -> None:
        """Pay for elements before they are read."""
        self.left -= count
        if self.left < 0:
            raise FlatError("the same bytes are referred to again and again")


@dataclass(frozen=True, slots=True)
class Flat:
    """Bytes that tables lie in."""

    data: memoryview
    budget: ReadBudget

    @staticmethod
    def over(data: bytes | memoryview) -> Flat:
        """A file's bytes, with a budget of their own."""
        view = memoryview(data).cast("B")
        return Flat(view, ReadBudget(min(READ_PER_BYTE * len(view) + READ_AT_LEAST, READ_AT_MOST)))

    def open_nested(self, data: memoryview) -> Flat:
        """Bytes inside these that are a FlatBuffer of their own; the budget is shared."""
        return Flat(data, self.budget)

    def span(self, at: int, size: int) -> memoryview:
        """Some of the bytes."""
        if at < 0 or size < 0 or at + size > len(self.data):
            raise FlatError(
                f"{size} bytes at {at} are outside the {len(self.data)} bytes that are there"
            )
        return self.data[at : at + size]

    def number(self, kind: Any, at: int) -> int:
        """An integer."""
        self.span(at, kind.bytewidth)
        return int(encode.Get(kind.packer_type, self.data, at))

    def follow_offset(self, at: int) -> int:
        """Where the offset that is stored at a place leads."""
        return at + self.number(U32, at)

    def root(self, identifier: bytes = b"") -> FlatTable:
        """The table that the bytes are about; they must bear the identifier where one is given."""
        if identifier and bytes(self.span(4, 4)) != identifier:
            raise FlatError(f"the file identifier is not {identifier.decode()}")
        return FlatTable.at_place(self, self.follow_offset(0))


@dataclass(frozen=True, slots=True)
class FlatTable:
    """A table; fields are known by their slot, which is their position in the schema."""

    flat: Flat
    at: int
    layout: int  # where its vtable lies
    layout_bytes: int

    @staticmethod
    def at_place(flat: Flat, at: int) -> FlatTable:
        """The table at a place."""
        flat.budget.spend(TABLE_COST)
        layout = at - flat.number(I32, at)
        size = flat.number(U16, layout)
        flat.span(layout, max(size, 4))
        return FlatTable(flat, at, layout, size)

    def place(self, slot: int) -> int:
        """Where a field's value lies; 0 where the table leaves it out."""
        entry = 4 + 2 * slot
        if entry + 2 > self.layout_bytes:
            return 0
        offset = self.flat.number(U16, self.layout + entry)
        return self.at + offset if offset else 0

    def integer(self, slot: int, kind: Any, default: int = 0) -> int:
        """A scalar."""
        at = self.place(slot)
        return self.flat.number(kind, at) if at else default

    def real(self, slot: int) -> float:
        """A 32-bit floating-point number, zero unless said otherwise; it must be finite."""
        at = self.place(slot)
        if not at:
            return 0.0
        self.flat.span(at, 4)
        number = float(encode.Get(kinds.Float32Flags.packer_type, self.flat.data, at))
        if not math.isfinite(number):
            raise FlatError(f"a number at {at} is not finite")
        return number

    def flag(self, slot: int) -> bool:
        """A truth value, false unless said otherwise."""
        return bool(self.integer(slot, BOOL))

    def table(self, slot: int) -> FlatTable | None:
        """A table that this one refers to."""
        at = self.place(slot)
        return FlatTable.at_place(self.flat, self.flat.follow_offset(at)) if at else None

    def _vector(self, slot: int, width: int) -> tuple[int, int] | None:
        """Where a vector's elements begin, and how many there are."""
        at = self.place(slot)
        if not at:
            return None
        start = self.flat.follow_offset(at)
        count = self.flat.number(U32, start)
        self.flat.span(start + 4, count * width)
        return start + 4, count

    def start(self, slot: int) -> int:
        """Where the first element of a vector of words lies."""
        span = self._vector(slot, 4)
        if span is None:
            raise FlatError(f"there is no vector in slot {slot}")
        return span[0]

    def blob(self, slot: int) -> memoryview | None:
        """A vector of bytes or a string, not copied."""
        span = self._vector(slot, 1)
        return None if span is None else self.flat.span(*span)

    def text(self, slot: int) -> str:
        """A string; bytes that are no UTF-8 are replaced."""
        content = self.blob(slot)
        if content is None:
            return ""
        self.flat.budget.spend(len(content))
        return bytes(content).decode("utf-8", errors="replace")

    def numbers(self, slot: int, dtype: DTypeLike) -> NDArray[Any]:
        """A vector of numbers."""
        kind = np.dtype(dtype)
        span = self._vector(slot, kind.itemsize)
        if span is None:
            return np.zeros(0, kind)
        at, count = span
        self.flat.budget.spend(count)
        return np.frombuffer(self.flat.span(at, count * kind.itemsize), kind)

    def tables(self, slot: int) -> tuple[FlatTable, ...]:
        """A vector of tables."""
        span = self._vector(slot, 4)
        if span is None:
            return ()
        at, count = span
        self.flat.budget.spend(count)
        places = range(at, at + 4 * count, 4)
        return tuple(
            FlatTable.at_place(self.flat, self.flat.follow_offset(place)) for place in places
        )

    def blobs(self, slot: int) -> tuple[memoryview, ...]:
        """A vector of strings, as bytes that are not copied."""
        span = self._vector(slot, 4)
        if span is None:
            return ()
        at, count = span
        self.flat.budget.spend(count)
        starts = [self.flat.follow_offset(place) for place in range(at, at + 4 * count, 4)]
        return tuple(self.flat.span(s + 4, self.flat.number(U32, s)) for s in starts)
