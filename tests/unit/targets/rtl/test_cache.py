# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What tools made is kept within a bound: what was used longest ago goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinfer.targets.rtl.tools import cache

HOUR = 3600.0
NOW = 1e9


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Entries of 1 kB that were used 5, 4, 3, 2 hours ago, and now; and Verilator's own part."""
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path))
    for kind, name, hours in (
        ("designs", "a", 5), ("yosys", "b", 4), ("nextpnr", "c", 3), ("designs", "d", 2),
        ("designs", "e", 0), ("runtime", "kept", 9),
    ):  # fmt: skip
        folder = tmp_path / "rtl" / kind / name
        folder.mkdir(parents=True)
        (folder / "content").write_bytes(bytes(1000))
        os.utime(folder, (NOW - hours * HOUR,) * 2)
    return tmp_path / "rtl"


def names(base: Path) -> set[str]:
    return {path.name for path in base.glob("*/*")}


def test_nothing_goes_while_there_is_room(cache_folder: Path) -> None:
    assert cache.limit_size(5000, NOW) == []
    assert names(cache_folder) == {"a", "b", "c", "d", "e", "kept"}


def test_what_was_used_longest_ago_goes_first(cache_folder: Path) -> None:
    assert [path.name for path in cache.limit_size(3000, NOW)] == ["a", "b"]
    assert names(cache_folder) == {"c", "d", "e", "kept"}


def test_what_is_used_again_stays(cache_folder: Path) -> None:
    os.utime(cache_folder / "designs" / "a", (NOW - 1.5 * HOUR,) * 2)
    assert [path.name for path in cache.limit_size(3000, NOW)] == ["b", "c"]
    cache.mark_used(cache_folder / "designs" / "gone")  # another process was quicker


def test_what_was_made_a_moment_ago_is_never_taken_away(cache_folder: Path) -> None:
    cache.limit_size(0, NOW)
    assert names(cache_folder) == {"e", "kept"}


def test_the_bound_can_be_chosen(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, "0")
    cache.limit_size(now=NOW)
    assert names(cache_folder) == {"e", "kept"}


def test_an_entry_is_named_by_all_of_its_content(cache_folder: Path) -> None:
    assert cache.entry("yosys", [b"ab", b"c"]) != cache.entry("yosys", [b"a", b"bc"])
    assert cache.entry("yosys", [b"ab"]).parent == cache_folder / "yosys"
