# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors in memory that clients on this machine share with the server.

A client makes a POSIX shared-memory object, registers a region of it under a name, and names the
region in its requests instead of sending bytes. The server reads and writes the object as a file
and maps nothing: a client that shortens an object which is mapped would end the server by a signal,
and one that changes it would change numbers after they were checked. So a tensor is copied once.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.serve.faults import RequestError, RequestFault, invalid, refusal_of

FOLDER = Path("/dev/shm")  # where Linux keeps the objects
REGION, SIZE, OFFSET = "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset"
MOST_REGIONS = 256  # each is an open file
LONGEST_NAME = 255  # letters
LARGEST_OFFSET = 2**63 - 1  # of a file


@dataclass(frozen=True, slots=True)
class RegionPart:
    """Where in a region a tensor lies, or may be written to."""

    region: str
    byte_size: int
    offset: int = 0


NO_PARTS: Mapping[str, RegionPart] = MappingProxyType({})  # by the tensors' names


@dataclass(frozen=True, slots=True)
class SharedRegion:
    """A part of a shared-memory object under a name."""

    name: str
    key: str  # of the object
    offset: int
    byte_size: int
    descriptor: int  # of its open file

    def as_dict(self) -> dict[str, str | int]:
        """As the protocol describes it."""
        return {
            "name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size
        }  # fmt: skip


