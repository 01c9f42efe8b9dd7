# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""PNG files that any reader opens: the bytes decode to the picture again."""

import struct
import zlib

import numpy as np

from edgeinfer.base.png import encode_png
from edgeinfer.zoo.pictures import colours, sheet


def test_a_png_decodes_to_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 255, (7, 5, 3), dtype=np.uint8)
    data = encode_png(image)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    results, position = {}, 8
    while position < len(data):
        (size,) = struct.unpack(">I", data[position : position + 4])
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        (check,) = struct.unpack(">I", data[position + 8 + size : position + 12 + size])
        assert check == zlib.crc32(kind + body)
        results[kind] = body
        position += 12 + size
    assert struct.unpack(">II", results[b"IHDR"][:8]) == (5, 7)
    lines = np.frombuffer(zlib.decompress(results[b"IDAT"]), np.uint8).reshape(7, 16)
    assert (lines[:, 0] == 0).all()
    assert np.array_equal(lines[:, 1:].reshape(7, 5, 3), image)


def test_more_charge_is_brighter() -> None:
    brightness = colours(np.linspace(0, 1, 20), 0, 1).astype(int).sum(axis=1)
    assert (np.diff(brightness) > 0).all()


def test_a_sheet_has_a_row_for_each_group() -> None:
    image = sheet([np.zeros((3, 4, 6)), np.ones((2, 4, 6))], 0, 1, zoom=2, gap=1)
    assert image.shape == (2 * (4 * 2 + 1), 3 * (6 * 2 + 1), 3)
    assert (image[9:, 26:] == 255).all()
