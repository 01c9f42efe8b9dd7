# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Memory files: integers packed into words, as $readmemh reads them."""

from __future__ import annotations

import numpy as np

from edgeinfer.targets.boards.words import words_of
from quantization.fixed import Ints


def hex_words(raw: Ints, bits: int) -> bytes:
    """(words, elements) integers as text: one word a line, element 0 in the lowest bits."""
    width = raw.shape[1] * bits
    digits = -(-width // 4)
    packed = words_of(raw, bits, -(-width // 8))
    text = np.frombuffer(packed[:, ::-1].tobytes().hex().encode(), np.uint8)
    lines = np.full((len(packed), digits + 1), ord("\n"), np.uint8)
    lines[:, :-1] = text.reshape(len(packed), 2 * packed.shape[1])[:, -digits:]
    return lines.tobytes()
