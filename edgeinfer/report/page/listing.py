# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The integer program to browse: each value a line with links to what it reads, and the places in
the targets' files where it is computed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeinfer.report import words

MOST_LINES = 2_000
LONGEST = 2_000  # characters of a line
DEFINED = re.compile(r"^\s*\(%(\S+) ")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAMED = re.compile(r"(%[^\s()]+)")


@dataclass(frozen=True, slots=True)
class CodePlace:
    """A line of a file of the run where a value's name stands."""

    file: str  # inside the run folder
    line: int


@dataclass(frozen=True, slots=True)
class ListedLine:
    """A line of the program: words, some of them links within the page; where it is in code."""

    name: str  # of the value
    anchor: str  # empty for lines that define no value
    parts: tuple[tuple[str, str], ...]  # words, and the anchor that they lead to
    places: tuple[CodePlace, ...] = ()


def anchors_of(program_text: str) -> dict[str, str]:
    """The anchor of each value in a page, by the value's name."""
    matches = (DEFINED.match(line) for line in program_text.splitlines()[:MOST_LINES])
    names = [match[1] for match in matches if match is not None]
    return {name: f"value-{number}" for number, name in enumerate(dict.fromkeys(names))}


def list_program(program_text: str, code: Mapping[str, str]) -> tuple[ListedLine, ...]:
    """The lines of `program.txt`; `code`: texts of the targets' files, by their paths."""
    anchors = anchors_of(program_text)
    places = find_places(list(anchors), code)
    lines = []
    for text in program_text.splitlines()[:MOST_LINES]:
        match = DEFINED.match(text)
        own = None if match is None else match[1]
        parts = []
        for part in NAMED.split(words.short(text, LONGEST) if len(text) > LONGEST else text):
            target = anchors.get(part[1:], "") if part.startswith("%") else ""
            parts.append((part, "" if part[1:] == own else target))
        anchor = "" if own is None else anchors[own]
        lines.append(ListedLine(own or "", anchor, tuple(parts), places.get(own or "", ())))
    return tuple(lines)


def find_places(names: Sequence[str], code: Mapping[str, str]) -> dict[str, tuple[CodePlace, ...]]:
    """The first line of each target's files in which a name stands as a word, or begins one as
    emitted code has them: `dense1_data` is of `dense1`."""
    name_set = set(names)
    code_places: dict[str, dict[str, CodePlace]] = {name: {} for name in names}
    for file, text in code.items():
        for number, line in enumerate(text.splitlines(), start=1):
            for word in set(WORD.findall(line)):
                name = _name_in(word, name_set)
                if name:
                    code_places[name].setdefault(file.split("/")[0], CodePlace(file, number))
    return {name: tuple(places.values()) for name, places in code_places.items()}


def _name_in(word: str, names: set[str]) -> str:
    """The longest name that is a word, or its beginning up to an underscore."""
    while word and word not in names:
        word = word.rpartition("_")[0]
    return word
