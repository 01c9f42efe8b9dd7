# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What tools made, kept by content in the user's cache folder, within a bound.

An entry is a folder. Whenever one is read its time is set, and whenever one was added those that
were used longest ago go, until all together fit again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from edgeinfer.base.scratch import cache_home

MOST_BYTES = 2 << 30
VARIABLE = "EDGEINFER_RTL_CACHE_MB"
KEPT = frozenset({"runtime"})  # Verilator's own part: small, and of use to every design
YOUNG_SECONDS = 3600.0  # an entry that another process may be about to read


def cache_folder() -> Path:
    """Where they are kept."""
    return cache_home() / "rtl"


def entry(kind: str, contents: Iterable[bytes]) -> Path:
    """The folder for what is made of these contents; it need not be there yet."""
    state = hashlib.sha256()
    for content in contents:
        state.update(f"{len(content)} ".encode())
        state.update(content)
    return cache_folder() / kind / state.hexdigest()


def mark_used(folder: Path) -> None:
    """An entry was read."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def limit_size(most_bytes: int | None = None, now: float | None = None) -> list[Path]:
    """Make room: entries go, those that were used longest ago first. Returns what went."""
    most = _limit_bytes() if most_bytes is None else most_bytes
    moment = time.time() if now is None else now
    entries = sorted(_entries(cache_folder()))
    total_bytes = sum(size for _, size, _ in entries)
    removed = []
    for stamp, size, folder in entries:
        if total_bytes <= most:
            break
        if moment - stamp < YOUNG_SECONDS:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        total_bytes -= size
        removed.append(folder)
    return removed


def _limit_bytes() -> int:
    words = os.environ.get(VARIABLE, "")
    return int(words) << 20 if words.isdigit() else MOST_BYTES


def _entries(base: Path) -> list[tuple[float, int, Path]]:
    """When each was last used, its bytes, its folder."""
    entries = []
    for kind in base.iterdir() if base.is_dir() else ():
        if not kind.is_dir() or kind.name in KEPT:
            continue
        for folder in kind.iterdir():
            with contextlib.suppress(OSError):  # another process may be making room, too
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                entries.append((folder.stat().st_mtime, size, folder))
    return entries
