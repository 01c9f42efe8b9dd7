# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Libraries that not everyone needs: each group is an extra of the package, which pip adds by name.

What needs one asks here before it begins its work, so that nobody waits for an error. Targets
declare extras of their own.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from edgeinfer.base.errors import ToolMissingError


@dataclass(frozen=True, slots=True)
class Extra:
    """A group of libraries: what it is for, and the modules that are there when it is."""

    name: str
    purpose: str
    modules: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that installs it."""
        return f"pip install 'edgeinfer[{self.name}]'"

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that are not there. Nothing is imported."""
        return tuple(name for name in self.modules if not _is_there(name))


EXTRAS = {
    extra.name: extra
    for extra in (
        Extra(
            "train",
            "training (train, search, quantize --method qat), .keras files written, float networks "
            "calibrated for the Edge TPU",
            ("tensorflow", "keras", "qkeras"),
        ),
        Extra("cluster", "sweep and event on a Dask cluster", ("distributed",)),
        Extra("tables", "Parquet files, and SQL over the trials of a study", ("duckdb", "pyarrow")),
        Extra(
            "serve",
            "serve; infer and bench-serve by gRPC without tritonclient",
            ("tornado", "hpack"),
        ),
        Extra(
            "fast",
            "machine code: products of bytes in event, cycles of RTL designs without g++",
            ("llvmlite",),
        ),
        Extra("board", "a board on a serial line", ("serial",)),
    )
}


def require_extra(name: str, doing: str) -> None:
    """An error where an extra is not installed. `doing` begins the sentence."""
    extra = EXTRAS[name]
    if extra.missing:
        raise ToolMissingError(
            f"{doing} needs {' and '.join(extra.missing)}, which the extra {name} brings and which "
            f"{'is' if len(extra.missing) == 1 else 'are'} not installed.",
            hint=f"Get it with: {extra.command}",
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
