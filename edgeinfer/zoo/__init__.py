# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The reference models: how they are built, what they learn from, trained weights of small ones.

A model argument is a zoo name or a path; `resolve` turns either into a path. Figures of merit here
come from simulated data and say nothing about a detector.
"""

from __future__ import annotations

from pathlib import Path

from edgeinfer.base.errors import InputError, UsageError, did_you_mean
from edgeinfer.zoo.catalog import ENTRIES
from edgeinfer.zoo.entry import EventSamples, ZooEntry

__all__ = [
    "ENTRIES",
    "EventSamples",
    "ZooEntry",
    "entry_of",
    "is_name",
    "reference_path",
    "resolve",
]

REFERENCES = Path(__file__).resolve().parent / "references"


def is_name(name_or_path: str | Path) -> bool:
    """Whether a model argument names a zoo entry."""
    return str(name_or_path) in ENTRIES


def entry_of(name: str) -> ZooEntry:
    """The entry of that name."""
    if name not in ENTRIES:
        hint = did_you_mean(name, ENTRIES) or f"The zoo has {', '.join(ENTRIES)}."
        raise UsageError(f"There is no reference model {name!r}.", hint=hint)
    return ENTRIES[name]


def reference_path(entry: ZooEntry) -> Path:
    """The trained weights that ship with the package."""
    if entry.reference is None:
        raise UsageError(
            f"{entry.name}: its {entry.parameters:,} weights do not ship with the package.",
            hint=f"Train it with `edgeinfer train {entry.name} -o {entry.name}.keras` and give "
            f"that file.",
        )
    return shipped_file(REFERENCES / entry.reference)


def shipped_file(path: Path) -> Path:
    """A file of the package, or an error where it is missing."""
    if not path.exists():
        raise InputError(
            f"{path}: a file that ships with edgeinfer is missing.",
            hint="Install edgeinfer again.",
        )
    return path


def resolve(name_or_path: str | Path) -> Path:
    """The file that a model argument stands for: a zoo entry's reference, or the path itself."""
    if is_name(name_or_path):
        return reference_path(ENTRIES[str(name_or_path)])
    path = Path(name_or_path)
    if not path.suffix and not path.exists():
        hint = did_you_mean(str(name_or_path), ENTRIES) or f"The zoo has {', '.join(ENTRIES)}."
        raise InputError(
            f"{str(name_or_path)!r} is neither a reference model nor a file.", hint=hint
        )
    return path
