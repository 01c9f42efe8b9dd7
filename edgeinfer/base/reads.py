# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a result depends on beside options and inputs: code, shipped text, libraries, programs.

Whoever remembers a result keeps the digest of these beside it, and makes the result anew when the
digest changes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgeinfer.base import assets


@dataclass(frozen=True, slots=True)
class Reads:
    """Modules and packages by their dotted names, shipped files and folders by their paths,
    libraries by their distributions' names, and programs by what tells one build from another."""

    code: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    def __or__(self, other: Reads) -> Reads:
        return Reads(
            _join_reads(self.code, other.code),
            _join_reads(self.text, other.text),
            _join_reads(self.libraries, other.libraries),
            _join_reads(self.programs, other.programs),
        )

    @property
    def digest(self) -> str:
        """The content hash of all of it, as it is now."""
        state = hashlib.sha256()
        for kind, lines in (
            ("code", (f"{name} {_digest(files_of_code(name))}" for name in self.code)),
            ("text", (_digest_of_text(name) for name in self.text)),
            ("library", (f"{name} {_version(name)}" for name in self.libraries)),
            ("program", self.programs),
        ):
            for line in lines:
                state.update(f"{kind} {line}\n".encode())
        return state.hexdigest()


def _join_reads(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*first, *second}))


def identity_of(path: Path | None) -> str:
    """What tells one build of a program from another, without running it."""
    if path is None:
        return "absent"
    try:
        status = path.resolve().stat()
    except OSError:
        return f"{path} unreadable"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def files_of_code(name: str) -> list[Path]:
    """The source files of a module, or of all modules of a package."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"There is no module {name}.")
    if spec.submodule_search_locations is not None:
        return [path for place in spec.submodule_search_locations for path in _sources(Path(place))]
    return [] if spec.origin is None else [Path(spec.origin)]


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _digest_of_text(name: str) -> str:
    place = assets.path(name)
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    return f"{name} {_digest(files)}"


def _digest(paths: list[Path]) -> str:
    state = hashlib.sha256()
    for path in paths:
        status = path.stat()
        content = _content_hash(str(path), status.st_size, status.st_mtime_ns)
        state.update(f"{path.name} {content}\n".encode())
    return state.hexdigest()


@functools.lru_cache(maxsize=4096)
def _content_hash(path: str, size: int, mtime_ns: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _version(distribution: str) -> str:
    if distribution == "python":
        return ".".join(map(str, sys.version_info[:3]))
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
