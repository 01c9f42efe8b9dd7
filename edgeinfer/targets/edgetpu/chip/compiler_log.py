# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the vendor's compiler prints and logs, as numbers: the layouts of versions 2.0 to 16.0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edgeinfer.targets.edgetpu.predict.rules import Status

UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
SIZE: Final = r"([\d.]+)\s*(B|KiB|MiB|GiB)"
ROW: Final = re.compile(r"^([A-Za-z][\w:.-]*)\s+(\d+)\s+(\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """Operators of one sort that share a status."""

    op: str
    count: int
    status: str


@dataclass(frozen=True, slots=True)
class CompilerLog:
    """One compilation. What the compiler does not say is None."""

    version: str
    cached_bytes: int | None  # to the compiler's precision: two digits behind the point
    remaining_bytes: int | None
    streamed_bytes: int | None
    subgraphs: int | None
    operations: int | None
    milliseconds: int | None
    operators: tuple[OperatorCount, ...]

    @property
    def on_chip(self) -> int:
        """How many operators are mapped."""
        return sum(row.count for row in self.operators if row.status == Status.MAPPED)

    @property
    def on_host(self) -> int:
        """How many are not."""
        return sum(row.count for row in self.operators) - self.on_chip


def parse_log(text: str) -> CompilerLog:
    """The compiler's output, or its log file, or both one after the other."""
    used = _size(text, r"On-chip memory used for caching model parameters")
    free = _size(text, r"On-chip memory remaining for caching model parameters")
    if free is None:  # version 2.0 says what there was before
        free = _size(text, r"On-chip memory available for caching model parameters")
    rows = tuple(
        dict.fromkeys(
            OperatorCount(op, int(count), status)
            for op, count, status in ROW.findall(text)
            if status in tuple(Status)
        )
    )
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    return CompilerLog(
        version[1] if version else "",
        used,
        free,
        _size(text, r"Off-chip memory used for streaming uncached model parameters"),
        _count(text, r"Number of Edge TPU subgraphs: (\d+)"),
        _count(text, r"Total number of operations: (\d+)"),
        _count(text, r"compiled successfully in (\d+) ms"),
        rows,
    )


def _size(text: str, label: str) -> int | None:
    match = re.search(rf"{label}:\s*{SIZE}", text)
    return round(float(match[1]) * UNITS[match[2]]) if match else None


def _count(text: str, pattern: str) -> int | None:
    match = re.search(pattern, text)
    return int(match[1]) if match else None
