# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Memory that a process frees and needs again at once."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # as glibc's malloc.h numbers them
MOST_HEAP_BYTES = 32 << 20  # of one allocation; glibc takes no more


def keep_freed_memory() -> None:
    """Let this process keep up to 64 MB of the memory that it frees, or of each of its threads.
    Each message of a megabyte takes buffers of its size; glibc gives them back to the kernel, which
    fills the next ones with zeros, page by page. By itself glibc comes to the same thresholds once
    a buffer of 32 MB is freed. Other C libraries have no such function."""
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(MMAP_THRESHOLD, MOST_HEAP_BYTES)
        set_option(TRIM_THRESHOLD, 2 * MOST_HEAP_BYTES)
