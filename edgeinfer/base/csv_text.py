# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""CSV for other programs and for spreadsheets, in which a name is never a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from edgeinfer.base.names import printable

# With which a spreadsheet begins to calculate; the wide ones count where Japanese is written.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows of cells as the text of a file."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([cell(value) for value in row] for row in rows)
    return written.getvalue()


def cell(value: object) -> object:
    """A value as a cell of one line: words that a spreadsheet would calculate get an apostrophe
    before them, numbers stay numbers."""
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    text = printable(value)
    return f"'{text}" if value.lstrip(" ").startswith(FORMULA) else text
