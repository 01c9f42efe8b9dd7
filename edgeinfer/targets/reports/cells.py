# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A report's text and its cells: read whole, and every cell a number, nothing, or an error.

A cell that says that a tool knows no number (`-`, `?`, `NA`, `undef`) is None. A cell that is
neither that nor a number is an error, so that no figure is ever guessed.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from edgeinfer.base.errors import InputError

LARGEST_REPORT_BYTES = 256 << 20
UNKNOWN = {"", "-", "?", "na", "n/a", "undef", "undefined", "x", "none", "tbd", "inf"}
NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?"
COUNT = re.compile(rf"\s*~?\s*({NUMBER})\s*(?:\(\s*[~<]?\s*[\d.]+\s*%\s*\))?\s*")
DURATION = re.compile(rf"\s*~?\s*({NUMBER})\s*(ps|ns|us|ms|sec|s)?\s*")
NANOSECONDS = {"ps": 1e-3, "ns": 1.0, "us": 1e3, "ms": 1e6, "sec": 1e9, "s": 1e9}


class ReportError(InputError):
    """A report that is cut short, or laid out as none that is known."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}, so no figure was taken from it.",
            hint="Run the tool again to its end, or remove the file.",
        )


def report_bytes(path: Path) -> bytes:
    """A report's content; an error where it cannot be read, or is no report for its size."""
    try:
        size = path.stat().st_size
        if size > LARGEST_REPORT_BYTES:
            raise ReportError(path, f"a report of {size >> 20} MiB is too large")
        content = path.read_bytes()
    except OSError as error:
        raise ReportError(path, f"the report cannot be read ({error.strerror})") from None
    if not content.strip():
        raise ReportError(path, "the report is empty")
    return content


def report_text(path: Path) -> str:
    """A text report, tabs as spaces so that columns line up."""
    return report_bytes(path).decode("utf-8", errors="replace").expandtabs()


def xml_root(path: Path) -> ElementTree.Element:
    """The root of an XML report; an error where it is cut short or no XML."""
    try:
        return ElementTree.fromstring(report_bytes(path))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ReportError(path, f"it is not a complete XML file ({error})") from None


def count(cell: str, path: Path) -> float | None:
    """A cell that counts something: `123`, `1,234`, `23 (3%)`, `~0`, `12.5`; None if unknown."""
    if cell.strip().lower() in UNKNOWN:
        return None
    match = COUNT.fullmatch(cell)
    if match is None:
        raise ReportError(path, f"{cell.strip()[:40]!r} is where a number should be")
    return float(match[1].replace(",", ""))


def amount(cell: str, path: Path) -> float | None:
    """A cell that counts what a table leaves blank or strikes out where there is none."""
    return 0.0 if cell.strip() in ("", "-") else count(cell, path)


def nanoseconds(cell: str, path: Path) -> float | None:
    """A cell that is a time: `5.00 ns`, `0.211 ms`, `4.371` (in nanoseconds); None if unknown."""
    if cell.strip().lower() in UNKNOWN:
        return None
    match = DURATION.fullmatch(cell)
    if match is None:
        raise ReportError(path, f"{cell.strip()[:40]!r} is where a time should be")
    return float(match[1].replace(",", "")) * NANOSECONDS[match[2] or "ns"]


def field(text: str, name: str) -> str | None:
    """What follows `name` and a colon at the beginning of a line, past bullets and bars."""
    match = re.search(rf"^[ \t|*;]*{re.escape(name)}[ \t]*:[ \t]*(.*?)[ \t|;]*$", text, re.M)
    return match[1].strip() if match else None


def version_of(text: str | None) -> str | None:
    """The version number in what a tool says of itself, such as `2020.1` or `21.1.0`."""
    match = re.search(r"(\d+(?:\.\d+)+)", text or "")
    return match[1] if match else None