class SharedRegions:
    """The regions that clients have registered. `most_bytes`: how much of them one request may
    read; None where clients may register none."""

    def __init__(self, most_bytes: int | None) -> None:
        self._most_bytes = most_bytes
        self._regions: dict[str, SharedRegion] = {}

    @property
    def is_allowed(self) -> bool:
        """Whether clients may register regions."""
        return self._most_bytes is not None

    def require_permission(self) -> None:
        """An error where clients may register no regions."""
        if not self.is_allowed:
            raise refusal_of("Shared memory", hint="edgeinfer serve --shared-memory allows it.")

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open a part of an object under a name."""
        self.require_permission()
        if not 0 < len(name) <= LONGEST_NAME:
            raise invalid(f"A region's name has 1 to {LONGEST_NAME} letters, not {len(name)}.")
        if name in self._regions:
            raise RequestError(
                RequestFault.EXISTS,
                f"The shared memory region {name!r} is registered already.",
                hint="Unregister it first, or choose another name.",
            )
        if len(self._regions) >= MOST_REGIONS:
            raise RequestError(
                RequestFault.OVERLOAD,
                f"{MOST_REGIONS} shared memory regions are registered, which is the most.",
                hint="Unregister those that are no longer needed.",
            )
        if byte_size < 1 or offset < 0 or offset + byte_size > LARGEST_OFFSET:
            raise invalid(f"No region has {byte_size} bytes behind {offset}.")
        descriptor = _open_object(key)
        there = os.fstat(descriptor).st_size
        if there < offset + byte_size:
            os.close(descriptor)
            raise invalid(
                f"The shared memory object {key[:LONGEST_NAME]!r} has {there} bytes, fewer than "
                f"the {byte_size} of the region behind {offset}."
            )
        self._regions[name] = SharedRegion(name, key, offset, byte_size, descriptor)

    def unregister(self, name: str = "") -> None:
        """Close a region; all of them where none is named. One that is not there is no error."""
        for each in [name] if name else list(self._regions):
            region = self._regions.pop(each, None)
            if region is not None:
                os.close(region.descriptor)

    def list_regions(self, name: str = "") -> list[dict[str, str | int]]:
        """What is registered: all, or the region of that name."""
        if name:
            return [self._find(name).as_dict()] if self.is_allowed else []
        return [region.as_dict() for region in self._regions.values()]

    def read(self, parts: Sequence[RegionPart | None]) -> list[bytes | None]:
        """What lies in the parts of one request now."""
        total = sum(part.byte_size for part in parts if part is not None)
        for part in parts:
            if part is not None:
                self.check(part)
        if self._most_bytes is not None and total > self._most_bytes:
            raise RequestError(
                RequestFault.TOO_LARGE,
                f"The request's inputs take {total} bytes of shared memory; a request may have "
                f"{self._most_bytes}.",
            )
        return [None if part is None else self._read(part) for part in parts]

    def check(self, part: RegionPart) -> None:
        """An error where a region of that name is not there, or has no such part."""
        region = self._find(part.region)
        if not 0 <= part.offset <= region.byte_size:
            raise invalid(
                f"The offset {part.offset} lies beyond the shared memory region {region.name!r}, "
                f"which has {region.byte_size} bytes."
            )
        if not 0 <= part.byte_size <= region.byte_size - part.offset:
            raise invalid(
                f"{part.byte_size} bytes behind the offset {part.offset} do not lie in the shared "
                f"memory region {region.name!r}, which has {region.byte_size} bytes."
            )

    def write(self, part: RegionPart, content: bytes) -> None:
        """Put an output where its client wants it."""
        self.check(part)
        region = self._find(part.region)
        if len(content) > part.byte_size:
            raise invalid(
                f"An output of {len(content)} bytes does not fit into the {part.byte_size} bytes "
                f"of the shared memory region {region.name!r} that are meant for it."
            )
        start = region.offset + part.offset
        try:
            is_there = os.fstat(region.descriptor).st_size >= start + len(content)
            is_there = is_there and (os.pwrite(region.descriptor, content, start) == len(content))
        except OSError as error:
            raise _say_unusable(region, error) from None
        if not is_there:
            raise _say_shorter(region)

    def _read(self, part: RegionPart) -> bytes:
        region = self._find(part.region)
        try:
            content = os.pread(region.descriptor, part.byte_size, region.offset + part.offset)
        except OSError as error:
            raise _say_unusable(region, error) from None
        if len(content) != part.byte_size:
            raise _say_shorter(region)
        return content

    def _find(self, name: str) -> SharedRegion:
        self.require_permission()
        region = self._regions.get(name)
        if region is None:
            raise RequestError(
                RequestFault.ABSENT,
                f"There is no shared memory region {name[:LONGEST_NAME]!r}.",
                hint="Register it first.",
            )
        return region


def find_part(tensor: str, parameters: Mapping[str, Any]) -> RegionPart | None:
    """Where a tensor lies by its parameters; None where they do not speak of shared memory."""
    if not parameters.keys() & {REGION, SIZE, OFFSET}:
        return None
    for name in (REGION, SIZE):
        if name not in parameters:
            raise invalid(f"The tensor {tensor[:LONGEST_NAME]!r} lacks the parameter {name}.")
    values = parameters[REGION], parameters[SIZE], parameters.get(OFFSET, 0)
    for name, value, kind in zip((REGION, SIZE, OFFSET), values, (str, int, int), strict=True):
        if type(value) is not kind:
            raise invalid(
                f"The parameter {name} of the tensor {tensor[:LONGEST_NAME]!r} is no "
                f"{'text' if kind is str else 'whole number'}."
            )
    return RegionPart(*values)


def place_parameters(tensor: str, parts: Mapping[str, RegionPart]) -> dict[str, str | int]:
    """The parameters that say where a tensor lies, if it lies in shared memory."""
    if (part := parts.get(tensor)) is None:
        return {}
    offset = {OFFSET: part.offset} if part.offset else {}
    return {REGION: part.region, SIZE: part.byte_size, **offset}


def _open_object(key: str) -> int:
    """The object's open file; an error where it is none of this user's."""
    name = key.lstrip("/")
    shown = repr(key[:LONGEST_NAME])
    if not name or "/" in name or name in (".", ".."):
        raise invalid(f"{shown} is no key of a shared memory object; a key is /NAME.")
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(FOLDER / name, flags)
    except (OSError, ValueError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "no such name"
        raise invalid(f"The shared memory object {shown} cannot be opened: {reason}.") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
        os.close(descriptor)
        raise invalid(
            f"The shared memory object {shown} does not belong to the server's user.",
            hint="Run the client as that user.",
        )
    return descriptor


def _say_shorter(region: SharedRegion) -> RequestError:
    return invalid(f"The object of the shared memory region {region.name!r} has become shorter.")


def _say_unusable(region: SharedRegion, error: OSError) -> RequestError:
    return invalid(
        f"The shared memory region {region.name!r} cannot be used: {error.strerror or error}."
    )


@contextlib.contextmanager
def shared_object(content: bytes) -> Iterator[str]:
    """A client's own object with some content, by its key, for as long as the block lasts."""
    path = FOLDER / f"edgeinfer-{uuid4().hex}"
    try:
        try:
            path.touch(stat.S_IRUSR | stat.S_IWUSR, exist_ok=False)
            path.write_bytes(content)
        except OSError as error:
            raise ToolFailedError(
                f"{len(content) / 1e6:.1f} MB of shared memory cannot be had: {error.strerror}.",
                hint="Leave --shared-memory out.",
            ) from None
        yield f"/{path.name}"
    finally:
        path.unlink(missing_ok=True)
