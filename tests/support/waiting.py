# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Waiting for what another process or thread does. A test waits for the event and never for a time
that ought to be enough: many tests share a machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

LIMIT_SECONDS = 300.0  # what is waited for does not come any more


def until(condition: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it is not so after {seconds:g} s"
        time.sleep(0.05)


def count_lines(path: Path) -> int:
    """How many lines another process has written whole; none where there is no file."""
    return path.read_bytes().count(b"\n") if path.is_file() else 0
