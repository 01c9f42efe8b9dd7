# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Verbs called as a shell calls them, in this process."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from edgeinfer.cli.app import main


def shown(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> Any:
    """The JSON that a command prints, and nothing else."""
    capsys.readouterr()
    assert main([*tokens, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def default_signals() -> None:
    """What a child process does first: a shell in the background ignores Ctrl-C, and so would
    everything that it starts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def design_figures(result: Any, target: str, origin: str | None = None) -> dict[str, float]:
    """A whole design's figures, of one origin or of any."""
    return {
        metric["name"]: metric["value"]
        for metric in result["metrics"]
        if metric["target"] == target
        and metric["layer"] is None
        and origin in (None, metric["origin"])
    }
