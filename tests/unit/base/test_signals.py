# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A process that is asked to end, or killed, takes with it whatever it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.base.signals import TerminationRequest, terminable
from edgeinfer.cli.app import run_guarded
from tests.support.command_line import default_signals
from tests.support.places import ROOT

# A tool as vendors have them: a script that starts another program and waits for it.
WRAPPER = '#!/bin/sh\n(echo $$ >> pids; exec sleep 300) &\nsh -c "echo \\$\\$ >> pids; sleep 300"\n'
RUN = """
import sys
from pathlib import Path
from edgeinfer.base import tools
from edgeinfer.cli import app
from edgeinfer.base.reads import Reads
from edgeinfer.run.folder import StepOutcome, Silent, open_run

def work(tokens):
    found = tools.FoundTool(tools.Tool("slow", "SLOW", "", ""), Path(sys.argv[1]), "")
    def make():
        tools.run(found, [], seconds=200, folder=Path.cwd())
        return StepOutcome({})
    with open_run(Path("run"), Silent(), new=True) as folder:
        folder.step("slow", Reads(), {}, make)
    return 0

app.dispatch = work
sys.exit(app.main([]))
"""


def wait_for(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.05)
    return False


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
    assert wait_for(lambda: noted.exists() and len(noted.read_text().split()) == 2)
    pids = [int(pid) for pid in noted.read_text().split()]
    assert all(map(alive, pids))
    process.send_signal(how)
    _, answer = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in answer and "Traceback" not in answer
    assert wait_for(lambda: not any(map(alive, pids)), 20)
    assert said in (tmp_path / "run" / "log.txt").read_text()


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
