# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The journal of a search: one line of JSON for each answer, written as soon as it is known."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VERSION = 1
OLD_NOTE = "weights"  # what a note is called in the journals of earlier releases


class SearchError(ValueError):
    """A search that cannot be made as asked."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An answer, a note of the one who asked (where weights are kept, why a target refuses), and
    how long it took."""

    score: float
    costs: Mapping[str, float]
    note: str
    seconds: float


@dataclass(slots=True)
class SearchJournal:
    """Answers by key. Without a path they are kept in memory only."""

    path: Path | None = None
    _entries: dict[str, JournalEntry] = field(default_factory=dict)

    @staticmethod
    def open(path: Path, identity: str) -> SearchJournal:
        """The journal in a file, which belongs to the search of that identity; made where there is
        none. A line that a killed process left incomplete is cut off."""
        journal = SearchJournal(path)
        if path.exists():
            journal._read(path, identity)
        if not path.exists() or not path.stat().st_size:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal._append({"version": VERSION, "search": identity})
        return journal

    @property
    def entries(self) -> int:
        """Number of answers."""
        return len(self._entries)

    @property
    def seconds(self) -> float:
        """Time that all answers took together."""
        return math.fsum(entry.seconds for entry in self._entries.values())

    def find(self, key: str) -> JournalEntry | None:
        """The answer, where it is known."""
        return self._entries.get(key)

    def add(
        self, key: str, score: float, costs: Mapping[str, float], note: str, seconds: float
    ) -> JournalEntry:
        """Remember an answer for good."""
        if not math.isfinite(score) or not all(math.isfinite(cost) for cost in costs.values()):
            raise SearchError(f"A recipe was judged {score} at {dict(costs)}; both must be finite.")
        entry = self._entries[key] = JournalEntry(score, dict(costs), note, seconds)
        self._append({"key": key, **asdict(entry)})
        return entry

    def _append(self, record: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, path: Path, identity: str) -> None:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.splitlines()
        try:
            records = [json.loads(line) for line in lines]
            header = records[0] if records else {"version": VERSION, "search": identity}
            if header["version"] != VERSION:
                raise SearchError(f"{path}: version {header['version']} of a journal is unknown.")
            if header["search"] != identity:
                raise SearchError(
                    f"{path} is the journal of another search: the model, its data, or what may be "
                    f"chosen have changed. Remove it, or name another file."
                )
            for record in records[1:]:
                self._entries[record["key"]] = JournalEntry(
                    float(record["score"]),
                    {name: float(cost) for name, cost in record["costs"].items()},
                    str(record["note"] if "note" in record else record[OLD_NOTE]),
                    float(record["seconds"]),
                )
        except (TypeError, KeyError, AttributeError, UnicodeDecodeError, json.JSONDecodeError):
            raise SearchError(
                f"{path} is not the journal of a search. Remove it, or name another file."
            ) from None
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
