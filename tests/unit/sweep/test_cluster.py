# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a scheduler is spoken to, and what travels to its workers and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.app import main
from edgeinfer.sweep import travel
from edgeinfer.sweep.study import Study, read
from edgeinfer.sweep.trial import TrialJob, TrialOutcome, as_dict
from edgeinfer.workers.cluster import Access, warning_of
from tests.support.places import ROOT

EXAMPLE = ROOT / "docs/examples/study-hit-tagger.toml"


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("tcp://127.0.0.1:8786", False), ("127.0.0.1:8786", False), ("localhost:8786", False),
        ("tcp://[::1]:8786", False), ("tcp://localhost:8786", False), ("inproc://a", False),
        ("tcp://head:8786", True), ("head:8786", True), ("tcp://10.0.0.1:8786", True),
        ("tcp://0.0.0.0:8786", True), ("ucx://head:8786", True), ("tcp://[::", True),
        ("tcp://127.0.0.1.evil.org:8786", True),
    ],
)  # fmt: skip
def test_plain_tcp_beyond_this_machine_is_warned_of(address: str, exposed: bool) -> None:
    access = Access(address)
    assert access.exposed is exposed
    assert "tls://" in warning_of(access)


def test_tls_needs_all_its_files(tmp_path: Path) -> None:
    file = tmp_path / "a.pem"
    file.write_text("")
    assert not Access("tls://head:8786", file, file, file).exposed
    for given in ((None, None, None), (file, file, None), (file, None, file)):
        with pytest.raises(UsageError, match="--tls-key"):
            Access("tls://head:8786", *given)
    with pytest.raises(UsageError, match="not encrypted"):
        Access("tcp://head:8786", file, file, file)
    with pytest.raises(UsageError, match="no such file"):
        Access("tls://head:8786", file, file, tmp_path / "gone")


def test_options_of_a_scheduler_without_one_are_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(EXAMPLE), "--tls-ca", "ca.pem"]) == 2
    assert "--scheduler tls://" in capsys.readouterr().err


def test_a_warning_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    monkeypatch.setattr("edgeinfer.workers.cluster.CONNECT_SECONDS", 0.2)
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(EXAMPLE), "--scheduler", "tcp://192.0.2.1:8786"]) == 4
    assert "neither encrypted nor protected" in capsys.readouterr().err


def job(study: Study) -> TrialJob:
    point = tuple((knob.name, knob.values[0]) for knob in study.knobs)
    return TrialJob(study, point, "net.keras", {"net.keras": b"\x00model"}, None, True)


def test_a_trial_travels_as_json_and_files() -> None:
    study = read(EXAMPLE)
    text, files = travel.pack_job(job(study))
    assert json.loads(text)["model"] == "net.keras" and files == {"net.keras": b"\x00model"}
    there = travel._unpack_job(text, files)
    assert there == job(study) and there.key == job(study).key


def test_what_comes_home_is_read_as_anyones_data() -> None:
    carried = TrialOutcome({"reuse": 1}, "a" * 24, {"auc": 0.5}, seconds=1.0)
    assert travel.come_home(json.dumps(as_dict(carried)), b"") == carried
    packed = travel.come_home(json.dumps(as_dict(carried)), b"tar")
    assert packed.parcel == b"tar"
    good = as_dict(carried)
    for bad in ({**good, "key": "../../etc"}, {**good, "more": 1}, {**good, "figures": ["a"]}):
        with pytest.raises(ValueError, match=r"key|more|figures"):
            travel.come_home(json.dumps(bad), b"")
    with pytest.raises(ValueError, match="no text"):
        travel.come_home(carried, b"")  # type: ignore[arg-type]
