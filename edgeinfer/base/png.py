# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of points as PNG files."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (rows, columns, red green blue)


def encode_png(image: Image) -> bytes:
    """An image (rows, columns, red green blue) as a PNG file."""
    rows, columns, _ = image.shape
    lines = np.zeros((rows, 1 + 3 * columns), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = image.reshape(rows, -1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)  # 8 bits, three colours
    body = zlib.compress(lines.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def image_address(image: Image) -> str:
    """A picture that stands in a page itself."""
    return f"data:image/png;base64,{base64.b64encode(encode_png(image)).decode()}"
