# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Example pictures as PNG files, so that a person can judge them: no plotting library needed."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ANCHORS = np.array(  # dark blue through green to yellow, so that faint charge stays visible
    [(12, 10, 40), (40, 60, 140), (30, 140, 140), (120, 200, 80), (255, 235, 60)], float
)


def colours(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Values to RGB, clipped to [low, high]."""
    level = np.clip((values - low) / (high - low), 0.0, 1.0) * (len(_ANCHORS) - 1)
    marks = np.arange(len(_ANCHORS))
    channels = [np.interp(level, marks, _ANCHORS[:, k]) for k in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    """An RGB image (rows, columns, 3) as the bytes of a PNG file."""
    rows, columns, _ = image.shape
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), image.reshape(rows, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 6)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def sheet(
    groups: Sequence[NDArray[np.floating]], low: float, high: float, zoom: int = 3, gap: int = 4
) -> NDArray[np.uint8]:
    """One row of pictures per group (n, height, width), enlarged, with gaps between them."""
    lines = []
    widest = max(len(group) for group in groups)
    for group in groups:
        rgb = colours(group, low, high).repeat(zoom, axis=1).repeat(zoom, axis=2)
        missing = widest - len(rgb)
        rgb = np.pad(rgb, ((0, missing), (0, gap), (0, gap), (0, 0)), constant_values=255)
        lines.append(np.concatenate(list(rgb), axis=1))
    return np.concatenate(lines, axis=0)
