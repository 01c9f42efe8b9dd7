# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run folder remembers what was done, resumes what was not, and belongs to one process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.reads import Reads
from edgeinfer.run import folder as run
from edgeinfer.run.folder import Progress, RunFolder, StepOutcome
from tests.support.places import ROOT

READS = Reads()


class Counting:
    """A step that counts how often it is done."""

    def __init__(self, **files: bytes) -> None:
        self.times = 0
        self.files = files

    def __call__(self) -> StepOutcome:
        self.times += 1
        return StepOutcome({"times": self.times}, dict(self.files))


def step(folder: Path, make: Counting, **depends_on: object) -> dict[str, object]:
    with run.open_run(folder, Progress(), new=True) as opened:
        return dict(opened.step("s", READS, depends_on, make))


def test_a_step_is_done_once(tmp_path: Path) -> None:
    make = Counting(a=b"1")
    assert step(tmp_path / "r", make, data="x") == {"times": 1}
    assert step(tmp_path / "r", make, data="x") == {"times": 1}
    assert make.times == 1


def test_it_is_done_again_when_what_it_depends_on_changes(tmp_path: Path) -> None:
    make = Counting(a=b"1")
    step(tmp_path / "r", make, data="x")
    step(tmp_path / "r", make, data="y")
    assert make.times == 2


@pytest.mark.parametrize("harm", ["change", "remove"])
def test_it_is_done_again_when_a_file_of_it_was_touched(tmp_path: Path, harm: str) -> None:
    make = Counting(a=b"1")
    step(tmp_path / "r", make)
    if harm == "change":
        (tmp_path / "r" / "a").write_bytes(b"2")
    else:
        (tmp_path / "r" / "a").unlink()
    step(tmp_path / "r", make)
    assert make.times == 2
    assert (tmp_path / "r" / "a").read_bytes() == b"1"


def test_a_damaged_record_means_that_the_step_is_missing(tmp_path: Path) -> None:
    make = Counting(a=b"1")
    step(tmp_path / "r", make)
    (tmp_path / "r" / run.HIDDEN / "s.json").write_text('{"name": "s", "ke')
    step(tmp_path / "r", make)
    assert make.times == 2


def test_files_that_a_step_no_longer_makes_go(tmp_path: Path) -> None:
    step(tmp_path / "r", Counting(old=b"1", kept=b"1"), data="x")
    step(tmp_path / "r", Counting(new=b"1", kept=b"1"), data="y")
    shown = {path.name for path in (tmp_path / "r").iterdir()}
    assert shown == {"new", "kept", "log.txt", run.HIDDEN}


def test_a_failure_leaves_no_record_and_is_logged(tmp_path: Path) -> None:
    def fail() -> StepOutcome:
        raise ToolFailedError("g++ failed with code 1: no such file.")

    with (
        pytest.raises(ToolFailedError),
        run.open_run(tmp_path / "r", Progress(), new=True) as folder,
    ):
        folder.step("s", READS, {}, fail)
    assert not (tmp_path / "r" / run.HIDDEN / "s.json").exists()
    log = (tmp_path / "r" / "log.txt").read_text()
    assert "Traceback" in log and "g++ failed with code 1" in log


def test_a_folder_of_someone_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with (
        pytest.raises(UsageError, match="not empty and is not a run folder"),
        run.open_run(tmp_path, Progress(), new=True),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_is_no_run_is_not_opened(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is not a run folder"), (tmp_path / "gone", "is not there")):
        with pytest.raises(UsageError, match=words), run.open_run(path, Progress(), new=False):
            pass


def test_a_full_disk_is_one_error_though_the_log_has_no_room_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with (
            pytest.raises(ToolFailedError, match="no room is left"),
            run.open_run(tmp_path / "r", Progress(), new=True) as folder,
        ):
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
            for _ in range(9):
                run.LOG.info("a line that is as long as a line of the log is")
            folder.step("first", READS, {}, Counting(first=b"1" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert capsys.readouterr().err == ""


CHILD = """
import sys, time
from pathlib import Path
from edgeinfer.base.reads import Reads
from edgeinfer.run import folder as run
from edgeinfer.run.folder import StepOutcome, Progress

def first():
    return StepOutcome({"by": "the child"}, {"first": b"1"})

def second():
    Path(sys.argv[1], "second").write_bytes(b"ha")
    print("ready", flush=True)
    time.sleep(3600)
    return StepOutcome({}, {"second": b"half"})

with run.open_run(Path(sys.argv[1]), Progress(), new=True) as folder:
    folder.step("first", Reads(), {}, first)
    folder.step("second", Reads(), {}, second)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, in the midst of the second step of a run."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "r")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_do_not_share_a_folder(tmp_path: Path, child: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(UsageError, match=rf"process {child.pid}\) is working in"),
        run.open_run(tmp_path / "r", Progress(), new=True),
    ):
        pass


def test_what_a_killed_process_finished_is_kept(
    tmp_path: Path, child: subprocess.Popen[str]
) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    first, second = Counting(first=b"1"), Counting(second=b"whole")
    with run.open_run(tmp_path / "r", Progress(), new=True) as folder:
        assert folder.step("first", READS, {}, first) == {"by": "the child"}
        folder.step("second", READS, {}, second)
    assert (first.times, second.times) == (0, 1)
    assert (tmp_path / "r" / "second").read_bytes() == b"whole"


def test_progress_is_told_of_every_step(tmp_path: Path) -> None:
    answer: list[tuple[str, bool]] = []

    class Watcher(Progress):
        def finish(self, step: str, seconds: float, cached: bool) -> None:
            answer.append((step, cached))

    for _ in range(2):
        with run.open_run(tmp_path / "r", Watcher(), new=True) as folder:
            folder.step("s", READS, {}, Counting())
    assert answer == [("s", False), ("s", True)]


def test_facts_are_the_same_whether_made_or_remembered(tmp_path: Path) -> None:
    def facts(folder: RunFolder) -> object:
        return folder.step("s", READS, {}, lambda: StepOutcome({"shape": (1, 2), 3: "x"}))

    with run.open_run(tmp_path / "r", Progress(), new=True) as folder:
        result = facts(folder)
    with run.open_run(tmp_path / "r", Progress(), new=True) as folder:
        assert facts(folder) == result == {"shape": [1, 2], "3": "x"}


def test_where_float32_is_inexact_is_said_with_tensor_and_bound() -> None:
    from edgeinfer.ir.ops import Dense, Input
    from edgeinfer.ir.program import Output, Program
    from edgeinfer.run.result import float32_finding, program_part
    from quantization.fixed import Fixed

    def dense(bits: int) -> Program:
        weight = np.full((64, 1), 2 ** (bits - 1) - 1)
        ops = (
            Input("x", Fixed(False, bits, bits), (64,)),
            Dense("y", Fixed(True, 2 * bits + 6, 2 * bits + 6), "x", weight,
                  Fixed(True, bits, bits), np.zeros(1, int)),
        )  # fmt: skip
        return Program("net", ops, (Output("y", "y"),))

    assert program_part(dense(8)).float32_inexact == ()
    assert float32_finding(program_part(dense(8))) == []
    (entry,) = program_part(dense(12)).float32_inexact
    assert entry.value == "y" and entry.bound > 0
    (findings,) = float32_finding(program_part(dense(12)))
    assert "QKeras" in findings and "at y, by at most" in findings
