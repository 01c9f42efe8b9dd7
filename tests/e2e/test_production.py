# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""200 files by a cluster and by processes, some of them killed in the middle: the same tags."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clusters import start_cluster
from tests.support.places import ROOT
from tests.support.small_taggers import compile_tagger, write_planes
from tests.support.waiting import LIMIT_SECONDS, count_lines, until

FILES = 200


def begin(run: Path, files: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgeinfer", "event", run, files, "-o", folder, *more],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


def count_files(folder: Path) -> int:
    return count_lines(folder / "files.jsonl")


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npz")
    }


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    run = compile_tagger(tmp_path)
    write_planes(tmp_path / "in", FILES)
    assert (
        begin(run, tmp_path / "in", tmp_path / "here", "--jobs", "2").wait(timeout=LIMIT_SECONDS)
        == 0
    )
    with start_cluster(tmp_path) as cluster:
        command = ("--cluster", cluster.address)
        work = begin(run, tmp_path / "in", tmp_path / "there", *command)
        until(lambda: count_files(tmp_path / "there") >= 10)
        cluster.workers[0].send_signal(signal.SIGKILL)
        assert work.wait(timeout=LIMIT_SECONDS) == 0
    assert digests(tmp_path / "there") == digests(tmp_path / "here")
    assert len(digests(tmp_path / "there")) == FILES


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_production_that_was_ended_goes_on(tmp_path: Path, number: int) -> None:
    run = compile_tagger(tmp_path)
    write_planes(tmp_path / "in", FILES)
    work = begin(run, tmp_path / "in", tmp_path / "out", "--jobs", "2")
    until(lambda: count_files(tmp_path / "out") >= 20)
    work.send_signal(number)
    work.wait(timeout=LIMIT_SECONDS)
    done = count_files(tmp_path / "out")
    assert (
        begin(run, tmp_path / "in", tmp_path / "out", "--jobs", "2").wait(timeout=LIMIT_SECONDS)
        == 0
    )
    document = json.loads((tmp_path / "out/event.json").read_text())
    assert done <= document["resumed"] + 1 <= FILES and document["failed"] == 0
    assert len(digests(tmp_path / "out")) == FILES
