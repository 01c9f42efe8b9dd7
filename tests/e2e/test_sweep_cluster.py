# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study on a real Dask cluster of two workers on this machine, one of which is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from edgeinfer.sweep import journal
from tests.e2e.test_sweep import ROOT, STUDY, begun, fronts, until
from tests.support import small_models as small

pytest.importorskip("distributed", reason="the extra [cluster] is not installed")


@dataclass
class Cluster:
    """Processes, and where the scheduler listens."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A scheduler and two workers that share no folder with the study."""
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    Path("study.toml").write_text(STUDY.format(trials=8, strategy="grid", more=""))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def started(module: str, *tokens: str) -> subprocess.Popen[bytes]:
        place = tmp_path / f"elsewhere-{len(found)}"
        place.mkdir()
        with (place / "log").open("w") as log:
            command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard"]
            process = subprocess.Popen(
                [*command, *tokens], cwd=place, env=environment, stderr=log, stdout=log
            )
        found.append(process)
        return process

    found: list[subprocess.Popen[bytes]] = []
    scheduler = started("dask_scheduler", "--port", "0", "--host", "127.0.0.1")
    log = tmp_path / "elsewhere-0/log"
    until(lambda: "Scheduler at:" in log.read_text())
    told = re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text())
    assert told is not None
    address = told[1]
    workers = [started("dask_worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]
    yield Cluster(address, scheduler, workers)
    for process in found:
        process.kill()
        process.wait()


def test_a_lost_worker_loses_nothing(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    study = begun("study.toml", "-o", "S", "--scheduler", cluster.address)
    until(lambda: len(journal.read(Path("S"))) >= 1)
    cluster.workers[0].send_signal(signal.SIGKILL)
    assert study.wait(timeout=180) == 0
    told = json.loads(Path("S/study.json").read_text())
    assert len(told["trials"]) == 8 and told["failed"] == 0
    for each in told["trials"]:  # their runs have come home
        assert Path("trials", each["key"], "result.json").is_file()
    capsys.readouterr()
    assert main(["sweep", "study.toml", "-o", "here", "--jobs", "1", "--store", "x", "--json"]) == 0
    assert fronts(json.loads(capsys.readouterr().out)) == fronts(told)


def test_a_lost_scheduler_ends_a_study_that_can_go_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    study = begun("study.toml", "-o", "S", "--scheduler", cluster.address)
    until(lambda: len(journal.read(Path("S"))) >= 2)
    cluster.scheduler.send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert study.wait(timeout=120) == 4, time.monotonic() - began
    known = len(journal.read(Path("S")))
    assert main(["sweep", "study.toml", "-o", "S", "--jobs", "1", "--resume", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["resumed"] == known >= 2 and len(told["trials"]) == 8 and told["failed"] == 0


def test_an_address_where_nobody_listens(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "study.toml", "--scheduler", "tcp://127.0.0.1:1"]) == 4
    assert "no scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err
