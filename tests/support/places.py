# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Folders that tests read, wherever in the tests' tree they lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAKE_TOOLS = ROOT / "tests" / "fake_tools"
CASES = ROOT.parent / "shared" / "cases"
