# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which channel reads each wire of a plane.

A wire of an induction plane may be wrapped around the frame: it returns on the other face, where
the same channel reads it. Such a channel is at two places of the picture, and both show the charge
of both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.formats.guard import file_bytes

MOST_WIRES = 1 << 20
Channels = NDArray[np.int64]


def read_wires(path: Path) -> Channels:
    """The channel of each wire, in the order of the picture: a `.npy` of whole numbers."""
    how_to = "Give a .npy array with the channel of each wire, such as [0, 1, 2, 1, 0]."
    if file_bytes(path) > 16 * MOST_WIRES:
        raise InputError(f"{path} is too large for a map of wires.", hint=how_to)
    try:
        numbers = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"{path} is not a NumPy array.", hint=how_to) from None
    if not isinstance(numbers, np.ndarray) or numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise InputError(f"{path} does not hold one row of whole numbers.", hint=how_to)
    if not numbers.size or int(numbers.min()) < 0 or int(numbers.max()) >= MOST_WIRES:
        raise InputError(f"{path} holds no channels, or numbers that are none.", hint=how_to)
    return numbers.astype(np.int64)


def lay_wires(adc: NDArray[np.float32], channel_of: Channels, name: str) -> NDArray[np.float32]:
    """Signals by channel (channels, pixels) at every wire that shows them (wires, pixels)."""
    channels = len(adc)
    if int(channel_of.max()) >= channels:
        raise InputError(
            f"The map of wires names channel {int(channel_of.max())}, but {name} has {channels} "
            "channels.",
            hint="Count channels from 0, in the order of the data.",
        )
    unread = np.setdiff1d(np.arange(channels), channel_of)
    if unread.size:
        some = ", ".join(str(channel) for channel in unread[:5])
        raise InputError(
            f"The map of wires leaves out {unread.size} of the {channels} channels of {name}: "
            f"{some}{', ...' if unread.size > 5 else ''}. Their charge would be lost.",
            hint="Give every channel a wire, or take these channels out of the data.",
        )
    return adc[channel_of]


def wrap_wires(adc: NDArray[np.float32], wrapped: int) -> tuple[NDArray[np.float32], Channels]:
    """A plane whose last wires are the first ones, returned on the other face: the signals as both
    places show them, and the channel of each wire."""
    wires = len(adc)
    if not 0 <= 2 * wrapped <= wires:
        raise UsageError(
            f"{wrapped} wires cannot return in a plane of {wires}.",
            hint=f"At most half of them can: --wrapped-wires {wires // 2}.",
        )
    channel_of = np.arange(wires, dtype=np.int64)
    channel_of[wires - wrapped :] = np.arange(wrapped)
    read = adc[: wires - wrapped].copy()
    read[:wrapped] += adc[wires - wrapped :]
    return read[channel_of], channel_of
