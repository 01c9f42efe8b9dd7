# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The tensors of a request taken out of its bytes where they lie, instead of copied twice.

A request is a few short fields and some megabytes of `raw_input_contents`. Protocol Buffers copies
these when it parses the message and again when Python asks for them. Here the message is cut at its
outermost fields; what is left without the tensors is parsed as ever.
"""

from __future__ import annotations

RAW_INPUT_CONTENTS = 7
VARINT, BYTES = 0, 2  # how a field's value is written: as long as it says
SIZES = {VARINT: 0, 1: 8, BYTES: 0, 5: 4}  # bytes of the other kinds
LONGEST_VARINT = 10  # bytes
LARGEST_UNCUT = 4096  # bytes of a message of which copies cost nothing


def cut_request(content: bytes | memoryview) -> tuple[bytes, list[memoryview] | None]:
    """A ModelInferRequest without its raw inputs, and these. Bytes that are not plainly a message
    stay as they are, without raw inputs: who parses them says what is wrong."""
    if len(content) <= LARGEST_UNCUT:
        return bytes(content), None
    view, rest, raw = memoryview(content), [], []
    at = copied = 0
    while at < len(content):
        begin = at
        key, at = _read_varint(content, at)
        kind, number = key & 7, key >> 3
        if at < 0 or number == 0 or kind not in SIZES:
            return bytes(content), None
        if kind == VARINT:
            _, at = _read_varint(content, at)
        elif kind == BYTES:
            length, at = _read_varint(content, at)
            if number == RAW_INPUT_CONTENTS:
                rest.append(view[copied:begin])
                raw.append(view[at : at + length])
                copied = at + length
            at += length if at >= 0 else 0
        else:
            at += SIZES[kind]
        if not begin < at <= len(content):
            return bytes(content), None
    rest.append(view[copied:])
    return b"".join(rest), raw


def _read_varint(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends; a place before the beginning if it does
    not."""
    number = 0
    for index in range(LONGEST_VARINT):
        if not 0 <= at + index < len(content):
            break
        byte = content[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, at + index + 1
    return 0, -1
