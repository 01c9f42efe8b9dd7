# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a design for whole planes gives a host: a record for each hit, and a mark at the end.

A record is the hit's wire and its pixel of time in whole bytes, and then a frame of each output of
the network. The mark is a hit without outputs whose top bit is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.targets.boards.channels import Channel
from edgeinfer.targets.boards.tiles import MarkedPlane, PatchTiles
from edgeinfer.targets.boards.words import integers_of
from quantization.fixed import Fixed, Ints


@dataclass(frozen=True, slots=True)
class PlaneRecords:
    """The hits of a plane, in the order in which they came, and the raw outputs of each."""

    wire: Ints
    pixel: Ints
    outputs: Mapping[str, Ints]


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """Planes of a size, their patches, and how hits and outputs lie in a record."""

    input: str  # of the network
    pixel: Fixed
    tiles: PatchTiles
    at_once: int  # wires that come in a beat
    wire_bits: int
    pixel_bits: int  # of a hit's pixel of time
    outputs: tuple[Channel, ...]

    @property
    def plane(self) -> Channel:
        """The planes that go in: line by line of time, on top of each pixel the bit of a hit."""
        bits = self.pixel.bits + 1
        wires, pixels = self.tiles.plane
        return Channel("plane", Fixed(False, bits, bits), (pixels, wires), self.at_once)

    @property
    def hit_bytes(self) -> int:
        """Bytes of a hit, and of the mark."""
        return -(-(self.wire_bits + self.pixel_bits + 1) // 8)

    @property
    def record_bytes(self) -> int:
        """Bytes of a hit with its outputs."""
        return self.hit_bytes + sum(channel.frame_bytes for channel in self.outputs)

    @property
    def most_bytes(self) -> int:
        """Bytes of a plane in which every pixel is a hit."""
        wires, pixels = self.tiles.plane
        return wires * pixels * self.record_bytes + self.hit_bytes

    def lay_plane(self, plane: MarkedPlane) -> Ints:
        """A plane as its channel takes it."""
        raw, hits = plane
        bits = self.pixel.bits
        marked: Ints = ((raw & ((1 << bits) - 1)) | (hits.astype(np.int64) << bits)).T
        return marked

    def read_plane(self, content: bytes) -> PlaneRecords:
        """The records of one plane; an error where it does not end with its mark."""
        count, rest = divmod(len(content) - self.hit_bytes, self.record_bytes)
        if count < 0 or rest or not self._ends(content[-self.hit_bytes :]):
            raise ToolFailedError(
                f"The plane has more hits than the {len(content) // self.record_bytes:,} whose "
                "records the board can keep.",
                hint="Compile with a higher --hit-threshold, or for smaller planes.",
            )
        table = np.frombuffer(content, np.uint8, count * self.record_bytes)
        table = table.reshape(count, self.record_bytes)
        wire = integers_of(table[:, : self.hit_bytes], 1, self.wire_bits, signed=False)[:, 0]
        place = self.wire_bits + self.pixel_bits
        both = integers_of(table[:, : self.hit_bytes], 1, place, signed=False)[:, 0]
        outputs, at = {}, self.hit_bytes
        for channel in self.outputs:
            frames = np.ascontiguousarray(table[:, at : at + channel.frame_bytes])
            outputs[channel.name] = channel.unpack_frames(frames)
            at += channel.frame_bytes
        return PlaneRecords(wire, both >> self.wire_bits, outputs)

    def _ends(self, hit: bytes) -> bool:
        return int.from_bytes(hit, "little") >> (self.wire_bits + self.pixel_bits) & 1 == 1

    def outputs_of_patches(self, count: int, planes: list[PlaneRecords]) -> dict[str, Ints]:
        """The outputs of so many patches that were laid side by side in planes."""
        number: NDArray[np.int64] = np.repeat(
            np.arange(len(planes)), [len(records.wire) for records in planes]
        )
        wire, pixel = (
            np.concatenate([getattr(records, axis) for records in planes])
            for axis in ("wire", "pixel")
        )
        rows = self.tiles.find_rows(count, number, wire, pixel, "The board")
        return {
            channel.name: np.concatenate([records.outputs[channel.name] for records in planes])[
                rows
            ]
            for channel in self.outputs
        }

    def description(self) -> dict[str, Any]:
        """For those who read the records."""
        return {
            "input": self.input,
            "pixel": str(self.pixel),
            "patch": list(self.tiles.patch),
            "plane": list(self.tiles.plane),
            "at_once": self.at_once,
            "wire_bits": self.wire_bits,
            "pixel_bits": self.pixel_bits,
            "outputs": [channel.description() for channel in self.outputs],
        }

    @classmethod
    def from_description(cls, record: Mapping[str, Any]) -> Self:
        """What was described."""
        patch, plane = (tuple(int(n) for n in record[key]) for key in ("patch", "plane"))
        return cls(
            str(record["input"]),
            Fixed.parse(record["pixel"]),
            PatchTiles((patch[0], patch[1]), (plane[0], plane[1])),
            int(record["at_once"]),
            int(record["wire_bits"]),
            int(record["pixel_bits"]),
            tuple(map(Channel.from_description, record["outputs"])),
        )
