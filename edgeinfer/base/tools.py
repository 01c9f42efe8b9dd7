# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""External tools: found on the PATH or by an override variable, run with a time budget, judged by
their return code, and quoted when they fail."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.plan import writing
from edgeinfer.base.reads import identity_of
from edgeinfer.base.signals import postpone_signals

TELLING = re.compile(r"\b(error|fatal|undefined reference|cannot find|not found|no rule)\b", re.I)
VERSION_SECONDS = 20.0  # vendor tools start a Java or Tcl machine to say who they are
GRACE_SECONDS = 2.0  # between asking a tool to stop and ending it
FOLLOW_SECONDS = 0.2  # between two looks at what a running tool prints
WATCH = 'trap "" TERM INT HUP; read -r over && exit; kill -s KILL -- "-$0"'
LONGEST_LINE = 4096  # bytes at the end of a log among which its last line is looked for

LineReport = Callable[[str], None]  # told the last line that a running tool printed


@dataclass(frozen=True, slots=True)
class Tool:
    """Someone else's program: its name, the variable that overrides the PATH, how to get it.

    `telling` matches how the tool itself begins its errors, for logs that mention others too.
    """

    name: str
    override: str
    purpose: str
    remedy: str
    version_args: tuple[str, ...] = ("--version",)
    version_pattern: str = r"(\d+(?:\.\d+)+)"
    telling: str = ""


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A tool on this machine. The version is as the tool says it, empty if it does not say."""

    tool: Tool
    path: Path
    version: str


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A tool's run that went well: everything it printed, and the seconds it took."""

    output: str
    seconds: float


def find(tool: Tool) -> FoundTool:
    """Where a tool is and which version; ToolMissingError names the PATH and the override."""
    path = locate(tool)
    return FoundTool(tool, path, _version(tool, path))


def locate(tool: Tool) -> Path:
    """Where a tool is, without starting it."""
    override = os.environ.get(tool.override, "")
    if override:
        chosen = shutil.which(override)
        if chosen is None:
            raise ToolMissingError(
                f"{tool.name}: {tool.override} is set to {override!r}, which is not a program.",
                hint=f"Set {tool.override} to the tool's full path, or unset it to use the PATH.",
            )
        return Path(chosen)
    chosen = shutil.which(tool.name)
    if chosen is None:
        raise ToolMissingError(
            f"{tool.name} ({tool.purpose}) is not on the PATH, and {tool.override} is not set.",
            hint=f"Get it with: {tool.remedy}",
        )
    return Path(chosen)


def identity(tool: Tool) -> str:
    """What tells one build of a tool from another, without starting it."""
    try:
        return f"{tool.name} {identity_of(locate(tool))}"
    except ToolMissingError:
        return f"{tool.name} {identity_of(None)}"


def available(tool: Tool) -> bool:
    """Whether a tool is here; one that is named by its variable and is not there is an error."""
    if os.environ.get(tool.override):
        return bool(locate(tool))
    with contextlib.suppress(ToolMissingError):
        return bool(locate(tool))
    return False


def _version(tool: Tool, path: Path) -> str:
    try:
        output = run(FoundTool(tool, path, ""), tool.version_args, seconds=VERSION_SECONDS).output
    except ToolFailedError:
        return ""
    match = re.search(tool.version_pattern, output)
    return match[1] if match else ""


def run(
    tool: FoundTool,
    arguments: Sequence[str | Path],
    *,
    seconds: float,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    log: Path | None = None,
    report_line: LineReport | None = None,
) -> ToolRun:
    """Run a tool to its end. A return code other than 0, or a run past its time, is an error that
    quotes the telling line; `log` keeps everything that was printed, and grows as it is printed;
    `report_line` gets each last line while the tool runs."""
    command = [str(tool.path), *(str(argument) for argument in arguments)]
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        if log is not None:
            with writing(log):
                log.parent.mkdir(parents=True, exist_ok=True)
                sink = stack.enter_context(log.open("w+b"))
        else:
            sink = stack.enter_context(tempfile.TemporaryFile())
        let_signals_come = stack.enter_context(postpone_signals())  # or the tool could outlive us
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that the tool's own children end with it
            )
        except OSError as error:
            raise ToolFailedError(
                f"{tool.path} does not start: {error.strerror}.",
                hint=f"Check {tool.tool.override}, or get the tool with: {tool.tool.remedy}",
            ) from None
        stack.enter_context(_ending_with_us(process.pid))
        try:
            let_signals_come()
            code = _wait_for_tool(process, sink.fileno(), started + seconds, report_line)
        except subprocess.TimeoutExpired:
            _end(process)
            last = _last_line(sink.fileno())
            doing = f" The last it said was: {last[:400]}" if last else ""
            raise ToolFailedError(
                f"{tool.tool.name} was stopped after {seconds:g} s.{doing}{_log_note(log)}",
                hint="Allow it more time, or make the job smaller.",
            ) from None
        except BaseException:
            _end(process)
            raise
        sink.seek(0)
        output = sink.read().decode(errors="replace")
    if code != 0:
        raise ToolFailedError(
            f"{tool.tool.name} {_outcome(code)}: "
            f"{telling_line(output, tool.tool.telling)}{_log_note(log)}"
        )
    return ToolRun(output, time.monotonic() - started)


def telling_line(output: str, telling: str = "") -> str:
    """The line of a log that says what went wrong: the first that the tool marks as an error
    (`telling`), else the first that speaks of one, else the last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return "it printed nothing."
    marked = (line for line in lines if telling and re.search(telling, line))
    spoken = (line for line in lines if TELLING.search(line))
    return next(marked, next(spoken, lines[-1]))[:400]


def _wait_for_tool(
    process: subprocess.Popen[bytes], output: int, deadline: float, report_line: LineReport | None
) -> int:
    """The return code of a tool that ends in time; TimeoutExpired otherwise."""
    last_line = ""
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            return process.wait(timeout=left if report_line is None else min(FOLLOW_SECONDS, left))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                raise
        line = _last_line(output)
        if report_line is not None and line and line != last_line:
            last_line = line
            report_line(line)


def _last_line(output: int) -> str:
    """The last whole line of an open file; the tool's own place in it is not moved."""
    size = os.fstat(output).st_size
    tail = os.pread(output, LONGEST_LINE, max(size - LONGEST_LINE, 0))
    lines = tail.decode(errors="replace").replace("\r", "\n").split("\n")[:-1]
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def _ending_with_us(group: int) -> Iterator[None]:
    """Have a tool and all that it started ended when we are killed and can do nothing any more: the
    pipe to a shell of ours breaks then."""
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", WATCH, str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            watcher.communicate(b"\n")


def _outcome(code: int) -> str:
    if code >= 0:
        return f"failed with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _log_note(log: Path | None) -> str:
    return f" Everything it printed is in {log}." if log is not None else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a tool and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # children that would not listen
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
