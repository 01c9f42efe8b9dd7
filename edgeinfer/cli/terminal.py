# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a person sees of a verb: its answer on stdout, its progress on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from edgeinfer.base.extras import require_extra
from edgeinfer.base.names import printable
from edgeinfer.base.quiet import quiet_stderr
from edgeinfer.run.folder import Progress

COLOURS = {"good": "green", "bad": "bold red", "unsure": "yellow"}


Line = str | tuple[str | None, str]  # with how it is to be taken


def answer(document: Any, lines: Sequence[Line], *, as_json: bool, indent: int | None = 2) -> None:
    """The result: as JSON on stdout with the prose on stderr, or the prose alone on stdout. What is
    one line here is one line there, whatever names are in it. A text is JSON already."""
    if as_json:
        text = document if isinstance(document, str) else json.dumps(document, indent=indent)
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    stream = sys.stderr if as_json else sys.stdout
    stream.write(style_line(lines, stream).rstrip("\n") + "\n")
    sys.stdout.flush()


def tell(line: str) -> None:
    """A line on stderr, about how it goes."""
    sys.stderr.write(f"{printable(line)}\n")


def style_line(text_lines: Sequence[Line], stream: TextIO) -> str:
    """Lines in the colours of how they are to be taken, on a terminal that wants colours."""
    pairs = [(None, line) if isinstance(line, str) else line for line in text_lines]
    lines = [(state, printable(line)) for state, line in pairs]
    if not stream.isatty() or plain_terminal():
        return "\n".join(line for _, line in lines)
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream)
    with console.capture() as captured:
        for state, line in lines:
            console.print(Text(line, style=COLOURS.get(state or "", "")), soft_wrap=True)
    return captured.get()


def plain_terminal() -> bool:
    """Whether someone asked for no colours and no bars."""
    is_asked = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    return is_asked or os.environ.get("TERM") == "dumb"


def import_keras_quietly(doing: str) -> None:
    """Import Keras while nothing reaches stderr: TensorFlow's native code greets everyone there.
    An error if it is not installed; `doing` says what needs it."""
    require_extra("train", doing)
    with quiet_stderr():
        import keras  # noqa: F401  # for what its import says


class ProgressLines(Progress):
    """Progress as lines, for logs and pipes: they want no ticking, and a tool has its own log."""

    def finish(self, step: str, seconds: float, cached: bool) -> None:
        """One line a step."""
        tell(f"{step}: {'as before' if cached else f'{seconds:.2f} s'}")


LINE = 60  # of a tool's last line, beside a bar


class ProgressBars(Progress):
    """Progress as bars that move, for a terminal."""

    def __init__(self, display: Any) -> None:
        self.display = display
        self.task: Any = None

    def start(self, step: str) -> None:
        """A bar that does not know its length yet."""
        self.task = self.display.add_task(step, total=None)

    def advance(self, done: int, total: int) -> None:
        """The bar grows."""
        self.display.update(self.task, completed=done, total=total)

    def say(self, step: str, seconds: float, line: str) -> None:
        """What a tool does at the moment, beside the bar; nothing in it can drive the terminal."""
        from rich.markup import escape

        plain = printable(line, " ").strip()
        text = plain if len(plain) <= LINE else plain[: LINE - 3] + "..."
        self.display.update(self.task, description=f"{step}: {escape(text)}")

    def finish(self, step: str, seconds: float, cached: bool) -> None:
        """The bar is full."""
        description = f"{step}: {'as before' if cached else f'{seconds:.2f} s'}"
        self.display.update(self.task, description=description, completed=1, total=1)


def wants_bars() -> bool:
    """Whether stderr is a terminal that wants to be drawn on."""
    return sys.stderr.isatty() and not plain_terminal()


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Bars on a terminal that wants them, lines anywhere else."""
    if not wants_bars():
        yield ProgressLines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Display

    remaining = TimeRemainingColumn()  # blank until a step knows its length
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), remaining)
    with Display(*columns, console=Console(stderr=True)) as display:
        yield ProgressBars(display)
