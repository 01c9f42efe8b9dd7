# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Simulations are built once for each test session."""

from __future__ import annotations

from tests.support.rtl_session import cache_of_the_session

__all__ = ["cache_of_the_session"]
