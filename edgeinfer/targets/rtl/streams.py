# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Samples as beats and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.targets.rtl.memory import integers_of, words_of
from edgeinfer.targets.rtl.netlist import Stream
from quantization.fixed import Ints


def beats_of(raw: Ints, stream: Stream) -> NDArray[np.uint8]:
    """A batch of frames as (beats, bytes), each beat in whole 32-bit words."""
    elements = raw.reshape(-1, stream.lanes)
    return words_of(elements, stream.type.bits, beat_bytes(stream))


def frames_of(content: bytes, stream: Stream, shape: tuple[int, ...]) -> Ints:
    """Beats as a batch of frames."""
    beats = np.frombuffer(content, dtype=np.uint8).reshape(-1, beat_bytes(stream))
    raw = integers_of(beats, stream.lanes, stream.type.bits, signed=stream.type.signed)
    return raw.reshape(-1, *shape)


def beat_bytes(stream: Stream) -> int:
    """Bytes of a beat in the simulation's files."""
    return 4 * -(-stream.width // 32)
