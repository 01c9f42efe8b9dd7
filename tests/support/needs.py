# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What some tests need beside a checkout, and which tests those are: one skip a module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from edgeinfer.base.errors import ToolMissingError
from edgeinfer.base.tools import locate
from tests.support.browser import CHROMIUM
from tests.support.places import CASES


@dataclass(frozen=True, slots=True)
class Fold:
    """Tests that stay, some of them to be skipped with a reason, and tests that go."""

    kept: list[Any]
    reasons: Mapping[Any, str]
    dropped: list[Any]


def absent_fixtures() -> dict[str, str]:
    """Fixtures that nothing can be done with on this machine, and why."""
    results = {}
    if not CASES.is_dir():
        results["cases"] = f"other people's models are not here (looked in {CASES})"
    try:
        locate(CHROMIUM)
    except ToolMissingError as error:
        if not os.environ.get("CI"):
            results["pipe"] = f"no Chromium here ({CHROMIUM.remedy}): {error}"
    return results


def fold(items: Sequence[Any], absent: Mapping[str, str]) -> Fold:
    """Of the tests of a module that cannot run for one and the same reason, the first stays: it is
    skipped for all of them, and says how many they are."""
    alike: dict[tuple[str, str], list[Any]] = {}
    for item in items:
        reason = _reason(item, absent)
        if reason is not None:
            alike.setdefault((str(item.path), reason), []).append(item)
    reasons = {
        each[0]: f"{reason}: {len(each)} tests" if len(each) > 1 else reason
        for (_, reason), each in alike.items()
    }
    dropped = [item for each in alike.values() for item in each[1:]]
    gone = set(map(id, dropped))
    return Fold([item for item in items if id(item) not in gone], reasons, dropped)


def _reason(item: Any, absent: Mapping[str, str]) -> str | None:
    for name in getattr(item, "fixturenames", ()):
        if name in absent:
            return absent[name]
    for mark in item.iter_markers("skipif"):
        if mark.args and mark.args[0] is True:
            return str(mark.kwargs.get("reason", "no reason was given"))
    return None


def apply_fold(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The same for a session of pytest."""
    result = fold(items, absent_fixtures())
    for item, reason in result.reasons.items():
        item.add_marker(pytest.mark.skip(reason=reason))
    if result.dropped:
        config.hook.pytest_deselected(items=result.dropped)
        items[:] = result.kept
