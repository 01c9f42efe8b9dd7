# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Zip archives opened with suspicion: sizes are checked before anything is unpacked."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from edgeinfer.base.errors import ModelError

MAX_MEMBER_BYTES = 2 << 30
MAX_RATIO = 200  # Keras stores without compression; weights hardly compress
SMALL_BYTES = 16 << 20  # below this no ratio is harmful


def read_members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The named members that the archive has. Nothing is written to disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            for info in infos:
                _refuse_escapes(path, info.filename)
            members = {info.filename: info for info in infos if info.filename in names}
            return {name: _read(path, archive, info) for name, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is a damaged zip archive: {error}.",
            hint="It was cut short or changed; save or copy the model again.",
        ) from None
    except RuntimeError as error:  # encrypted; or compressed in an unknown way, which is one, too
        raise ModelError(
            f"{path} cannot be unpacked: {error}.", hint="Save the model again with Keras."
        ) from None


def _refuse_escapes(path: Path, member: str) -> None:
    parts = PurePosixPath(member.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[:1]:
        raise ModelError(
            f"{path} has a member {member!r} that points outside the archive.",
            hint="No Keras model has; do not trust this file.",
        )


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _refuse_bombs(path, info.filename, info.file_size, info.compress_size)
    content = io.BytesIO()
    with archive.open(info) as member:
        while block := member.read(1 << 20):
            content.write(block)
            if content.tell() > info.file_size:
                raise ModelError(
                    f"{path}: {info.filename} unpacks to more than it declares.",
                    hint="The archive is damaged or hostile.",
                )
    return content.getvalue()


def _refuse_bombs(path: Path, member: str, unpacked: int, packed: int) -> None:
    if unpacked > MAX_MEMBER_BYTES:
        raise ModelError(
            f"{path}: {member} declares {unpacked:,} bytes; at most {MAX_MEMBER_BYTES:,} are read.",
            hint="Networks for these devices are far smaller: is this the right file?",
        )
    if unpacked > SMALL_BYTES and unpacked > MAX_RATIO * max(packed, 1):
        raise ModelError(
            f"{path}: {member} would unpack {packed:,} bytes to {unpacked:,}.",
            hint="That is a zip bomb, not a model; do not trust this file.",
        )
