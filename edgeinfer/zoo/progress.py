# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a training shows itself: a moving bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeinfer.zoo.checkpoint import EpochRecord
from edgeinfer.zoo.fit import TrainingWatcher

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def sentence(record: EpochRecord, best: bool) -> str:
    """One epoch in a line."""
    return (
        f"epoch {record.epoch}: loss {record.loss:.4f}, validation {record.validation_loss:.4f}"
        f"{' (best so far)' if best else ''}, {record.seconds:.1f} s"
    )


class EpochLines:
    """A line an epoch, for logs and pipes."""

    def __init__(self, title: str) -> None:
        self.title = title

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Steps pass in silence."""

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """An epoch is done."""
        sys.stderr.write(f"{self.title}: {sentence(record, best)}\n")
        sys.stderr.flush()


class EpochBar:
    """A bar for the epoch that runs, a line for each that has ended."""

    def __init__(self, display: Progress, title: str) -> None:
        self.display = display
        self.task: TaskID = display.add_task(f"{title}: data", total=None)

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """A batch is done."""
        description = f"epoch {epoch + 1}, loss {loss:.4f}"
        self.display.update(self.task, description=description, completed=step, total=steps)

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """An epoch is done."""
        self.display.console.print(sentence(record, best), highlight=False)


@contextmanager
def watching(title: str) -> Iterator[TrainingWatcher]:
    """A bar where a person looks on, lines otherwise."""
    plain = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    if plain or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty():
        yield EpochLines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as display:
        yield EpochBar(display, title)
