# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Folders for a while, and the user's cache. What a killed process left behind is removed by the
next one that needs a folder: its name says whose it is."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

OWNED = re.compile(r"\.?edgeinfer-[a-z]+-(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-\w+")


@contextlib.contextmanager
def scratch_folder(purpose: str, beside: Path | None = None) -> Iterator[Path]:
    """A folder that is gone after the block; in the temporary folder, or hidden beside a file."""
    folder = new_folder(purpose, beside)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_folder(purpose: str, beside: Path | None = None) -> Path:
    """The same, for whoever removes it at the end of the process."""
    home = Path(tempfile.gettempdir()) if beside is None else beside
    sweep_scratch(home)
    hidden = "" if beside is None else "."
    owner = f"{_place()}-{os.getpid()}-{_start_ticks(os.getpid())}"
    return Path(tempfile.mkdtemp(prefix=f"{hidden}edgeinfer-{purpose}-{owner}-", dir=home))


def cache_home() -> Path:
    """The user's own folder for what can be made anew: EDGEINFER_CACHE, or one where others are."""
    if os.environ.get("EDGEINFER_CACHE"):
        return Path(os.environ["EDGEINFER_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "edgeinfer"


def sweep_scratch(home: Path) -> None:
    """Remove folders of ours whose owner is gone: the process of that number is another by now, or
    none. Nothing is followed out of them, and nobody else's are touched."""
    with contextlib.suppress(OSError), os.scandir(home) as listing:
        for entry in listing:
            owned = OWNED.fullmatch(entry.name)
            if owned is None or owned["place"] != _place():
                continue
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
                    continue
                if _start_ticks(int(owned["pid"])) != int(owned["start"]):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _start_ticks(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 for one that is gone. Where that is
    not told, 1 for every process that there is."""
    try:
        stat_text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat_text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return 0
    except OSError:
        pass
    return 1


@functools.cache
def _place() -> str:
    """Where a process number means what it means here: this machine, since it started, and this
    container."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            link = Path(path)
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
