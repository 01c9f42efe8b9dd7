# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A folder for built simulations that lasts as long as the tests do."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers of one session share what they build; the user's own cache is left alone."""
    before = os.environ.get("EDGEINFER_CACHE")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    os.environ["EDGEINFER_CACHE"] = str(shared / "edgeinfer-cache")
    yield
    if before is None:
        del os.environ["EDGEINFER_CACHE"]
    else:
        os.environ["EDGEINFER_CACHE"] = before
