# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scratch folders are gone with their owner, and only those."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeinfer.base import scratch
from edgeinfer.base.scratch import new_folder, scratch_folder, sweep_scratch
from tests.support.places import ROOT


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_after_the_block(home: Path) -> None:
    with scratch_folder("csim") as folder:
        (folder / "a").write_text("a")
        assert folder.parent == home
    assert not list(home.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(home: Path) -> None:
    code = (
        "import os, signal; from edgeinfer.base.scratch import scratch_folder\n"
        "with scratch_folder('csim') as folder:\n"
        "    (folder / 'half').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment)
    assert done.returncode == -signal.SIGKILL
    (left,) = home.iterdir()
    with scratch_folder("rtl") as folder:
        assert not left.exists() and folder.exists()


def test_a_folder_of_a_process_that_lives_stays(home: Path) -> None:
    mine = new_folder("data")
    sweep_scratch(home)
    assert mine.is_dir()


def test_nothing_of_others_is_touched(home: Path) -> None:
    place, gone = scratch._place(), f"{os.getpid()}-1"  # this number, but begun at another time
    kept = [
        home / f"edgeinfer-csim-00000000-{gone}-abc",  # of another machine
        home / "edgeinfer-csim-abcdefgh",
        home / "edgeinfer-notes",
    ]
    for folder in kept:
        folder.mkdir()
    outside = home / "outside"
    outside.mkdir()
    (outside / "a").write_text("a")
    (home / f"edgeinfer-csim-{place}-{gone}-link").symlink_to(outside)
    left = home / f"edgeinfer-csim-{place}-{gone}-xyz"
    left.mkdir()
    (left / "out").symlink_to(outside)
    sweep_scratch(home)
    assert not left.exists()
    assert all(folder.is_dir() for folder in kept) and (outside / "a").is_file()
