# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data that Intel's HLS compiler leaves as JSON, or as JavaScript: `var name={...};`.

The JavaScript differs from JSON in its strings: single quotes, escaped apostrophes, and in older
versions a whole object inside a string. The oldest write an object's names between brackets,
`["ALMs": 12.5, "DSPs": 3]`, even in their JSON.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edgeinfer.targets.reports.cells import ReportError, report_text

STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.S)
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.S)
PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
NAMES_IN_LIST = re.compile(r'\[(\s*"[^"\\]*"\s*:[^][{}]*)\]')
TRAILING_COMMA = re.compile(r",(\s*[\]}])")


def json_data(path: Path) -> Any:
    """The content of a JSON file."""
    return _decode_value(report_text(path), path)


def script_data(path: Path, name: str) -> Any:
    """What a JavaScript file assigns to a variable; None where it has no such variable."""
    text = report_text(path)
    begin = re.search(rf"\bvar\s+{re.escape(name)}\s*=\s*", text)
    if begin is None:
        if not re.match(r"\s*var\s+\w+\s*=", text):
            raise ReportError(path, "it is not a script that assigns variables")
        return None
    value = _decode_value(_as_json(text[begin.end() :]), path)
    return _decode_value(value, path) if isinstance(value, str) else value


def _decode_value(text: str, path: Path) -> Any:
    try:
        mended = NAMES_IN_LIST.sub(r"{\1}", text.lstrip())
        return json.JSONDecoder(strict=False).raw_decode(mended)[0]
    except (ValueError, RecursionError) as error:
        raise ReportError(path, f"its data cannot be read ({error})") from None


def _as_json(script: str) -> str:
    """The same with strings as JSON writes them, and without commas that end a list."""
    pieces, at = [], 0
    for match in STRING.finditer(script):
        pieces.append(TRAILING_COMMA.sub(r"\1", script[at : match.start()]))
        pieces.append(json.dumps(ESCAPE.sub(_unescape, match[0][1:-1])))
        at = match.end()
    pieces.append(TRAILING_COMMA.sub(r"\1", script[at:]))
    return "".join(pieces)


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) > 1:
        return chr(int(escaped[1:], 16))
    return PLAIN.get(escaped, escaped)
