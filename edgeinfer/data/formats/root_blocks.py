# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ROOT objects are compressed in blocks: check that none holds more than it says, before uproot."""

from __future__ import annotations

import lzma
import zlib
from pathlib import Path

from edgeinfer.data.formats.guard import MAX_BLOCK_BYTES, DataFileError

_HEADER_BYTES = 9


def check_blocks(payload: bytes, object_bytes: int, path: str | Path, key: str) -> None:
    """Refuse a compressed object whose blocks do not add up to exactly `object_bytes`."""
    if object_bytes > MAX_BLOCK_BYTES:
        problem = f"claims {object_bytes} bytes, more than the {MAX_BLOCK_BYTES} accepted"
        raise DataFileError(path, key, problem)
    if len(payload) == object_bytes:
        return
    position, total = 0, 0
    while position < len(payload):
        header = payload[position : position + _HEADER_BYTES]
        if len(header) < _HEADER_BYTES:
            raise DataFileError(path, key, "a compressed block is truncated")
        block_bytes = int.from_bytes(header[3:6], "little")
        claimed = int.from_bytes(header[6:9], "little")
        block = payload[position + _HEADER_BYTES :][:block_bytes]
        if len(block) < block_bytes:
            raise DataFileError(path, key, "a compressed block is truncated")
        if not _holds(header[:2], block, claimed):
            raise DataFileError(path, key, f"a compressed block does not hold its {claimed} bytes")
        position += _HEADER_BYTES + block_bytes
        total += claimed
    if total != object_bytes:
        problem = f"its blocks hold {total} bytes, its key claims {object_bytes}"
        raise DataFileError(path, key, problem)


def _holds(algorithm: bytes, block: bytes, claimed: int) -> bool:
    """Whether a block decompresses to the bytes it claims, never taking more memory than that."""
    try:
        match algorithm:
            case b"ZL":
                return len(zlib.decompressobj().decompress(block, claimed + 1)) == claimed
            case b"XZ":
                out = lzma.LZMADecompressor().decompress(block, max_length=claimed + 1)
                return len(out) == claimed
            case b"ZS":
                return _zstd_holds(block, claimed)
            case b"L4":
                # The LZ4 block decoder takes the claimed size as its limit.
                return True
            case _:  # unknown algorithms are refused
                return False
    except (zlib.error, lzma.LZMAError):
        return False


def _zstd_holds(block: bytes, claimed: int) -> bool:
    import cramjam  # comes with uproot, which decompresses with it

    try:
        return int(cramjam.zstd.decompress_into(block, bytearray(claimed))) == claimed
    except cramjam.DecompressionError:
        return False
