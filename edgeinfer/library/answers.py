# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a function answers: a document to compute with, which shows itself as lines of text."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeinfer.api import Model, Run
from edgeinfer.base.names import printable
from edgeinfer.run.samples import DataFile, Simulation
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.entry import ZooEntry


@dataclass(frozen=True)
class LibraryAnswer:
    """`document` is what `--json` prints; `lines` are what a terminal shows."""

    document: Mapping[str, Any] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join(printable(line) for line in self.lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def __getitem__(self, name: str) -> Any:
        return self.document[name]


def data_path(model: Model) -> Path | None:
    """The file that a model's samples are in; None where they are simulated, or none were given."""
    return model.source.path if isinstance(model.source, DataFile) else None


def reference_entry(model: Model) -> ZooEntry | None:
    """The reference model that simulates the samples, if one does."""
    return ENTRIES[model.source.reference] if isinstance(model.source, Simulation) else None


def folder_of(run: Run | str | Path) -> Path:
    """Where a run is."""
    return run.folder if isinstance(run, Run) else Path(run)
