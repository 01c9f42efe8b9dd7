# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).resolve().parents[1].parent / "shared" / "cases"


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of other people's models; a test that needs it skips where it is absent."""
    if not CASES.is_dir():
        pytest.skip(f"other people's models are not here (looked in {CASES})")
    return CASES
