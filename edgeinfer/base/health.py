# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whether something that edgeinfer can use is here, and how to get it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolMissingError
from edgeinfer.base.tools import FoundTool, Tool


class Severity(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    OPTIONAL = "optional"  # not there; needed for some targets only
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `mend` says what to do, and is empty where all is well."""

    name: str
    state: Severity
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check_tool(
    program: Tool,
    otherwise: Severity,
    find: Callable[[], FoundTool] | None = None,
) -> Check:
    """One external tool, found on the PATH or as `find` does; `otherwise`: the state without it."""
    try:
        tool = tools.find(program) if find is None else find()
    except ToolMissingError as error:
        overridden = bool(os.environ.get(program.override))
        problem = error.message if overridden else f"not found ({program.purpose})"
        return Check(program.name, otherwise, problem, error.hint if overridden else program.remedy)
    return Check(program.name, Severity.OK, f"{tool.version or 'version unknown'} at {tool.path}")
