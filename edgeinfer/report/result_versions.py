# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Results of older versions, brought up to the newest one step at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from edgeinfer.base.metrics import DesignState, Origin
from edgeinfer.report.quantity import AFTER_LOGIC_SYNTHESIS, RESOURCES

NEWEST: Literal[2] = 2

Document = dict[str, Any]

LOGIC_TOOLS = ("Vivado", "yosys", "Quartus")


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


def state_of_older(figure: Document) -> DesignState:
    """The state of the design that a figure counts, where an older result leaves it out."""
    name, origin = str(figure.get("name")), figure.get("origin")
    if name.removesuffix(AFTER_LOGIC_SYNTHESIS) not in RESOURCES:
        return DesignState.NONE
    if origin == Origin.ROUTED:
        return DesignState.ROUTING
    if origin not in (Origin.SYNTHESISED, Origin.ESTIMATED):
        return DesignState.NONE
    if name.endswith(AFTER_LOGIC_SYNTHESIS) or figure.get("tool") in LOGIC_TOOLS:
        return DesignState.LOGIC_SYNTHESIS
    return DesignState.C_SYNTHESIS


def _from_1(document: Document) -> Document:
    """Version 2 tells which samples accuracy was judged on; before, nobody wrote them down."""
    return document | {"schema_version": 2, "data": None}


STEPS: dict[int, Callable[[Document], Document]] = {1: _from_1}
