# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A process that is asked to end, or killed, takes with it whatever it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgeinfer.base import tools
from edgeinfer.base.signals import TerminationRequest, terminable
from edgeinfer.cli.app import run_guarded
from tests.support.command_line import default_signals
from tests.support.places import ROOT
from tests.support.waiting import LIMIT_SECONDS, until

# A tool as vendors have them: a script that starts another program and waits for it.
WRAPPER = (
    '#!/bin/sh\n(echo $$ >> pids; exec sleep 3000) &\nsh -c "echo \\$\\$ >> pids; sleep 3000"\n'
)
RUN = """
import sys
from collections.abc import Iterator
from pathlib import Path
from edgeinfer.base import tools
from edgeinfer.cli import app
from edgeinfer.base.reads import Reads
from edgeinfer.run.folder import StepOutcome, Progress, open_run

def work(tokens):
    found = tools.FoundTool(tools.Tool("slow", "SLOW", "", ""), Path(sys.argv[1]), "")
    def make():
        tools.run(found, [], seconds=2000, folder=Path.cwd())
        return StepOutcome({})
    with open_run(Path("run"), Progress(), new=True) as folder:
        folder.step("slow", Reads(), {}, make)
    return 0

app.dispatch = work
sys.exit(app.main([]))
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_tools_end_with_us(how: signal.Signals, code: int, said: str, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(WRAPPER)
    tool.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RUN), str(tool)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    noted = tmp_path / "pids"
    until(lambda: noted.exists() and len(noted.read_text().split()) == 2)
    ours = psutil.Process(process.pid)
    until(lambda: len(ours.children()) == 2)  # the tool, and who watches over it
    pids = [int(pid) for pid in noted.read_text().split()]
    assert all(map(alive, pids))
    process.send_signal(how)
    _, answer = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == code
    assert said in answer and "Traceback" not in answer
    until(lambda: not any(map(alive, pids)))
    assert said in (tmp_path / "run" / "log.txt").read_text()


def test_a_signal_that_comes_while_a_tool_is_started_ends_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool runs already, and nothing watches over it yet."""
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\nexec sleep 3000\n")
    path.chmod(0o755)
    tool = tools.FoundTool(tools.Tool("slow", "SLOW", "", ""), path, "")
    watch, groups = tools._ending_with_us, []

    @contextlib.contextmanager
    def interrupted(group: int) -> Iterator[None]:
        groups.append(group)
        os.kill(os.getpid(), signal.SIGTERM)
        with watch(group):
            yield

    monkeypatch.setattr(tools, "_ending_with_us", interrupted)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(TerminationRequest), terminable():
            tools.run(tool, [], seconds=2000)
        assert not alive(groups[0])
        assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(groups[0], signal.SIGKILL)


def test_a_signal_is_told_with_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def asked() -> int:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    assert run_guarded(asked) == 143
    assert "SIGTERM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_to_be_ignored_still_is() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_it_is_an_interrupt_for_whoever_handles_those() -> None:
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert TerminationRequest(signal.SIGTERM).signal_name == "SIGTERM"
