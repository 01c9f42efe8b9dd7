# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The error family: what went wrong, what to do about it, and the exit code a shell sees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


class EdgeInferError(Exception):
    """An error that is the user's to read: one paragraph, a remedy, and an exit code."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class GateError(EdgeInferError):
    """A budget was missed."""

    exit_code = 1


class UsageError(EdgeInferError):
    """A wrong argument or configuration."""

    exit_code = 2


class RunBusyError(UsageError):
    """Another process is working in the run folder."""


class InputError(UsageError):
    """A file or an array that cannot be used as it is."""


class ModelError(InputError):
    """A model file that cannot be read as a network."""


class RecipeError(InputError):
    """A recipe that does not fit its model."""


class ProgramError(EdgeInferError):
    """A Program that breaks a law of the integer network."""

    exit_code = 2


class ToolMissingError(EdgeInferError):
    """An external tool is not there."""

    exit_code = 3


class ToolFailedError(EdgeInferError):
    """An external tool, or the machine under it, failed."""

    exit_code = 4


class DisagreementError(EdgeInferError):
    """Two stages that must agree do not."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Offence:
    """One thing in a model that cannot be read: where it is, and why."""

    path: str
    kind: str
    reason: str
    nearest: str = ""  # the nearest form that works, where the reason does not say it all

    def __str__(self) -> str:
        return f"{self.path} ({self.kind}): {self.reason}"


class UnsupportedModelError(ModelError):
    """One report of every layer of a model that cannot be read, or not be made for a target."""

    def __init__(
        self,
        source: str | Path,
        offences: Iterable[Offence],
        *,
        hint: str = "",
        trouble: str = "cannot be made",
    ) -> None:
        self.offences = tuple(offences)
        listed = "; ".join(_with_forms(self.offences))
        count = len(self.offences)
        noun = "layer" if count == 1 else "layers"
        super().__init__(
            f"{source}: {count} {noun} {trouble}: {listed}.",
            hint=hint or "Replace or remove what is listed, save the model again, and retry.",
        )


def _with_forms(offences: Iterable[Offence]) -> Iterable[str]:
    """Each offence; what works in place of its kind stands beside the first of the kind."""
    written: set[tuple[str, str]] = set()
    for offence in offences:
        form = (offence.kind, offence.nearest)
        first = bool(offence.nearest) and form not in written
        written.add(form)
        yield f"{offence} (what works: {offence.nearest})" if first else str(offence)


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """A sentence naming the nearest known names, or the empty string."""
    near = get_close_matches(name, list(choices), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
