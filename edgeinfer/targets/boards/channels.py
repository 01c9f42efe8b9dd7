# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a frame of integers lies in bytes: beat by beat, each in whole bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.targets.boards.words import integers_of, words_of
from quantization.fixed import Fixed, Ints
from quantization.ranges import describe_outlier, find_outlier


@dataclass(frozen=True, slots=True)
class Channel:
    """An input or an output: its frames, and how many elements of them come in a beat."""

    name: str
    type: Fixed
    shape: tuple[int, ...]
    lanes: int

    @property
    def beats(self) -> int:
        """Of a frame."""
        return math.prod(self.shape) // self.lanes

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat."""
        return -(-self.lanes * self.type.bits // 8)

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame."""
        return self.beats * self.beat_bytes

    def pack_frame(self, raw: Ints) -> bytes:
        """The bytes of a frame."""
        if raw.shape != self.shape:
            raise InputError(f"A frame of {self.name} has shape {self.shape}, not {raw.shape}.")
        outlier = find_outlier(raw, self.type)
        if outlier is not None:
            raise InputError(describe_outlier(f"A frame of {self.name}", outlier, self.type))
        beats = raw.astype(np.int64).reshape(-1, self.lanes)
        return words_of(beats, self.type.bits, self.beat_bytes).tobytes()

    def unpack_frames(self, frames: NDArray[np.uint8]) -> Ints:
        """Frames out of bytes (frames, bytes)."""
        beats = frames.reshape(-1, self.beat_bytes)
        raw = integers_of(beats, self.lanes, self.type.bits, signed=self.type.signed)
        return raw.reshape(-1, *self.shape)

    def description(self) -> dict[str, Any]:
        """As it lies beside a design."""
        return {
            "name": self.name,
            "type": str(self.type),
            "shape": list(self.shape),
            "lanes": self.lanes,
        }

    @classmethod
    def from_description(cls, record: Mapping[str, Any]) -> Self:
        """What was described."""
        return cls(
            record["name"], Fixed.parse(record["type"]), tuple(record["shape"]), record["lanes"]
        )
