# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Many files of planes: tags of each, what is done again and what is not, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError, InputError, ToolFailedError, UsageError
from edgeinfer.cli.app import main
from edgeinfer.event.event import PlaneSettings
from edgeinfer.event.files import FILES, Failure, FileJob, FileOutcome, TagOrder
from edgeinfer.event.production import (
    Production,
    carry_out_production,
    plan_production,
    production_error,
)
from edgeinfer.run.result import PROGRAM
from tests.support.small_taggers import compile_tagger, write_planes
from tests.support.waiting import count_lines


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled tagger."""
    return compile_tagger(tmp_path_factory.mktemp("tagger"))


class Here:
    """Does jobs in this process; what comes of them can be changed."""

    def __init__(self, change: Callable[[FileOutcome], FileOutcome] = lambda each: each) -> None:
        self.change = change
        self.names: list[str] = []

    def carry_out(self, jobs: Sequence[FileJob], done: Callable[[FileOutcome], None]) -> None:
        """One job after the other."""
        for job in jobs:
            self.names.append(job.name)
            done(self.change(FILES.carry_out(job)))


def order(run: Path, threshold_adc: float = 4.0) -> TagOrder:
    digest = json.loads((run / "result.json").read_text())["program"]["digest"]
    return TagOrder(run / PROGRAM, digest, PlaneSettings(threshold_adc), check=4)


def plan(run: Path, folder: Path, given: Sequence[Path], threshold_adc: float = 4.0) -> Production:
    return plan_production(order(run, threshold_adc), "tagger", given, folder)


def nothing(done: int, total: int) -> None:
    """Nobody watches."""


def test_each_file_has_the_tags_that_it_has_alone(run: Path, tmp_path: Path, capsys) -> None:
    first = write_planes(tmp_path / "in/a", 2, planes=2)
    write_planes(tmp_path / "in/b", 1)
    command = ["event", str(run), str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*command, "--jobs", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["output"] for each in document["files"]] == [
        "a/event-0.npz", "a/event-1.npz", "b/event-0.npz",
    ]  # fmt: skip
    assert document["planes"] == 5 and document["failed"] == 0 < document["checked_one_by_one"]
    assert json.loads((tmp_path / "out/event.json").read_text()) == document
    alone = tmp_path / "alone.npz"
    assert main(["event", str(run), "--data", str(first[1]), "-o", str(alone)]) == 0
    there, here = np.load(tmp_path / "out/a/event-1.npz"), np.load(alone)
    assert set(there.files) == set(here.files)
    assert all((there[name] == here[name]).all() for name in here.files)
    assert "event-1.npy" in (tmp_path / "out/index.html").read_text()


def test_what_is_done_is_not_done_again(run: Path, tmp_path: Path) -> None:
    files = write_planes(tmp_path / "in", 3)
    production = plan(run, tmp_path / "out", files)
    assert carry_out_production(production, Here(), nothing)["resumed"] == 0
    again = Here()
    assert carry_out_production(production, again, nothing)["resumed"] == 3 and not again.names
    (tmp_path / "out/event-0.npz").unlink()
    (tmp_path / "out/event-1.npz").write_bytes(b"damaged")
    left_behind = tmp_path / "out/.event-0.0f.partial.npz"  # by a process that was killed
    left_behind.write_bytes(b"half")
    np.save(files[2], np.zeros((1, 41, 50), np.float32) + np.eye(41, 50, dtype=np.float32) * 9)
    again = Here()
    carry_out_production(plan(run, tmp_path / "out", files), again, nothing)
    assert again.names == ["event-0", "event-1", "event-2"]
    assert not left_behind.exists()


def test_a_half_written_journal_costs_one_file(run: Path, tmp_path: Path) -> None:
    production = plan(run, tmp_path / "out", write_planes(tmp_path / "in", 3))
    carry_out_production(production, Here(), nothing)
    journal = tmp_path / "out/files.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    again = Here()
    carry_out_production(production, again, nothing)
    assert again.names == ["event-2"]
    assert count_lines(journal) == 3


def test_a_journal_of_anyone_leads_nowhere_else(run: Path, tmp_path: Path) -> None:
    production = plan(run, tmp_path / "out", write_planes(tmp_path / "in", 1))
    carry_out_production(production, Here(), nothing)
    journal = tmp_path / "out/files.jsonl"
    line = json.loads(journal.read_text())
    (tmp_path / "elsewhere.npz").write_bytes((tmp_path / "out/event-0.npz").read_bytes())
    (tmp_path / "out/event-0.npz").unlink()
    journal.write_text(json.dumps(line | {"name": "../elsewhere"}) + "\n")
    again = Here()
    carry_out_production(production, again, nothing)
    assert again.names == ["event-0"]  # what lies elsewhere is not taken for it
    journal.write_text(json.dumps(line | {"planes": [{"hits": "many"}]}) + "\n")
    with pytest.raises(InputError, match="line 1"):
        carry_out_production(production, Here(), nothing)


def test_a_bad_file_is_named_and_the_others_are_written(run: Path, tmp_path: Path, capsys) -> None:
    write_planes(tmp_path / "in", 2)
    np.save(tmp_path / "in/broken.npy", np.zeros(3, np.float32))
    command = ["event", str(run), str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--jobs", "1"]
    assert main(command) == 2
    output = capsys.readouterr()
    assert "1 of 3 files could not be tagged; broken.npy" in output.err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.npz")) == [
        "event-0.npz", "event-1.npz",
    ]  # fmt: skip
    assert "broken.npy" in (tmp_path / "out/index.html").read_text()


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure.DISAGREEMENT, DisagreementError),
        (Failure.WORKER, ToolFailedError),
        (Failure.INPUT, InputError),
    ],
)
def test_failures_have_their_exit_codes_and_are_tried_again(
    run: Path, tmp_path: Path, failure: Failure, kind: type[Exception]
) -> None:
    production = plan(run, tmp_path / "out", write_planes(tmp_path / "in", 2))

    def change(outcome: FileOutcome) -> FileOutcome:
        bad = outcome.name == "event-1"
        return replace(outcome, failure=failure, reason="why", tags=b"") if bad else outcome

    document = carry_out_production(production, Here(change), nothing)
    assert isinstance(production_error(document), kind)
    again = Here()
    assert production_error(carry_out_production(production, again, nothing)) is None
    assert again.names == ["event-1"]


def test_a_folder_belongs_to_one_model_and_its_settings(run: Path, tmp_path: Path) -> None:
    files = write_planes(tmp_path / "in", 1)
    carry_out_production(plan(run, tmp_path / "out", files), Here(), nothing)
    with pytest.raises(UsageError, match="other settings"):
        carry_out_production(plan(run, tmp_path / "out", files, 5.0), Here(), nothing)


def test_files_that_would_share_an_output_are_refused(run: Path, tmp_path: Path) -> None:
    (file,) = write_planes(tmp_path / "in", 1)
    file.with_suffix(".npz").write_bytes(b"")
    with pytest.raises(UsageError, match=r"event-0\.npz"):
        plan(run, tmp_path / "out", [tmp_path / "in"])


def test_options_that_do_nothing_are_refused(run: Path, tmp_path: Path, capsys) -> None:
    (file,) = write_planes(tmp_path / "in", 1)
    assert main(["event", str(run), str(file), "--planes", "2", "-o", str(tmp_path / "o")]) == 2
    assert "--planes: not for files" in capsys.readouterr().err
    assert main(["event", str(run), "--jobs", "2"]) == 2
    assert "--jobs: only for files" in capsys.readouterr().err
    assert main(["event", str(run), str(file)]) == 2
    assert "-o DIR" in capsys.readouterr().err


def test_a_job_travels_as_text_and_files(run: Path, tmp_path: Path) -> None:
    job = plan(run, tmp_path / "out", write_planes(tmp_path / "in", 1)).jobs[0]
    text, parcel = FILES.carry_out_packed(*FILES.pack(job))
    there, here = FILES.bring_home(job, text, parcel), FILES.carry_out(job)
    assert (there.tags, there.key, there.name) == (here.tags, here.key, here.name) and there.tags
    with pytest.raises(ValueError, match="damaged"):
        FILES.bring_home(job, text, parcel[:-1])
    for bad in ("[]", "{}", '{"name": 3}', text.replace('"key"', '"kex"', 1)):
        with pytest.raises((ValueError, TypeError)):
            FILES.bring_home(job, bad, parcel)
