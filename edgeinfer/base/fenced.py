# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Folders that may have come from anyone: nothing outside them is read, written or deleted.

A folder with a link that leads out of it is refused as a whole, before anything in it is touched;
paths that its files name are taken only where they stay inside.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from edgeinfer.base.errors import InputError


def refuse_links(folder: Path) -> None:
    """An error for a link that leads out of a folder, and for pipes, sockets and devices."""
    home = folder.resolve()
    for path, mode in entries(home):
        link = folder / path.relative_to(home)
        if stat.S_ISLNK(mode):
            if not path.resolve().is_relative_to(home):
                raise InputError(
                    f"{link} is a link to '{path.readlink()}', out of the folder {folder}.",
                    hint="Remove the link, or put what it leads to in its place.",
                )
        elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(
                f"{link} is neither a file nor a folder.", hint="Remove it from the folder."
            )


def entries(folder: Path) -> Iterator[tuple[Path, int]]:
    """Everything below a folder with its mode; links are not followed."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                for entry in listing:
                    path, mode = Path(entry.path), entry.stat(follow_symlinks=False).st_mode
                    yield path, mode
                    if stat.S_ISDIR(mode):
                        waiting.append(path)
        except (FileNotFoundError, NotADirectoryError):  # being tidied up, or no folder
            continue


def inside(folder: Path, name: str) -> Path:
    """The file of a folder that a file of it names; an error where that lies elsewhere."""
    if not stays_inside(name):
        raise InputError(
            f"{folder} names the file {name[:200]!r}, which is not in it.",
            hint="Make the folder again, and do not use this one.",
        )
    return folder / name


def stays_inside(name: str) -> bool:
    """Whether a path with forward slashes is relative and leads nowhere else."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and name.isprintable()


def own_file(path: Path) -> None:
    """A file that is written in place gets a content of its own: one that is also called otherwise,
    by a hard link, would change there too."""
    try:
        shared = path.lstat().st_nlink > 1
    except FileNotFoundError:
        return
    if shared:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
