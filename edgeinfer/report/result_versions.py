# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results of older versions, brought up to the newest one step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

NEWEST: Literal[2] = 2

Document = dict[str, Any]


def upgrade_document(document: Any) -> Any:
    """A document as the newest version would have written it. What is no document of a known
    version stays as it is, for the schema to refuse."""
    if not isinstance(document, dict):
        return document
    version = document.get("schema_version", NEWEST)
    while type(version) is int and version in STEPS:
        document = STEPS[version](document)
        version = document["schema_version"]
    return document


def version_of(text: str) -> int:
    """The version that a result, which was read without complaint, was written in."""
    return int(json.loads(text).get("schema_version", NEWEST))


def _from_1(document: Document) -> Document:
    """Version 2 tells which samples accuracy was judged on; before, nobody wrote them down."""
    return document | {"schema_version": 2, "data": None}


STEPS: dict[int, Callable[[Document], Document]] = {1: _from_1}
