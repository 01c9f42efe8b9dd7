# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files as data first, on the disk second: a plan with a digest, and the one writer.

A file appears under its name complete or not at all: it is written to a temporary sibling, forced
to the disk, and renamed. Several files are all staged before the first is renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.fenced import entries

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a user's share of it, or a file
PARTIAL = ".partial"  # marks a temporary sibling; see `sweep_partial`


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """A folder's files in memory, by relative path with forward slashes."""

    name: str
    files: Mapping[str, bytes]
    findings: tuple[str, ...] = ()  # what a user should know about them

    def __post_init__(self) -> None:
        for path in self.files:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or "\\" in path:
                raise ValueError(f"{self.name}: {path!r} would leave the plan's folder.")

    @property
    def digest(self) -> str:
        """Content hash over names and bytes, whatever their order."""
        state = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            state.update(f"{len(path)} {path} {len(content)} ".encode())
            state.update(content)
        return state.hexdigest()

    def write(self, folder: Path) -> None:
        """Put every file in place below a folder."""
        write_files({folder / path: content for path, content in self.files.items()})


def write_file(path: Path, content: bytes | str) -> None:
    """Put one file in place, complete or not at all."""
    write_files({path: content.encode() if isinstance(content, str) else content})


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Put files in place: all are staged beside their destination before any is renamed."""
    staged: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                _refuse_other(path)
                temporary = _sibling(path)
                staged.append((temporary, path))
                _write_through(temporary, content)
        for temporary, path in staged:
            with writing(path):
                temporary.replace(path)
    finally:
        for temporary, _ in staged:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def stage_file(path: Path) -> Iterator[Path]:
    """A temporary sibling for a library to write to; renamed to `path` when the block succeeds."""
    temporary = _sibling(path)
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_other(path)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file of any size; the copy appears complete or not at all."""
    with stage_file(path) as temporary:
        shutil.copyfile(source, temporary)


def sweep_partial(folder: Path) -> None:
    """Remove temporaries that a killed process left below a folder."""
    for path, mode in list(entries(folder)):
        if path.name.startswith(".") and PARTIAL in path.name and not stat.S_ISDIR(mode):
            with contextlib.suppress(OSError):
                path.unlink()


def sha256_of(path: Path) -> str:
    """Content hash of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError while writing into one that names the path and the remedy."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ToolFailedError:
    """Why a path could not be written, and what to do about it."""
    match error.errno:
        case number if number in FULL:
            return ToolFailedError(
                f"{path}: no room is left on the disk ({error.strerror}); nothing was written.",
                hint="Free some space or choose another place, and run the same command again.",
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ToolFailedError(
                f"{path}: this place is not writable ({error.strerror}).",
                hint="Choose a folder that you own.",
            )
        case errno.ENOTDIR | errno.EEXIST:
            blocker = next((p for p in (path, *path.parents) if p.is_file()), path)
            where = "" if blocker == path else f"{path}: "
            return ToolFailedError(
                f"{where}{blocker} is a file, where a folder is needed.",
                hint="Choose another name, or move the file away.",
            )
        case errno.EISDIR:
            return ToolFailedError(
                f"{path} is a folder, where a file is to be written.",
                hint="Name a file inside it.",
            )
        case errno.ENAMETOOLONG:
            return ToolFailedError(f"{path}: the name is too long.", hint="Choose a shorter one.")
        case _:  # the system's own words must do for all other errors
            return ToolFailedError(
                f"{path} cannot be written ({error.strerror or error}).",
                hint="Choose another place.",
            )


def _refuse_other(path: Path) -> None:
    """Only a file is replaced: who may write everywhere would lose /dev/null."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    if path.exists() and not path.is_file():
        raise ToolFailedError(
            f"{path}: this is a device or a pipe, which a file would replace.",
            hint="Name a file.",
        )


def _sibling(path: Path) -> Path:
    """A hidden name beside the destination that keeps its suffix (libraries look at it)."""
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}{PARTIAL}{path.suffix}")


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
