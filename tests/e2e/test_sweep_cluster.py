# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study on a real Dask cluster of two workers on this machine, one of which is killed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from tests.e2e.test_sweep import STUDY, begun, fronts
from tests.support import small_models as small
from tests.support.clusters import OURS, Cluster, certified, options, start_cluster
from tests.support.waiting import LIMIT_SECONDS, count_lines, until

pytest.importorskip("distributed", reason="the extra [cluster] is not installed")


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """A cluster and a study; encrypted if asked for."""
    encrypted = getattr(request, "param", "tcp") == "tls"
    if encrypted and shutil.which("openssl") is None:
        pytest.skip("openssl is not here: apt-get install openssl")
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    Path("study.toml").write_text(STUDY.format(trials=8, strategy="grid", more=""))
    with start_cluster(tmp_path, encrypted=encrypted) as started:
        yield started


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    study = begun("study.toml", "-o", "S", "--scheduler", cluster.address)
    until(lambda: count_lines(Path("S") / "trials.jsonl") >= 1)
    cluster.workers[0].send_signal(signal.SIGKILL)
    assert study.wait(timeout=LIMIT_SECONDS) == 0
    document = json.loads(Path("S/study.json").read_text())
    assert len(document["trials"]) == 8 and document["failed"] == 0
    for each in document["trials"]:  # their runs have come home
        assert Path("trials", each["key"], "result.json").is_file()
    capsys.readouterr()
    assert main(["sweep", "study.toml", "-o", "here", "--jobs", "1", "--store", "x", "--json"]) == 0
    assert fronts(json.loads(capsys.readouterr().out)) == fronts(document)


@pytest.mark.slow
def test_a_lost_scheduler_ends_a_study_that_can_go_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    study = begun("study.toml", "-o", "S", "--scheduler", cluster.address)
    until(lambda: count_lines(Path("S") / "trials.jsonl") >= 2)
    cluster.scheduler.send_signal(signal.SIGKILL)
    assert study.wait(timeout=LIMIT_SECONDS) == 4
    known = count_lines(Path("S") / "trials.jsonl")
    assert main(["sweep", "study.toml", "-o", "S", "--jobs", "1", "--resume", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (
        document["resumed"] == known >= 2
        and len(document["trials"]) == 8
        and document["failed"] == 0
    )


@pytest.mark.parametrize("cluster", ["tls"], indirect=True)
def test_a_study_goes_over_tls_and_strangers_do_not(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster.address.startswith("tls://")
    ours = [str(tmp_path / f"ours.{end}") for end in ("ca.pem", "pem", "key")]
    command = ["sweep", "study.toml", "-o", "S", "--scheduler", cluster.address]
    assert main([*command, "--json", *options(ours, *OURS)]) == 0
    output = capsys.readouterr()
    assert "warning" not in output.err
    document = json.loads(output.out)
    assert len(document["trials"]) == 8 and document["failed"] == 0
    assert all(Path("trials", each["key"], "result.json").is_file() for each in document["trials"])
    strangers = certified(tmp_path, "strangers")
    assert main([*command, "--resume", *options(strangers, *OURS)]) == 4
    assert "check the certificates" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 2
    assert "--tls-ca" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_without_workers_ends_in_time_and_can_go_on(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for worker in cluster.workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    command = ["sweep", "study.toml", "-o", "S"]
    far = [*command, "--scheduler", cluster.address, "--worker-minutes", "0.05"]
    assert main(far) == 4
    assert "no worker for 0.05 minutes" in capsys.readouterr().err
    assert main([*command, "--resume", "--jobs", "1"]) == 0


def test_an_address_where_nobody_listens(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "study.toml", "--scheduler", "tcp://127.0.0.1:1"]) == 4
    assert "no scheduler at tcp://127.0.0.1:1" in capsys.readouterr().err
