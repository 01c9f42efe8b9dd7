# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""External tools are found, timed, judged and quoted; tried on fakes that misbehave on purpose."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.tools import FoundTool, Tool
from tests.support.places import FAKE_TOOLS

FAKES = FAKE_TOOLS
FAKE = Tool("fake_synth", "EDGEINFER_FAKE_SYNTH", "a fake", "apt-get install fake-synth")


@pytest.fixture
def fake_tool(monkeypatch: pytest.MonkeyPatch) -> FoundTool:
    monkeypatch.setenv("PATH", f"{FAKES}{os.pathsep}{os.environ['PATH']}")
    return tools.find(FAKE)


def test_a_tool_on_the_path_is_found_with_its_version(fake_tool: FoundTool) -> None:
    assert fake_tool.path == FAKES / "fake_synth"
    assert fake_tool.version == "2024.1.2"


def test_the_override_wins_over_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho version 7.5\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(FAKES))
    monkeypatch.setenv(FAKE.override, str(other))
    assert tools.find(FAKE).path == other
    assert tools.find(FAKE).version == "7.5"


def test_a_missing_tool_names_path_override_and_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissingError) as caught:
        tools.find(FAKE)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "PATH" in message and FAKE.override in message and FAKE.remedy in message


def test_an_override_that_is_no_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(FAKES))
    monkeypatch.setenv(FAKE.override, str(tmp_path / "gone"))
    with pytest.raises(ToolMissingError, match=r"EDGEINFER_FAKE_SYNTH is set to"):
        tools.find(FAKE)


def test_output_and_log_are_kept(fake_tool: FoundTool, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "synth.log"
    finished = tools.run(fake_tool, ["say", "all is well"], seconds=10, folder=tmp_path, log=log)
    assert finished.output == "all is well\n"
    assert log.read_text() == "all is well\n"
    assert 0 <= finished.seconds < 10


def test_a_log_that_cannot_be_written_is_named(fake_tool: FoundTool, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(ToolFailedError, match="is a file, where a folder is needed"):
        tools.run(fake_tool, ["say", "x"], seconds=10, log=tmp_path / "logs" / "synth.log")


def test_a_failure_quotes_the_first_line_that_speaks_of_an_error(
    fake_tool: FoundTool, tmp_path: Path
) -> None:
    log = tmp_path / "synth.log"
    with pytest.raises(ToolFailedError) as caught:
        tools.run(fake_tool, ["fail"], seconds=10, log=log)
    assert caught.value.exit_code == 4
    assert "fake_synth failed with code 7: ERROR: [XFORM 203-504] unroll" in str(caught.value)
    assert str(log) in str(caught.value)


def test_silence_is_said(fake_tool: FoundTool) -> None:
    with pytest.raises(ToolFailedError, match="code 1: it printed nothing"):
        tools.run(fake_tool, ["silent"], seconds=10)


def test_a_crash_names_its_signal(fake_tool: FoundTool) -> None:
    with pytest.raises(ToolFailedError, match="ended by SIGSEGV"):
        tools.run(fake_tool, ["crash"], seconds=10)


def test_the_time_budget_ends_a_tool_and_its_children(fake_tool: FoundTool, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ToolFailedError, match=r"stopped after 0\.5 s"):
        tools.run(fake_tool, ["hang", str(tmp_path / "child")], seconds=0.5)
    assert time.monotonic() - started < 5
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not _alive(child):
            break
        time.sleep(0.02)
    assert not _alive(child)


def _alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_program_that_does_not_start_is_named(fake_tool: FoundTool, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    with pytest.raises(ToolFailedError, match="does not start"):
        tools.run(replace(fake_tool, path=broken), [], seconds=1)


def test_a_tool_that_does_not_say_its_version_is_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mute = tmp_path / "fake_synth"
    mute.write_text("#!/bin/sh\nexit 3\n")
    mute.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find(FAKE).version == ""


def test_the_last_line_is_told_while_a_tool_runs(tmp_path: Path) -> None:
    slow = tmp_path / "fake_synth"
    slow.write_text(  # each line waits until the one before it was reported
        "#!/bin/sh\n"
        f"reported() {{ until [ -e {tmp_path}/$1 ]; do sleep 0.02; done; }}\n"
        "echo one\nreported one\nprintf 'two\\nthr'\nreported two\necho ee\n"
    )
    slow.chmod(0o755)
    log, answer = tmp_path / "log", []

    def report(line: str) -> None:
        answer.append((line, log.read_text()))  # the log grows with it
        (tmp_path / line).touch()

    finished = tools.run(FoundTool(FAKE, slow, ""), [], seconds=60, log=log, report_line=report)
    # whole lines only; the last one is reported if the tool is seen between printing it and ending
    assert [line for line, _ in answer] in (["one", "two"], ["one", "two", "three"])
    assert answer[0][1] == "one\n"
    assert finished.output == "one\ntwo\nthree\n"


def test_who_cannot_be_told_ends_the_tool(fake_tool: FoundTool, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path / 'child'}\necho on\nexec sleep 600\n")
    slow.chmod(0o755)

    def said(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tools.run(replace(fake_tool, path=slow), [], seconds=20, report_line=said)
    assert not _alive(int((tmp_path / "child").read_text()))


def test_the_last_line_of_a_tool_that_ran_out_of_time_is_quoted(tmp_path: Path) -> None:
    slow = tmp_path / "fake_synth"
    slow.write_text("#!/bin/sh\necho placing cells\nsleep 600\n")
    slow.chmod(0o755)
    with pytest.raises(ToolFailedError, match="The last it said was: placing cells"):
        tools.run(FoundTool(FAKE, slow, ""), [], seconds=0.5)


def test_errors_marked_by_the_tool_come_before_talk_of_errors() -> None:
    log = "INFO: checking error handling\nERROR: [A 1] real\nERROR: [A 2] later\n"
    assert tools.telling_line(log) == "INFO: checking error handling"
    assert tools.telling_line(log, r"^ERROR\b") == "ERROR: [A 1] real"
    assert tools.telling_line("all is well\n", r"^ERROR\b") == "all is well"
