# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The documents: which there are, and the commands and the Python that they show."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TOOLS = "edgeinfer|python|pip|make|dask|openssl|scp|tritonserver|docker|kubectl|optuna-dashboard"


def make_targets() -> set[str]:
    """What `make` can be asked for."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(page: Path) -> list[str]:
    """The lines of a page's ``sh`` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def python_blocks(page: Path) -> list[str]:
    """The text of a page's ``python`` blocks."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def shown_commands(page: Path) -> list[str]:
    """Commands in blocks of other kinds, indented or with a prompt, without what explains them."""
    found, fence = [], ""
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence != "```sh" and (fence or line.startswith(("    ", "$ "))):
            found += re.findall(rf"^ *(?:\$ )?((?:{TOOLS}) .+?)(?: {{2,}}.*)?$", line)
    return found


def inline_commands(page: Path) -> list[str]:
    """Commands in the middle of a sentence."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"`((?:{TOOLS}) [^`]+)`", text)
