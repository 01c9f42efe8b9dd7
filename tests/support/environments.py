# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Environments of their own for other people's packages that need other versions than ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

VARIABLE = "EDGEINFER_TEST_ENVIRONMENTS"  # a folder in which they are kept from run to run


def environment(factory: pytest.TempPathFactory, name: str, *requirements: str) -> Path:
    """The Python of an environment with some packages; it skips where they cannot be got."""
    kept = os.environ.get(VARIABLE)
    folder = (Path(kept) if kept else factory.mktemp("environments")) / name
    python = folder / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).parent / "uv"
        result = [uv, "venv", "--quiet", "--python", sys.executable, folder]
        subprocess.run(result, check=True, capture_output=True)
        command = [uv, "pip", "install", "--quiet", "--python", python, *requirements]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"{', '.join(requirements)} cannot be installed: {done.stderr[-300:]}")
    return python
