# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Progress below the cell of a notebook: a line that changes, and at the end the time of each step.

The library itself says nothing in scripts.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from edgeinfer.base.names import printable
from edgeinfer.run.folder import Progress

SECONDS = 0.2  # between two changes of the line
LONGEST = 80  # of what a tool says


def notebook_progress() -> Progress:
    """A line in a notebook; nothing anywhere else."""
    library = sys.modules.get("IPython")  # whoever runs in a notebook has it
    shell = None if library is None else library.get_ipython()
    if library is None or shell is None or not hasattr(shell, "kernel"):
        return Progress()
    return NotebookLine(library.display.display)


class NotebookLine(Progress):
    """The steps that are done, and how far the current one is."""

    def __init__(self, display: Any) -> None:
        self._done: list[str] = []
        self._step = self._how_far = ""
        self._shown = 0.0
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def start(self, step: str) -> None:
        """A step begins."""
        self._step, self._how_far = step, "..."
        self._show(now=True)

    def advance(self, done: int, total: int) -> None:
        """The current step has done some of its work."""
        self._how_far = f"{done:,} of {total:,}"
        self._show(now=done >= total)

    def say(self, step: str, seconds: float, line: str) -> None:
        """What a tool says at the moment."""
        self._step, self._how_far = step, f"{seconds:.0f} s, {line.strip()[:LONGEST]}"
        self._show(now=False)

    def finish(self, step: str, seconds: float, cached: bool) -> None:
        """A step is done."""
        self._done.append(f"{step} {'as before' if cached else f'{seconds:.1f} s'}")
        self._step = self._how_far = ""
        self._show(now=True)

    def _show(self, *, now: bool) -> None:
        if not now and time.monotonic() - self._shown < SECONDS:
            return
        self._shown = time.monotonic()
        parts = [*self._done, *([f"{self._step}: {self._how_far}"] if self._step else [])]
        self._handle.update({"text/plain": printable(", ".join(parts), " ")}, raw=True)
